"""The fixtures for pytest, as a user's tests meet them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

import ubiops

ROOT = Path(ubiops.__file__).parents[1]


def run_pytest(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a folder of their own, without the plugins that happen to be installed."""
    (folder / "test_mine.py").write_text(textwrap.dedent(tests))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, *options, "-m", "pytest", "-p", "ubiops.pytest_plugin", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_each_test_starts_from_nothing(tmp_path: Path) -> None:
    tests = """
        import pytest

        @pytest.mark.parametrize("time", [1, 2])
        def test_projects(ubiops_api, ubiops_emulator, time):
            assert ubiops_api.projects_list() == []
            ubiops_api.projects_create({"name": "lab", "organization_name": "emulator"})
            assert ubiops_api.api_client.configuration.host == ubiops_emulator.url
    """
    result = run_pytest(tmp_path, tests, "-W", "error")
    assert "2 passed" in result.stdout, result.stdout


def test_without_the_extra_only_the_tests_that_want_it_fail(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['starlette'] = None\n")
    tests = """
        def test_another():
            pass

        def test_projects(ubiops_api):
            pass
    """
    result = run_pytest(tmp_path, tests)
    assert "1 passed, 1 error" in result.stdout, result.stdout
    assert "ImportError: The emulator needs packages that are missing: pip install starlette" in result.stdout


def test_the_plugin_does_not_import_the_emulator() -> None:
    code = "import ubiops.pytest_plugin, sys; print('ubiops.emulator' in sys.modules, 'starlette' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "False False"


def test_pytest_finds_it() -> None:
    try:
        entry_points = distribution("ubiops").entry_points
    except PackageNotFoundError:
        pytest.skip("ubiops runs from its sources here; an installed one has entry points")
    assert [point.value for point in entry_points if point.group == "pytest11"] == ["ubiops.pytest_plugin"]
