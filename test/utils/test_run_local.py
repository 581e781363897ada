"""Packages run in this process: as on the server, and without a trace."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ubiops
from test.emulator.project import DOUBLE, TestProject
from test.utils.packages import write
from ubiops import utils

SHOW = """
    import os, sys
    from pathlib import Path
    from helper import WORD

    class Deployment:
        def __init__(self, base_directory, context):
            self.init = {"base_directory": base_directory, "context": context}

        def request(self, data, context):
            return {
                "data": data, "init": self.init, "context": context, "word": WORD, "directory": os.getcwd(),
                "file": Path("word.txt").read_text(), "path": sys.path[:2], "variable": os.environ.get("VARIABLE"),
            }
"""


def package(folder: Path, code: str = SHOW, **files: str) -> Path:
    return write(folder, {"deployment.py": code, "helper.py": "WORD = 'a'", "word.txt": "b", **files})


def state() -> tuple[object, ...]:
    """What a run changes in the process."""
    # pytest says there which phase of a test runs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    modules = {name: sys.modules.get(name) for name in ("deployment", "helper", "test", "__main__")}
    return os.getcwd(), list(sys.path), sys.dont_write_bytecode, environment, modules


@pytest.fixture(autouse=True)
def _leaves_no_trace() -> Iterator[None]:
    before = state()
    yield
    assert state() == before


def test_it_runs_as_on_the_server(tmp_path: Path) -> None:
    root = package(tmp_path / "model")
    result = utils.run_local(root, {"x": (1, 2)})
    assert result["data"] == {"x": [1, 2]}
    assert (result["word"], result["file"], result["directory"]) == ("a", "b", str(root))
    assert result["path"] == [str(root), str(root / "libraries")]
    assert result["init"]["base_directory"] == str(root)


def test_the_contexts_have_what_the_server_gives(tmp_path: Path, project: TestProject) -> None:
    code = """
        class Deployment:
            def __init__(self, context):
                self.keys = sorted(context)

            def request(self, data, context):
                return {"y": f"{self.keys} {sorted(context)}"}
    """
    project.deploy(code, output_fields=[{"name": "y", "data_type": "string"}])
    assert utils.run_local(write(tmp_path, {"deployment.py": code}), {"x": 1}) == project.request({"x": 1})


def test_the_contexts_may_be_given(tmp_path: Path) -> None:
    result = utils.run_local(package(tmp_path), "x", {"version": "v2", "own": 1}, {"id": "r1"})
    context = result["init"]["context"]
    assert (context["version"], context["own"], context["project"], context["input_fields"]) == ("v2", 1, "local", [])
    assert (result["context"]["id"], result["context"]["request_mode"]) == ("r1", "express")


def test_variables_come_from_the_context_and_from_ubiops_yaml(tmp_path: Path) -> None:
    settings = "environment_variables: [VARIABLE=file, OTHER=1]"
    root = package(tmp_path, **{"ubiops.yaml": settings, "serve.py": DOUBLE})
    assert utils.run_local(root, 1)["variable"] == "file"
    assert utils.run_local(root, 1, {"environment_variables": {"VARIABLE": "given"}})["variable"] == "given"
    main = {"environment_variables": {"SYS_DEPLOYMENT_FILE_NAME": "serve"}}
    assert utils.run_local(root, {"x": 2}, main) == {"y": 4}
    (root / "ubiops.yaml").write_text("- a")
    with pytest.raises(utils.InvalidPackage, match=r"ubiops\.yaml must be a dictionary"):
        utils.run_local(root, 1)


def test_without_pyyaml_only_a_package_with_settings_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine without the extra.
    monkeypatch.setitem(sys.modules, "yaml", None)
    root = package(tmp_path)
    assert utils.run_local(root, 1)["data"] == 1
    (root / "ubiops.yaml").touch()
    with pytest.raises(utils.MissingExtra, match=r"ubiops\.yaml needs pyyaml"):
        utils.run_local(root, 1)


def test_a_list_goes_to_requests(tmp_path: Path) -> None:
    code = "class Deployment:\n    def requests(self, data): return [item * 2 for item in data]"
    root = write(tmp_path, {"deployment.py": code})
    assert utils.run_local(root, [1, 2]) == [2, 4]
    assert utils.run_local(root, 1) == 2


def test_an_unpacked_zip_runs_and_so_does_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "downloaded" / "any")
    with monkeypatch.context() as within:
        within.chdir(tmp_path)
        assert utils.run_local("downloaded", 1)["directory"] == str(tmp_path / "downloaded" / "any")
        assert utils.run_local(Path("downloaded", "any"), 1)["word"] == "a"


# One after another


def test_two_packages_with_modules_of_the_same_name_are_kept_apart(tmp_path: Path) -> None:
    code = """
        import helper, shared.part, folder.inner, vendored

        class Deployment:
            def request(self, data):
                import late
                return [helper.WORD, shared.part.WORD, folder.inner.WORD, vendored.WORD, late.WORD]
    """
    names = ["helper.py", "shared/part.py", "folder/inner.py", "libraries/vendored.py", "late.py"]
    for letter in "ab":
        files = {name: f"WORD = '{letter}'" for name in names}
        write(tmp_path / letter, {"deployment.py": code, "shared/__init__.py": "", **files})
    for letter in "aba":
        assert utils.run_local(tmp_path / letter, 1) == [letter] * 5
    loaded = {"helper", "shared", "shared.part", "folder", "folder.inner", "vendored", "late"}
    assert loaded & sys.modules.keys() == set()


def test_an_edited_package_runs_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = package(tmp_path)
    with monkeypatch.context() as within:
        # Whatever the environment says.
        within.setattr(sys, "dont_write_bytecode", False)
        for letter in "abcd":
            # Within a second and of the same length, which bytecode on disk wouldn't tell apart.
            (root / "helper.py").write_text(f"WORD = '{letter}'")
            assert utils.run_local(root, 1)["word"] == letter
    assert list(root.glob("**/__pycache__")) == []


def test_modules_of_the_program_give_way_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, part = ModuleType("helper"), ModuleType("helper.part")
    with monkeypatch.context() as within:
        within.setitem(sys.modules, "helper", own)
        within.setitem(sys.modules, "helper.part", part)
        # What a program that forbids an import has there.
        within.setitem(sys.modules, "not_to_be_imported", None)
        assert utils.run_local(package(tmp_path), 1)["word"] == "a"
        assert (sys.modules["helper"], sys.modules["helper.part"]) == (own, part)


def test_the_standard_library_and_the_program_itself_stay(tmp_path: Path) -> None:
    code = """
        import __main__, pytest, random

        class Deployment:
            def request(self, data):
                return [id(module) for module in (__main__, pytest, random)]
    """
    modules = dict(sys.modules)
    # A folder without __init__.py is a package only where there is no other of its name.
    root = write(tmp_path, {"deployment.py": code, "random.py": "", "__main__.py": "", "pytest/data.txt": ""})
    assert utils.run_local(root, 1) == [id(module) for module in (sys.modules["__main__"], pytest, random)]
    assert all(sys.modules[name] is module for name, module in modules.items())


def test_a_module_that_is_new_is_found(tmp_path: Path) -> None:
    root = write(tmp_path, {"deployment.py": "from helper import WORD"})
    before = os.stat(root)
    with pytest.raises(utils.InvalidPackage, match="No module named 'helper'"):
        utils.run_local(root, 1)
    write(root, {"helper.py": "WORD = 1"})
    # As on a file system that counts in seconds.
    os.utime(root, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(utils.InvalidPackage, match="no class Deployment"):
        utils.run_local(root, 1)


def test_what_a_package_brings_from_a_virtual_environment_in_it_stays_loaded(tmp_path: Path) -> None:
    # In a process of its own, whose library for installed packages is in the package's folder.
    program = """
import sys, sysconfig
installed = sys.argv[1] + "/.venv/site-packages"
sysconfig.get_path = lambda name, get=sysconfig.get_path: get(name) if "std" in name else installed
sys.path.append(installed)
from ubiops.utils import run_local
print([run_local(sys.argv[1], 1) for _ in range(2)], "heavy" in sys.modules, "helper" in sys.modules)
"""
    code = """
        import heavy, helper

        class Deployment:
            def request(self, data):
                return id(heavy) == heavy.ID and helper.WORD
    """
    heavy = "import sys\nID = id(sys.modules[__name__])\nassert 'loaded' not in vars(sys)\nsys.loaded = True"
    root = write(tmp_path, {"deployment.py": code, "helper.py": "WORD = 1", ".venv/site-packages/heavy.py": heavy})
    done = subprocess.run([sys.executable, "-c", program, str(root)], capture_output=True, text=True)
    assert done.stdout == "[1, 1] True False\n", done.stderr


def test_threads_take_turns(tmp_path: Path) -> None:
    results: dict[str, list[str]] = {}

    def run(letter: str) -> None:
        results[letter] = [utils.run_local(tmp_path / letter, 1)["word"] for _ in range(5)]

    for letter in "abcd":
        package(tmp_path / letter, **{"helper.py": f"WORD = '{letter}'"})
    threads = [threading.Thread(target=run, args=[letter]) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {letter: [letter] * 5 for letter in "abcd"}


def test_what_the_code_changes_in_the_process_is_undone(tmp_path: Path) -> None:
    code = """
        import os, sys

        class Deployment:
            def request(self, data):
                os.chdir("/")
                os.environ["NEW"] = "1"
                del os.environ["PATH"]
                sys.path.clear()
                return 1
    """
    assert utils.run_local(write(tmp_path, {"deployment.py": code}), 1) == 1
    assert "PATH" in os.environ


# Where it fails


@pytest.mark.parametrize(
    ("code", "error", "message", "cause"),
    [
        ("def", utils.InvalidPackage, "Failed to load deployment package: SyntaxError", SyntaxError),
        ("import nothing_there", utils.InvalidPackage, "No module named 'nothing_there'", ModuleNotFoundError),
        ("class Deployment: pass", utils.InvalidPackage, "neither a method request", Exception),
        ("x = 1", utils.InvalidPackage, "deployment.py has no class Deployment", Exception),
        (
            "class Deployment:\n    def __init__(self): raise KeyError('in init')",
            utils.InvalidPackage,
            "Failed to initialize deployment: KeyError: 'in init'",
            KeyError,
        ),
        (
            "class Deployment:\n    def request(self, data): return data['y']",
            utils.RequestFailed,
            r"^KeyError: 'y'; of a request to the server, the message would be: An exception occurred",
            KeyError,
        ),
        (
            "class Deployment:\n    def request(self, data):\n        raise type('E', (Exception,), "
            "{'public_error_message': 'Say this'})('hidden')",
            utils.RequestFailed,
            "^E: hidden; of a request to the server, the message would be: Say this$",
            Exception,
        ),
        ("import sys; sys.exit(3)", utils.RequestFailed, "it exits with 3", SystemExit),
        ("class Deployment:\n    def request(self, data): exit()", utils.RequestFailed, "it exits", SystemExit),
        (
            "class Deployment:\n    def request(self, data): return {1, 2}",
            utils.RequestFailed,
            "The output can't be written as JSON: Object of type set",
            Exception,
        ),
        (
            "class Deployment:\n    def request(self, data): return float('nan')",
            utils.RequestFailed,
            "The output can't be written as JSON",
            Exception,
        ),
    ],
)
def test_errors_are_typed_and_have_the_code_s_own_as_cause(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    code: str,
    error: type[Exception],
    message: str,
    cause: type[BaseException],
) -> None:
    with pytest.raises(error, match=message) as caught:
        utils.run_local(write(tmp_path, {"deployment.py": code}), {"x": 1})
    assert isinstance(caught.value, ubiops.OpenApiException)
    assert isinstance(caught.value.__cause__, cause)
    assert capfd.readouterr() == ("", "")


def test_the_cause_leads_to_the_line(tmp_path: Path) -> None:
    code = "class Deployment:\n    def request(self, data):\n        return 1 / 0\n"
    with pytest.raises(utils.RequestFailed) as caught:
        utils.run_local(write(tmp_path, {"deployment.py": code}), 1)
    assert caught.value.__cause__ is not None
    last = traceback.extract_tb(caught.value.__cause__.__traceback__)[-1]
    assert (last.filename, last.lineno) == (str(tmp_path / "deployment.py"), 3)


def test_an_interrupt_goes_through_and_leaves_no_trace(tmp_path: Path) -> None:
    code = "class Deployment:\n    def request(self, data): raise KeyboardInterrupt"
    with pytest.raises(KeyboardInterrupt):
        utils.run_local(write(tmp_path, {"deployment.py": code}), 1)


def test_folders_that_are_none(tmp_path: Path) -> None:
    write(tmp_path, {"file.txt": "", "empty/x.txt": ""})
    name = "`deployment_directory` when calling `run_local`"
    with pytest.raises(ubiops.ApiValueError, match=f"{name}, the folder .* doesn't exist"):
        utils.run_local(tmp_path / "nowhere", 1)
    with pytest.raises(ubiops.ApiValueError, match=f"{name}, must be a folder"):
        utils.run_local(tmp_path / "file.txt", 1)
    with pytest.raises(ubiops.ApiTypeError, match=name):
        utils.run_local(None, 1)  # type: ignore[arg-type]
    with pytest.raises(utils.InvalidPackage, match=r"no deployment\.py in its folder empty"):
        utils.run_local(tmp_path, 1)


# Data


FIELDS = [{"name": "x", "data_type": "int"}]
ECHO = "class Deployment:\n    def request(self, data): return data"


@pytest.mark.parametrize(
    ("data", "context", "message"),
    [
        ({"x": "1"}, {"input_fields": FIELDS}, "input field 'x' must be of type int, not str"),
        ([{"x": 1}, {}], {"input_fields": FIELDS}, r"input \[1\] lacks the field 'x'"),
        ({"x": 1, "z": 1}, {"input_fields": FIELDS}, "unknown field 'z'"),
        ({"x": 1}, {"input_type": "plain"}, "must be a string"),
        ({"x": {1}}, {}, r"`data\.x` when calling `run_local`.*is of type set: JSON can't represent it"),
        ({"x": float("nan")}, {}, "is nan, which JSON can't represent"),
        (
            {"x": "no.txt"},
            {"input_fields": [{"name": "x", "data_type": "file"}]},
            r"the file '.*no\.txt' doesn't exist",
        ),
        (
            {"x": "ubiops-file://default/a.txt"},
            {"input_fields": [{"name": "x", "data_type": "file"}]},
            "the file 'ubiops-file:",
        ),
    ],
)
def test_an_input_that_does_not_fit(tmp_path: Path, data: Any, context: dict[str, Any], message: str) -> None:
    with pytest.raises(ubiops.ApiValueError, match=message):
        utils.run_local(write(tmp_path, {"deployment.py": ECHO}), data, context)


def test_an_output_that_does_not_fit(tmp_path: Path) -> None:
    root = write(tmp_path, {"deployment.py": ECHO})
    with pytest.raises(utils.RequestFailed, match="output field 'x' must be of type int, not float"):
        utils.run_local(root, {"x": 1.5}, {"output_fields": FIELDS})
    with pytest.raises(utils.RequestFailed, match="output must be a string"):
        utils.run_local(root, {"x": 1.5}, {"output_type": "plain"})
    with pytest.raises(utils.RequestFailed, match="output field 'x' must be the path of a file"):
        utils.run_local(root, {"x": "no.txt"}, {"output_fields": [{"name": "x", "data_type": "file"}]})


def test_models_serve_as_fields(tmp_path: Path) -> None:
    root = write(tmp_path, {"deployment.py": ECHO})
    context = {"input_fields": [ubiops.DeploymentInputFieldCreate(name="x", data_type="int")]}
    assert utils.run_local(root, {"x": 1}, context) == {"x": 1}
    with pytest.raises(ubiops.ApiValueError, match="must be of type int"):
        utils.run_local(root, {"x": "1"}, context)


@pytest.mark.parametrize(
    "context",
    [
        lambda: {"input_fields": [1]},
        lambda: {"output_fields": "x"},
        lambda: {"input_fields": [{"name": "x"}]},
        lambda: {"environment_variables": ["A=1"]},
        lambda: {"environment_variables": {"A": 1}},
        lambda: [],
    ],
)
def test_contexts_that_are_none(tmp_path: Path, context: Callable[[], Any]) -> None:
    with pytest.raises(ubiops.ApiTypeError):
        utils.run_local(write(tmp_path, {"deployment.py": ECHO}), 1, context())


def test_files_are_found_from_where_the_program_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
        from pathlib import Path

        class Deployment:
            def request(self, data):
                Path("copy.txt").write_text(Path(data["x"]).read_text())
                return {"y": {"file": "copy.txt", "bucket": "default"}}
    """
    root = write(tmp_path / "model", {"deployment.py": code})
    write(tmp_path, {"in.txt": "content"})
    x, y = ([{"name": name, "data_type": "file"}] for name in "xy")
    with monkeypatch.context() as within:
        within.chdir(tmp_path)
        result = utils.run_local("model", {"x": "in.txt"}, {"input_fields": x, "output_fields": y})
    assert result == {"y": str(root / "copy.txt")}
    assert (root / "copy.txt").read_text() == "content"


def test_the_caller_s_data_is_not_changed(tmp_path: Path) -> None:
    code = "class Deployment:\n    def request(self, data): return data.pop('x')"
    data = {"x": [1]}
    assert utils.run_local(write(tmp_path, {"deployment.py": code}), data) == [1]
    assert data == {"x": [1]}
