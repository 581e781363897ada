"""typing.get_type_hints, which frameworks call on what they are given: every name can be looked up."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ubiops
import ubiops.utils
from ubiops.model import Model

ROOT = Path(__file__).parents[2]


# Their annotations name what an extra brings, or a class that only asynchronous calls need.
NAMING_MORE = {
    *("apply_async", "load_ipython_extension", "plot_metrics", "plot_pipeline", "to_dataframe"),
    "unload_ipython_extension",
}


def functions_of(cls: type) -> Iterator[Callable[..., Any]]:
    """The public functions of a class of ours."""
    for name, value in inspect.getmembers(cls, inspect.isroutine):
        ours = str(getattr(value, "__module__", "")).startswith("ubiops")
        if ours and (name == "__init__" or not name.startswith("_")):
            yield value


def public() -> Iterator[Any]:
    for module in (ubiops, ubiops.utils):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value):
                yield from functions_of(value)
                if issubclass(value, Model):
                    yield value
            elif inspect.isroutine(value):
                yield value


def test_every_public_annotation_can_be_looked_up() -> None:
    problems = {}
    count = 0
    for one in public():
        if one.__name__ in NAMING_MORE:
            continue
        count += 1
        try:
            typing.get_type_hints(one)
        except Exception as error:
            problems[f"{one.__module__}.{one.__qualname__}"] = repr(error)
    assert problems == {}
    assert count > 1000


def test_what_they_are() -> None:
    hints = typing.get_type_hints(ubiops.CoreApi.deployments_update)
    assert hints["data"] == ubiops.DeploymentUpdate | dict[str, Any]
    assert hints["return"] is ubiops.DeploymentDetail
    assert typing.get_type_hints(ubiops.CoreApi.deployments_list)["return"] == list[ubiops.DeploymentList]


@pytest.mark.parametrize("name", ["deployments_update", "revisions_file_upload"])
def test_they_need_no_other_package(name: str) -> None:
    program = f"""
        import sys
        sys.modules["typing_extensions"] = None
        import typing, ubiops
        assert typing.get_type_hints(ubiops.CoreApi.{name})["project_name"] is str
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, check=True, timeout=60)
