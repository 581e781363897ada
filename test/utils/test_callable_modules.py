"""`metrics` and `run_local` are a module and a function at once, whichever was imported first."""

from __future__ import annotations

import inspect
import subprocess
import sys
from unittest import mock

import pytest

import ubiops.utils
import ubiops.utils.metrics.measurements
import ubiops.utils.run_local

USES = [
    "from ubiops.utils import {name}; assert callable({name})",
    "import ubiops.utils.{name}; assert callable(ubiops.utils.{name})",
    "from ubiops.utils.{name} import {name}; assert inspect.isfunction({name})",
    "import ubiops; assert callable(ubiops.utils.{name}.{name})",
]


@pytest.mark.parametrize("name", ["metrics", "run_local"])
def test_the_order_of_imports_does_not_matter(name: str) -> None:
    program = ["import inspect"]
    for uses in (USES, USES[::-1]):
        # Each order with a package that has loaded nothing yet.
        program += [
            "import sys",
            "for name in [*sys.modules]:",
            "    if name.startswith('ubiops'): del sys.modules[name]",
        ]
        program += [use.format(name=name) for use in uses]
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(program)], check=True, timeout=60)


def test_a_module_looks_like_its_function() -> None:
    function = ubiops.utils.metrics.measurements.metrics  # type: ignore[attr-defined]
    assert inspect.signature(ubiops.utils.metrics) == inspect.signature(function)


def test_a_function_that_is_replaced_in_its_module_is_what_is_called() -> None:
    with mock.patch("ubiops.utils.run_local.run_local", return_value="replaced"):
        assert ubiops.utils.run_local("folder", {}) == "replaced"
