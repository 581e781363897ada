"""What `import ubiops` promises, and what it costs."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ubiops
import ubiops.api
import ubiops.models
import ubiops.utils
from codegen import VERSION
from ubiops import exceptions

ROOT = Path(__file__).parents[2]
LAZY = [ubiops, ubiops.api, ubiops.models, ubiops.utils]


def statically_imported(module: ModuleType) -> dict[str, str]:
    """The names that type checkers see, and the modules that they come from."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


@pytest.mark.parametrize("module", LAZY)
def test_lazy_and_static_imports_agree(module: ModuleType) -> None:
    seen = statically_imported(module)
    submodules = {name for name, source in seen.items() if source == module.__name__}
    assert {name: source for name, source in seen.items() if name not in submodules} == module.__dict__["_MODULES"]
    assert set(module.__all__) - {"__version__"} == set(module.__dict__["_MODULES"])
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            assert (value.__module__, value.__name__) == (module.__dict__["_MODULES"][name], name)
    for name in submodules | set(module.__dict__["_SUBMODULES"]):
        assert getattr(module, name) is importlib.import_module(f"{module.__name__}.{name}")


@pytest.mark.parametrize("module", LAZY)
def test_lazy_names_are_listed_and_others_refused(module: ModuleType) -> None:
    assert set(dir(module)) >= {*module.__all__, *module.__dict__["_SUBMODULES"]}
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'weed'"):
        _ = module.weed


def test_importing_the_package_imports_nothing_else() -> None:
    program = "import sys, importlib; before = set(sys.modules); import ubiops; print(set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "{'ubiops'}\n"


def test_every_error_is_exported() -> None:
    errors = {name for name in exceptions.__all__ if inspect.isclass(getattr(exceptions, name))}
    assert {name for name, module in ubiops.__dict__["_MODULES"].items() if module == "ubiops.exceptions"} == errors


def test_the_version_is_that_of_the_generator() -> None:
    assert ubiops.__version__ == VERSION
