"""`deploy`: what it makes, what it leaves alone, and how it fails."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.project import TestProject
from test.utils.packages import write
from ubiops.emulator import Emulator, Fault
from ubiops.utils import BuildFailed, InvalidPackage, deploy, polling

DOUBLE = """
    import os

    class Deployment:
        def request(self, data):
            return {"y": data["x"] * float(os.environ.get("FACTOR", 2))}
"""
X, Y = {"x": "double"}, {"y": "double"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write(tmp_path / "package", {"deployment.py": DOUBLE})


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which has to be empty afterwards; in its place, since others use it too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def run(project: TestProject, package: Path, **options: Any) -> Any:
    return deploy(project.api, "lab", package, "model", **{"input_fields": X, "output_fields": Y, **options})


def changes(project: TestProject) -> int:
    """How many things were changed in the project; downloads are none."""
    return sum(event.action != "info" for event in project.api.project_audit_events_list("lab", limit=500))


def revisions(project: TestProject, version: str = "v1") -> int:
    return len(project.api.revisions_list("lab", "model", version))


# What it makes


def test_one_call_makes_a_folder_take_requests(project: TestProject, package: Path, temporary: Path) -> None:
    version = run(
        project,
        package,
        language="python3.10",
        instance_type="512mb",
        maximum_instances=2,
        labels={"stage": "test"},
        deployment_settings={"description": "Doubles", "labels": {"team": "grid"}},
    )
    assert (version.status, version.language, version.instance_type) == ("available", "python3.10", "512mb")
    assert (version.maximum_instances, version.labels, version.has_request_method) == (2, {"stage": "test"}, True)
    deployment = project.api.deployments_get("lab", "model")
    assert (deployment.description, deployment.labels) == ("Doubles", {"team": "grid"})
    assert [(field.name, field.data_type) for field in deployment.input_fields] == [("x", "double")]
    assert project.request({"x": 4}) == {"y": 8}
    assert list(temporary.iterdir()) == []


def test_fields_are_taken_as_the_api_takes_them(project: TestProject, package: Path) -> None:
    inputs = [ubiops.DeploymentInputFieldCreate(name="x", data_type="double")]
    run(project, package, input_fields=inputs, output_fields=[{"name": "y", "data_type": "double"}])
    assert project.request({"x": 4}) == {"y": 8}


def test_r_is_not_checked_as_python(project: TestProject, tmp_path: Path) -> None:
    package = write(tmp_path / "r", {"deployment.R": "request <- function(input_data) input_data"})
    # The emulator builds no R.
    with pytest.raises(BuildFailed, match=r"r4\.0"):
        deploy(project.api, "lab", package, "model", language="r4.0")


def test_without_fields_it_is_plain(project: TestProject, tmp_path: Path) -> None:
    package = write(
        tmp_path / "plain", {"deployment.py": "class Deployment:\n    def request(self, data): return data"}
    )
    deploy(project.api.api_client, "lab", package, "model")
    assert project.request("as it is") == "as it is"


def test_variables_reach_the_code_and_secrets_stay_secret(project: TestProject, package: Path) -> None:
    run(project, package, environment_variables=[{"name": "FACTOR", "value": "3", "secret": True}])
    assert project.request({"x": 4}) == {"y": 12}
    [variable] = project.api.deployment_version_environment_variables_list("lab", "model", "v1")
    assert (variable.name, variable.value, variable.secret) == ("FACTOR", None, True)


def test_what_the_ignore_file_names_stays_here(project: TestProject, package: Path, tmp_path: Path) -> None:
    write(package, {".ubiops-ignore": "data/\n", "data/cars.csv": "1,2\n"})
    run(project, package)
    [revision] = project.api.revisions_list("lab", "model", "v1")
    content = project.api.revisions_file_download("lab", "model", revision.id, "v1", _preload_content=False).read()
    assert b"deployment_package/deployment.py" in content
    assert b"cars.csv" not in content


# What it leaves alone


def test_a_second_call_changes_nothing(project: TestProject, package: Path) -> None:
    settings: dict[str, Any] = {"maximum_instances": 2, "environment_variables": {"FACTOR": "3"}, "monitoring": None}
    first = run(project, package, **settings)
    before = changes(project)
    second = run(project, package, **settings)
    assert (second.id, second.active_revision) == (first.id, first.active_revision)
    assert (revisions(project), changes(project)) == (1, before)


def test_only_what_differs_is_changed(project: TestProject, package: Path) -> None:
    run(project, package, labels={"stage": "test"}, maximum_instances=2)
    version = run(project, package, maximum_instances=3, input_fields=None)
    assert (version.maximum_instances, version.labels) == (3, {"stage": "test"})
    assert revisions(project) == 1


def test_a_changed_package_is_uploaded(project: TestProject, package: Path) -> None:
    run(project, package)
    write(package, {"deployment.py": DOUBLE.replace("2))", "5))")})
    run(project, package)
    assert project.request({"x": 4}) == {"y": 20}
    assert revisions(project) == 2


def test_a_package_in_service_whose_download_breaks_off_is_an_error_of_the_api(
    emulator: Emulator, project: TestProject, package: Path
) -> None:
    run(project, package)
    emulator.faults.add(Fault("GET", "*/download", truncate=True))
    with pytest.raises(ubiops.exceptions.ApiConnectionError):
        run(project, package)


def test_a_package_that_is_no_longer_the_latest_is_uploaded_again(project: TestProject, package: Path) -> None:
    run(project, package)
    project.upload({"deployment.py": "broken"})
    run(project, package)
    assert revisions(project) == 3


def test_fields_can_be_changed(project: TestProject, package: Path) -> None:
    run(project, package)
    write(package, {"deployment.py": DOUBLE.replace('"x"', '"z"')})
    run(project, package, input_fields={"z": "double"})
    assert project.request({"z": 4}) == {"y": 8}


def test_another_version_stands_beside_the_first(project: TestProject, package: Path) -> None:
    run(project, package)
    run(project, package, version="v2")
    assert (revisions(project), revisions(project, "v2")) == (1, 1)


# How it fails


def test_a_package_that_would_not_build_is_refused_before_anything_is_sent(
    project: TestProject, tmp_path: Path
) -> None:
    package = write(tmp_path / "empty", {"main.py": ""})
    with pytest.raises(InvalidPackage, match=r"has no deployment\.py"):
        run(project, package)
    assert project.api.deployments_list("lab") == []


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"maximum_instance": 2}, "`maximum_instance` for `deploy`; did you mean `maximum_instances`"),
        ({"maximum_instances": "two"}, "maximum_instances"),
        ({"deployment_settings": {"label": {}}}, "`label` for `deploy`; did you mean `labels`"),
        ({"deployment_settings": "text"}, "`deployment_settings` when calling `deploy`, expected dict"),
        ({"input_fields": "x"}, "`input_fields` when calling `deploy`, expected dict or list"),
        ({"input_fields": {"x": "float"}}, "data_type"),
        (
            {"environment_variables": {"FACTOR": 3}},
            "`environment_variables['FACTOR'].value` when calling `deploy`, expected str, got int",
        ),
        ({"timeout": "long"}, "`timeout` when calling `deploy`"),
    ],
)
def test_a_bad_argument_is_refused_before_anything_is_sent(
    project: TestProject, package: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises((ubiops.ApiTypeError, ubiops.ApiValueError)) as caught:
        run(project, package, **options)
    assert problem in str(caught.value)
    assert project.api.deployments_list("lab") == []


def test_what_is_there_can_not_become_something_else(project: TestProject, package: Path, tmp_path: Path) -> None:
    run(project, package, language="python3.9")
    before = changes(project)
    with pytest.raises(ubiops.ApiValueError, match=r"version v1 has the language python3\.9, which can't change"):
        run(project, package, language="python3.10", maximum_instances=3)
    project.api.deployments_create("lab", {"name": "plain", "input_type": "plain", "output_type": "plain"})
    with pytest.raises(ubiops.ApiValueError, match="plain has plain input, which can't be changed"):
        deploy(project.api, "lab", package, "plain", input_fields=X)
    assert changes(project) == before + 1


def test_a_failed_build_shows_why_and_what_is_there(project: TestProject, package: Path, temporary: Path) -> None:
    write(
        package, {"deployment.py": "print('loading')\nraise ValueError('no model')\nclass Deployment:\n    request = 1"}
    )
    with pytest.raises(BuildFailed, match="ValueError: no model") as caught:
        run(project, package)
    assert "loading" in caught.value.logs
    assert notes(caught.value) == [
        "deploy() had created the deployment model and the version v1: call it again to continue, or delete them"
    ]
    write(package, {"deployment.py": DOUBLE})
    assert run(project, package).status == "available"
    assert list(temporary.iterdir()) == []


def notes(error: BaseException) -> list[str]:
    """What was added to an error; before Python 3.11 nothing can be."""
    if not hasattr(error, "add_note"):
        pytest.skip("needs notes")
    return [note for note in getattr(error, "__notes__", []) if note.startswith("deploy()")]


def test_an_upload_that_breaks_off_can_be_taken_up(
    project: TestProject, emulator: Emulator, package: Path, temporary: Path
) -> None:
    emulator.faults.add(Fault(method="POST", path="*/revisions", drop=True))
    with pytest.raises(ubiops.ApiConnectionError):
        run(project, package)
    assert list(temporary.iterdir()) == []
    assert run(project, package).status == "available"
    assert project.request({"x": 4}) == {"y": 8}


def test_ctrl_c_during_the_build_leaves_no_file(
    project: TestProject, package: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(_self: polling.Backoff) -> bool:
        raise KeyboardInterrupt

    # A signal would come at some moment, not while the build is waited for.
    monkeypatch.setattr(polling.Backoff, "pause", press)
    write(
        package, {"deployment.py": "import time\ntime.sleep(600)\nclass Deployment:\n    def request(self, data): pass"}
    )
    with pytest.raises(KeyboardInterrupt) as caught:
        run(project, package)
    assert list(temporary.iterdir()) == []
    assert "the deployment model" in notes(caught.value)[0]


def test_a_project_that_is_not_there_and_a_token_that_may_not(
    project: TestProject, callers: Callers, package: Path
) -> None:
    with pytest.raises(ubiops.NotFoundError, match="'nowhere'"):
        deploy(project.api, "nowhere", package, "model")
    viewer = callers.service_user("project-viewer")
    with pytest.raises(ubiops.ForbiddenError, match=r"deployments\.create"):
        deploy(viewer, "lab", package, "model")
    assert project.api.deployments_list("lab") == []


def test_somebody_who_was_faster_is_no_error(
    project: TestProject, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ubiops.CoreApi.deployments_create

    def create_after_another(self: ubiops.CoreApi, *arguments: Any) -> Any:
        create(self, *arguments)
        return create(self, *arguments)

    # The moment between asking and creating is too short to be met.
    monkeypatch.setattr(ubiops.CoreApi, "deployments_create", create_after_another)
    assert run(project, package).status == "available"
