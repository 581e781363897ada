"""The data directory that an emulator of release 3.12.1 has left, filled by its own client, is read on."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

import ubiops
from test.emulator.project import TestProject
from ubiops.emulator import Emulator
from ubiops.utils import download_file

KEPT = Path(__file__).with_name("data-3.12.1.tar.xz")
ROBOT = "f0a48dd484fd55b08a5a7c729b349260823f8fb6"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[TestProject]:
    with tarfile.open(KEPT) as archive:
        archive.extractall(tmp_path, filter="data")
    with Emulator(data_dir=tmp_path / "data-3.12.1", token="t") as emulator, emulator.client().api_client as client:
        yield TestProject(ubiops.CoreApi(client), "lab")


def test_all_that_it_kept_is_there(project: TestProject, tmp_path: Path) -> None:
    api = project.api
    assert [one.name for one in api.projects_list()] == ["lab"]
    events = [event.event for event in api.project_audit_events_list("lab", limit=100)]
    assert (len(events), events[0], events[-2]) == (15, "Created deployment model", "Created role reader")
    model = api.deployments_get("lab", "model")
    assert (model.description, model.labels, model.default_version) == ("doubles", {"team": "a"}, "v1")
    assert [(field.name, field.data_type) for field in model.input_fields] == [("x", "double")]
    versions = api.deployment_versions_list("lab", "model")
    assert {one.version: one.status for one in versions} == {"v1": "available", "v2": "unavailable"}
    # Its own, and the project's, which it inherits.
    variables = api.deployment_environment_variables_list("lab", "model")
    assert [(one.name, one.value, one.secret) for one in variables] == [("KEY", "open", False), ("TOKEN", None, True)]

    requests = api.deployment_requests_list("lab", "model")
    assert {one.status for one in requests} == {"completed"}
    found = api.deployment_requests_batch_get("lab", "model", [one.id for one in requests])
    results = sorted((one.request_data["x"], one.result["y"]) for one in found)
    assert results == [(1, 2), (2, 4), (4, 8), (5, 10)]
    [request] = api.pipeline_requests_list("lab", "line")
    of_pipeline = api.pipeline_requests_get("lab", "line", request.id)
    assert (of_pipeline.status, of_pipeline.result) == ("completed", {"y": 10})
    assert [step.pipeline_object for step in of_pipeline.deployment_requests] == ["double"]
    [version] = api.pipeline_versions_list("lab", "line")
    assert [one.name for one in api.pipeline_versions_get("lab", "line", version.version).objects] == ["double"]

    [schedule] = api.request_schedules_list("lab")
    assert (schedule.name, schedule.schedule, schedule.enabled) == ("nightly", "0 3 * * *", False)
    download_file(api.api_client, "lab", file_uri="ubiops-file://files/folder/hello.txt", output_path=str(tmp_path))
    assert (tmp_path / "hello.txt").read_text() == "hello\n"
    [blob] = api.blobs_list("lab")
    with api.blobs_get("lab", blob.id) as content:
        assert content.read() == b"hello\n"
    [robot] = api.service_users_list("lab")
    [assignment] = api.role_assignments_per_object_list("lab", assignee=robot.id, assignee_type="user")
    assert (robot.name, assignment.role) == ("robot", "reader")


def test_it_works_on(project: TestProject) -> None:
    api = project.api
    # With the package that was uploaded then.
    assert project.request({"x": 3}) == {"y": 6}
    assert api.pipeline_requests_create("lab", "line", {"x": 4}).result == {"y": 8}
    revisions = api.revisions_list("lab", "model", "v1")
    with api.revisions_file_download("lab", "model", revisions[0].id, "v1") as package:
        assert package.read().startswith(b"PK")
    project.deploy_version(version="v3")
    host = api.api_client.configuration.host
    headers = {"Authorization": f"Token {ROBOT}"}
    with urllib3.PoolManager() as http:
        assert http.request("GET", f"{host}/projects/lab/deployments", headers=headers).status == 200
        assert http.request("DELETE", f"{host}/projects/lab/deployments/model", headers=headers).status == 403
