"""requirements.txt and ubiops.yaml, instances that are kept ready, and requests that are restarted."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.project import DOUBLE, TestProject, wait_until
from ubiops.emulator import Emulator

READ = """
    import os

    class Deployment:
        def request(self, data):
            return os.environ.get(data, "")
"""
PLAIN: dict[str, Any] = {"input_type": "plain", "output_type": "plain", "input_fields": None, "output_fields": None}


def build(project: TestProject, files: dict[str, str | bytes]) -> Any:
    project.create_deployment(**PLAIN)
    project.create_version()
    return project.upload({"deployment.py": READ, **files})


def test_what_is_installed_suffices(project: TestProject) -> None:
    text = (
        "# comment\nubiops\nurllib3>=1  # http\n--no-cache-dir\nnowhere-to-be-found; python_version < '3'\n./yaml.whl\n"
    )
    done = build(project, {"requirements.txt": text + "pyyaml==0.1\n"})
    assert done.status == "success", done.error_message
    lines = project.log(system=True, build_id=done.id)
    assert any("requirements.txt asks for pyyaml==0.1, and pyyaml" in line for line in lines)


def test_what_is_missing_fails_the_build_by_name(project: TestProject) -> None:
    done = build(project, {"requirements.txt": "urllib3\nnowhere-to-be-found>=2\n"})
    assert done.status == "failed"
    assert done.error_message.startswith("requirements.txt asks for nowhere-to-be-found, not installed here")
    assert "--install-requirements" in done.error_message


def test_ubiops_yaml_sets_variables_that_those_of_the_version_override(project: TestProject) -> None:
    lines = "environment_variables:\n- FROM_FILE=a=b\n- OVER=file\napt:\n  packages: [git]\n"
    done = build(project, {"ubiops.yaml": lines})
    assert done.status == "success", done.error_message
    project.api.deployment_environment_variables_create(
        "lab", "model", {"name": "OVER", "value": "version", "secret": False}
    )
    assert (project.request("FROM_FILE"), project.request("OVER")) == ("a=b", "version")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "ubiops.yaml can't be read"),
        ("- a", "ubiops.yaml must be a dictionary"),
        ("environment_variables: {A: b}", "ubiops.yaml must be a dictionary"),
        ("environment_variables: [A]", "'A' must be NAME=value"),
        ("environment_variables: ['a=b']", "'a=b' must be NAME=value"),
    ],
)
def test_a_wrong_ubiops_yaml_fails_the_build(project: TestProject, text: str, problem: str) -> None:
    done = build(project, {"ubiops.yaml": text})
    assert done.status == "failed"
    assert problem in done.error_message


def test_r_versions_fail_the_build_with_a_sentence(project: TestProject) -> None:
    project.create_deployment()
    project.create_version(language="r4.0")
    done = project.upload({"deployment.R": ""})
    assert (done.status, done.error_message) == ("failed", "The emulator runs Python, not r4.0")


def wheel(directory: Path) -> Path:
    """A wheel of a package ``greeting``."""
    path = directory / "greeting-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("greeting.py", "WORD = 'hello'\n")
        archive.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
        archive.writestr(
            "greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("greeting-1.0.dist-info/RECORD", "")
    return path


GREET = """
    import greeting

    class Deployment:
        def request(self, data):
            return greeting.WORD
"""


def test_requirements_are_installed_once_where_that_is_asked_for(tmp_path: Path) -> None:
    package = wheel(tmp_path)
    with Emulator(data_dir=tmp_path / "data", project="lab", install_requirements=True) as emulator:
        api = emulator.client()
        with api.api_client:
            project = TestProject(api, "lab")
            project.create_deployment(**PLAIN)
            for version in ("v1", "v2"):
                project.create_version(version)
                files: dict[str, str | bytes] = {"deployment.py": GREET, "requirements.txt": str(package)}
                done = project.upload(files, version)
                assert done.status == "success", done.error_message
            assert project.request("") == "hello"
            assert len(list((tmp_path / "data" / "environments").iterdir())) == 1
            project.create_version("v3")
            done = project.upload({"deployment.py": GREET, "requirements.txt": f"{tmp_path}/nothing.whl"}, "v3")
            assert done.status == "failed"
            assert done.error_message.startswith("requirements.txt can't be installed: ERROR:")


# Instances that are kept ready


START = """
    import os
    from pathlib import Path

    class Deployment:
        def __init__(self, base_directory):
            Path(os.environ["NOTES"], f"started-{os.getpid()}").touch()

        def request(self, data):
            return str(os.getpid())
"""


def test_the_minimum_of_instances_is_started_ahead(project: TestProject, tmp_path: Path) -> None:
    project.create_deployment(**PLAIN)
    project.api.deployment_environment_variables_create(
        "lab", "model", {"name": "NOTES", "value": str(tmp_path), "secret": False}
    )
    project.deploy_version(START, minimum_instances=2, maximum_instances=5)
    # One of the processes was that of the build.
    started = wait_until(lambda: {path.name for path in tmp_path.iterdir()}, lambda started: len(started) == 3)
    assert f"started-{project.request('')}" in started
    project.api.deployment_versions_update("lab", "model", "v1", {"minimum_instances": 3})
    wait_until(lambda: [path.name for path in tmp_path.iterdir()], lambda started: len(started) == 6)


# Requests that are restarted


DIE_ONCE = """
    import os
    from pathlib import Path

    class Deployment:
        def request(self, data):
            if not Path(data).exists():
                Path(data).touch()
                os._exit(1)
            return "survived"
"""


@pytest.mark.parametrize("express", [True, False])
def test_a_request_is_restarted_where_the_version_says_so(project: TestProject, tmp_path: Path, express: bool) -> None:
    project.create_deployment(**PLAIN)
    project.deploy_version(DIE_ONCE, restart_request_interruption=True)
    mark = str(tmp_path / "mark")
    if express:
        assert project.request(mark) == "survived"
        [listed] = project.api.deployment_requests_list("lab", "model")
        request = project.api.deployment_requests_get("lab", "model", listed.id)
    else:
        [queued] = project.api.batch_deployment_requests_create("lab", "model", [mark])
        request = project.finished([queued.id])[queued.id]
    assert (request.status, request.result) == ("completed", "survived")
    assert project.api.deployment_requests_get("lab", "model", request.id).retries == 1


def test_it_is_not_restarted_otherwise(project: TestProject, tmp_path: Path) -> None:
    project.create_deployment(**PLAIN)
    project.deploy_version(DIE_ONCE)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="stopped unexpectedly"):
        project.request(str(tmp_path / "mark"))


def test_code_that_always_dies_fails_in_the_end(project: TestProject) -> None:
    project.create_deployment(**PLAIN)
    code = DOUBLE.replace('return {"y": data["x"] * 2}', "__import__('os')._exit(1)")
    project.deploy_version(code, restart_request_interruption=True)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="stopped unexpectedly"):
        project.request("")
    assert len([line for line in project.log() if "the request is restarted" in line]) == 3
