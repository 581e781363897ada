"""What a build would refuse, told before anything is uploaded."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.project import DOUBLE, TestProject
from test.utils.packages import write
from ubiops import utils
from ubiops.utils import validate
from ubiops.utils.packages import zips

METHOD = "\nclass Deployment:\n    def request(self): ..."
FIELD: dict[str, Any] = {"name": "x", "data_type": "double"}


def problems(folder: Path, **options: Any) -> list[str]:
    """Why a package isn't valid, with paths relative to the folder."""
    with pytest.raises(utils.InvalidPackage) as caught:
        utils.validate_package(folder, **options)
    return [problem.replace(f"{folder}", "PACKAGE") for problem in caught.value.problems]


def code_problems(folder: Path, code: str, **files: str) -> list[str]:
    return problems(write(folder, {"deployment.py": code, **files}))


def test_a_valid_package(tmp_path: Path) -> None:
    files = {"deployment.py": DOUBLE, "requirements.txt": "numpy>=1\n", "ubiops.yaml": "environment_variables: [A=b]"}
    write(tmp_path, files)
    (tmp_path / "dead").symlink_to("nothing")
    info = utils.validate_package(tmp_path, [FIELD], [ubiops.DeploymentOutputFieldCreate(**FIELD)])
    assert info == utils.PackageInfo(
        directory=str(tmp_path),
        main_file="deployment.py",
        has_request_method=None,
        has_requests_method=None,
        files=3,
        size=sum(os.path.getsize(tmp_path / name) for name in files),
        requirements=("numpy>=1",),
        warnings=("dead: a link that leads nowhere: No such file or directory",),
    )


def test_it_tells_all_problems_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"deployment.py": "x = 1", "requirements.txt": "==1\n", "ubiops.yaml": "[]\n"})
    (tmp_path / os.fsdecode(b"\xff")).touch()
    found = problems(tmp_path, input_fields=[{"name": "a b", "data_type": "int"}], output_fields=[FIELD, FIELD])
    assert [problem.partition(":")[0] for problem in found] == [
        "input_fields[0]",
        "output_fields[1]",
        "\\udcff",
        "deployment.py has no class Deployment",
        "requirements.txt",
    ]
    (tmp_path / "ubiops.yaml").write_text("- a")
    assert any(problem.startswith("ubiops.yaml must be a dictionary") for problem in problems(tmp_path))


def test_folders_that_are_none(tmp_path: Path) -> None:
    [missing] = problems(tmp_path / "nowhere")
    assert missing.startswith("Invalid value for `directory` when calling `validate_package`, the folder")
    assert len(problems(tmp_path / "nowhere", input_fields=[FIELD, FIELD])) == 2
    write(tmp_path, {"deployment.py": DOUBLE})
    assert "must be a folder" in problems(tmp_path / "deployment.py")[0]
    with pytest.raises(ubiops.ApiTypeError, match="`directory` when calling `validate_package`"):
        utils.validate_package(None)  # type: ignore[arg-type]
    with pytest.raises(ubiops.ApiTypeError, match=r"`environment_variables\['A'\]`.*expected str, got int"):
        utils.validate_package(tmp_path, environment_variables={"A": 1})  # type: ignore[dict-item]


# The main file


def test_where_there_is_no_main_file(tmp_path: Path) -> None:
    assert problems(tmp_path) == ["PACKAGE has no deployment.py"]
    write(tmp_path, {"deploymnt.py": DOUBLE})
    assert problems(tmp_path) == ["PACKAGE has no deployment.py; did you mean `deploymnt.py`?"]
    write(tmp_path, {"model/deployment.py": DOUBLE})
    assert problems(tmp_path) == ["PACKAGE has no deployment.py: did you mean the folder 'model', which has one?"]
    assert utils.validate_package(tmp_path / "model").main_file == "deployment.py"


def test_a_main_file_that_is_not_zipped(tmp_path: Path) -> None:
    write(tmp_path, {"deployment.py": DOUBLE, ".ubiops-ignore": "*.py"})
    assert problems(tmp_path) == ["deployment.py isn't in the zip: an ignore file leaves it out"]
    assert utils.validate_package(tmp_path, ignore_filename="").files == 2
    package = write(tmp_path / "package", {"x.txt": ""})
    (package / "deployment.py").symlink_to("../deployment.py")
    assert problems(package) == ["deployment.py: a link that leads out of the folder"]


def test_a_variable_names_another_main_file(tmp_path: Path) -> None:
    write(tmp_path, {"serve.py": DOUBLE})
    for name in ("serve", "serve.py"):
        info = utils.validate_package(tmp_path, environment_variables={"SYS_DEPLOYMENT_FILE_NAME": name})
        assert info.main_file == "serve.py"


# The code


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("x = 1\ndef", ["deployment.py:2: invalid syntax"]),
        ("return 1", ["deployment.py:1: 'return' outside function"]),
        ("x = '\\d'\n  y", ["deployment.py:2: unexpected indent"]),
        ("from .helper import x", ["deployment.py:1: a relative import; only absolute ones work in the main file"]),
        ("x = 1", ["deployment.py has no class Deployment"]),
        ("def Deployment(): pass", ["deployment.py has no class Deployment"]),
        (
            "class Deployment:\n    def predict(self, data): ...",
            ["deployment.py:1: the class Deployment has neither a method request nor a method requests"],
        ),
    ],
)
def test_code_that_cannot_be(tmp_path: Path, code: str, found: list[str]) -> None:
    if "relative" in found[0]:
        code += METHOD
    assert code_problems(tmp_path, code) == found


@pytest.mark.parametrize(
    "code",
    [
        "class Deployment:\n    async def request(self, data): ...",
        "class Deployment:\n    def __init__(self):\n        self.request = print",
        # What only running the code could tell.
        "from base import Base\nclass Deployment(Base): ...",
        "class Deployment(metaclass=type): ...",
        "import functools\n@functools.cache\nclass Deployment: ...",
        "class Deployment:\n    def __getattr__(self, name): return print",
        "from elsewhere import Model as Deployment",
        "from elsewhere import *",
        "Deployment = make()",
        "try:\n    class Deployment: ...\nexcept ImportError:\n    class Deployment: ...",
    ],
)
def test_code_that_may_be_is_not_refused(tmp_path: Path, code: str) -> None:
    info = utils.validate_package(write(tmp_path, {"deployment.py": code}))
    assert (info.has_request_method, info.has_requests_method) == (None, None)


def test_modules_of_the_package_that_are_imported_are_checked(tmp_path: Path) -> None:
    found = code_problems(
        tmp_path,
        "import helper, a.b, json\nfrom vendored import x\nfrom c import d" + METHOD,
        **{
            "helper.py": "import deployment\ndef",
            "a/__init__.py": "from . import e\nfrom .f import g",
            "a/b.py": "(",
            "a/e.py": "[",
            "a/f.py": "{",
            "libraries/vendored.py": "1 +",
            "c/d.py": "\0",
            "never_imported.py": "def",
            "template/a.py": "{{ name }} =",
        },
    )
    files = sorted(problem.partition(":")[0] for problem in found)
    assert files == ["a/b.py", "a/e.py", "a/f.py", "c/d.py", "helper.py", "libraries/vendored.py"]
    assert "helper.py:2: invalid syntax" in found


def test_no_code_is_run(tmp_path: Path) -> None:
    code = "open('ran', 'w').close()" + METHOD
    utils.validate_package(write(tmp_path, {"deployment.py": code}))
    assert not (tmp_path / "ran").exists()
    assert not Path("ran").exists()


# Beside the code


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("environment_variables: {A: b}", ["must be a dictionary in which environment_variables is a list"]),
        ("environment_variables: [A, a=b, C=d]", ["variable 'A' must be NAME=value", "variable 'a=b' must be"]),
        ("apt: {keys: {}}", ["apt must be a dictionary with packages, a list of names"]),
        ("a: [", ["can't be read"]),
        ("a: 2022-99-99", ["can't be read: month must be in 1..12"]),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, text: str, found: list[str]) -> None:
    told = problems(write(tmp_path, {"deployment.py": DOUBLE, "ubiops.yaml": text}))
    assert len(told) == len(found)
    for problem, part in zip(told, found, strict=True):
        assert problem.startswith("ubiops.yaml")
        assert part in problem


def test_requirements_must_be_in_the_zip(tmp_path: Path) -> None:
    write(tmp_path, {"deployment.py": DOUBLE, "requirements.txt": "./wheels/a.whl\n./lib\n-r more.txt\n"})
    write(tmp_path, {"wheels/a.whl": "", "lib/setup.py": "", "more.txt": "numpy", ".ubiops-ignore": "wheels"})
    assert problems(tmp_path) == ["requirements.txt:1: the file or folder './wheels/a.whl' doesn't exist"]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([{"name": "x", "data_type": "tensor"}], ["fields[0]: Invalid value for `data_type`"]),
        ([{"name": "", "data_type": "int"}], ["fields[0]: Invalid value for `name`"]),
        ([{"name": "x" * 65, "data_type": "int"}], ["fields[0]: Invalid value for `name`"]),
        ([{"name": "a.b", "data_type": "int"}], ["fields[0]: the name 'a.b' may consist of letters, digits"]),
        ([FIELD, {"name": "x", "data_type": "int"}], ["fields[1]: the name 'x' is used more than once"]),
        ([{"name": "x"}], ["expected a list of dicts with name and data_type, got list"]),
        ("x", ["expected a list of dicts with name and data_type, got str"]),
        ({"x": "int"}, ["expected a list of dicts with name and data_type, got dict"]),
        ([{"name": 1, "data_type": "int"}], ["fields[0]: Invalid"]),
    ],
)
def test_fields_that_cannot_be(tmp_path: Path, fields: Any, found: list[str]) -> None:
    write(tmp_path, {"deployment.py": DOUBLE})
    for key in ("input_fields", "output_fields"):
        told = problems(tmp_path, **{key: fields})
        assert len(told) == len(found)
        for problem, part in zip(told, found, strict=True):
            assert part.replace("fields", key) in problem


def test_packages_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"deployment.py": DOUBLE})
    (tmp_path / "noise.bin").write_bytes(os.urandom(2**20))
    # The real limits would take minutes to reach.
    for module in (validate, zips):
        monkeypatch.setattr(module, "MAXIMUM_ZIP_SIZE", 2**20)
    [problem] = problems(tmp_path)
    assert problem.startswith("the zip would be larger than")
    (tmp_path / "noise.bin").write_bytes(bytes(2**22))
    assert utils.validate_package(tmp_path).size > 2**22
    monkeypatch.setattr(validate, "MAXIMUM_UNPACKED_SIZE", 2**22)
    assert problems(tmp_path)[0].startswith("the package has more than")


def test_without_the_extra_it_says_what_was_not_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine without them.
    for library in ("yaml", "packaging.requirements"):
        monkeypatch.setitem(sys.modules, library, None)
    write(tmp_path, {"deployment.py": DOUBLE, "requirements.txt": "==", "ubiops.yaml": "["})
    assert utils.validate_package(tmp_path).warnings == (
        "Checking ubiops.yaml needs pyyaml: pip install pyyaml",
        "Checking requirements.txt needs packaging: pip install packaging",
    )
    with pytest.raises(utils.MissingExtra):
        utils.validate_requirements_file(tmp_path / "requirements.txt")


# As the build


REFUSED: dict[str, dict[str, str | bytes]] = {
    "no main file": {"model.py": DOUBLE},
    "no Python": {"deployment.py": "def"},
    "no Python in a module": {
        "deployment.py": "import helper" + METHOD,
        "helper.py": "(",
    },
    "no class": {"deployment.py": "class Model: pass"},
    "no method": {"deployment.py": "class Deployment: pass"},
    "no settings": {"deployment.py": DOUBLE, "ubiops.yaml": "environment_variables: [A]"},
    "relative import": {
        "deployment.py": "from . import helper" + METHOD,
        "helper.py": "",
    },
    "leads out": {"deployment.py": DOUBLE, "..\\x.py": ""},
}


@pytest.mark.parametrize("files", REFUSED.values(), ids=REFUSED)
def test_the_build_refuses_the_same(tmp_path: Path, project: TestProject, files: dict[str, str | bytes]) -> None:
    package = write(tmp_path, {name: str(text) for name, text in files.items()})
    assert len(problems(package)) == 1
    project.create_deployment()
    project.create_version()
    build = project.upload({f"deployment_package/{name}": text for name, text in files.items()})
    assert build.status == "failed"


def test_loading_runs_the_code_as_the_build_does(tmp_path: Path) -> None:
    code = """
        import os, sys
        from pathlib import Path
        from helper import Base

        Path("written").touch()
        print("to be ignored")

        class Deployment(Base):
            def __init__(self, base_directory, context):
                assert os.getcwd() == base_directory
                assert [field["name"] for field in context["input_fields"]] == ["x"]
                assert os.environ["FROM_FILE"] == context["environment_variables"]["FROM_FILE"] == "file"
                assert os.environ["GIVEN"] == "given"
                assert "NOT_GIVEN" not in os.environ
                import ubiops
    """
    helper = "class Base:\n    def requests(self, data): ..."
    package = write(tmp_path / "model", {"deployment.py": code, "helper.py": helper})
    write(package, {"ubiops.yaml": "environment_variables: [FROM_FILE=file, GIVEN=file]"})
    # Of the names of modules that are loaded before the package is.
    write(package, {"json.py": "1 / 0", "traceback.py": "1 / 0"})
    os.environ["NOT_GIVEN"] = "1"
    try:
        variables = {"GIVEN": "given"}
        info = utils.validate_package(package, [FIELD], environment_variables=variables, load=True)
    finally:
        del os.environ["NOT_GIVEN"]
    assert (info.has_request_method, info.has_requests_method) == (False, True)
    assert sorted(path.name for path in package.iterdir()) == [
        "deployment.py",
        "helper.py",
        "json.py",
        "traceback.py",
        "ubiops.yaml",
    ]


@pytest.mark.parametrize(
    ("code", "files", "message"),
    [
        ("import nothing_there", {}, "Failed to load deployment package: ModuleNotFoundError"),
        ("import helper", {"helper.py": "", ".ubiops-ignore": "helper.py"}, "No module named 'helper'"),
        ("raise ValueError('broken')", {}, "ValueError: broken\n  Traceback (most recent call last):\n"),
        ("import os; print('last words', flush=True); os._exit(3)", {}, "(exit code 3)\n  last words"),
        ("import sys; sys.exit('bye')", {}, "(exit code 1)\n  bye"),
        ("Deployment = 1", {}, "deployment.py has no class Deployment"),
    ],
)
def test_what_fails_to_load(tmp_path: Path, code: str, files: dict[str, str], message: str) -> None:
    code = code if "Deployment" in code else code + METHOD
    package = write(tmp_path, {"deployment.py": code, **files})
    assert utils.validate_package(package).main_file == "deployment.py"
    [problem] = problems(package, load=True)
    assert message in problem


def test_loading_that_takes_too_long_ends_with_what_it_started(tmp_path: Path) -> None:
    code = """
        import os, subprocess, sys, time
        from pathlib import Path

        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["NOTE"]).write_text(str(child.pid))
        time.sleep(600)
        class Deployment:
            def request(self, data): ...
    """
    package, note = write(tmp_path / "model", {"deployment.py": code}), tmp_path / "note"
    [problem] = problems(package, load=True, timeout=1.5, environment_variables={"NOTE": str(note)})
    assert problem == "The package wasn't loaded within 1.5 seconds"
    deadline = time.monotonic() + 30
    status = Path("/proc", note.read_text(), "status")
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < deadline, "the process that the package started is still there"


def test_the_zip_of_a_valid_package_builds(tmp_path: Path, project: TestProject) -> None:
    package = write(tmp_path / "model", {"deployment.py": DOUBLE, "requirements.txt": "urllib3\n"})
    assert utils.validate_package(package, [FIELD], load=True).has_request_method
    project.create_deployment()
    project.create_version()
    archive = utils.zip_package(package, tmp_path)
    upload = project.api.revisions_file_upload("lab", "model", "v1", file=archive)
    assert project.wait_for_build(upload.build).status == "success"


def test_a_settings_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "ubiops.yaml"
    with pytest.raises(FileNotFoundError, match="`file_path` when calling `validate_yaml_file`"):
        utils.validate_yaml_file(file)
    file.write_text("environment_variables: [A=1, B=2=3]")
    assert utils.validate_yaml_file(file) == {"A": "1", "B": "2=3"}
    file.write_text("environment_variables: [a]")
    with pytest.raises(utils.InvalidPackage, match="must be NAME=value"):
        utils.validate_yaml_file(file)
