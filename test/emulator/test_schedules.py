"""Request schedules."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.project import TestProject
from ubiops.emulator import Emulator

NEW_YEAR = datetime(2023, 1, 1, tzinfo=timezone.utc)
"""A Sunday."""


def create(project: TestProject, **settings: Any) -> Any:
    data = {
        "name": "hourly",
        "object_type": "deployment",
        "object_name": "model",
        "schedule": "0 * * * *",
        "request_data": {"x": 4},
        **settings,
    }
    return project.api.request_schedules_create("lab", data)


def requests(project: TestProject, version: str = "v1") -> Any:
    return project.api.deployment_version_requests_list("lab", "model", version, limit=100)


def test_a_schedule_has_the_defaults_of_the_reference(project: TestProject) -> None:
    project.create_deployment()
    created = create(project)
    assert created.to_dict() | {"id": None, "creation_date": None} == {
        "id": None,
        "name": "hourly",
        "object_type": "deployment",
        "object_name": "model",
        "version": None,
        "schedule": "0 * * * *",
        "request_data": {"x": 4},
        "timeout": 14400,
        "enabled": True,
        "creation_date": None,
        "description": "",
        "labels": {},
    }
    assert project.api.request_schedules_get("lab", "hourly") == created
    assert project.api.request_schedules_list("lab") == [created]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"name": "Hourly"}, "schedule name 'Hourly' is not valid"),
        ({"object_type": "bucket"}, "object_type: it must be one of deployment, pipeline"),
        ({"schedule": "* * * *"}, "is not a crontab; it must have five fields"),
        ({"schedule": "@daily"}, "is not a crontab"),
        ({"schedule": "* * * * * *"}, "is not a crontab"),
        ({"schedule": "0 0 * * MON"}, "is not a crontab"),
        ({"schedule": "60 * * * *"}, "never occurs"),
        ({"schedule": "0 0 30 2 *"}, "never occurs"),
        ({"schedule": "0 0 * * 7"}, "day of the week"),
        ({"request_data": "4"}, "the input of 'model' is structured, so it must be a dictionary"),
        ({"request_data": [{"x": 4}]}, "must be a dictionary"),
        ({"timeout": 9}, "timeout: it must be from 10 to 172800"),
        ({"timeout": 172801}, "timeout: it must be from 10 to 172800"),
        ({"description": "d" * 401}, "description: it must have at most 400"),
    ],
)
def test_what_breaks_a_rule_is_400(project: TestProject, settings: dict[str, Any], problem: str) -> None:
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        create(project, **settings)
    assert project.api.request_schedules_list("lab") == []


def test_what_a_schedule_names_must_be_there(project: TestProject) -> None:
    with pytest.raises(ubiops.exceptions.NotFoundError, match="deployment 'model' was not found"):
        create(project)
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.NotFoundError, match="version was not found"):
        create(project, version="v1")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="'hourly' was not found"):
        project.api.request_schedules_get("lab", "hourly")


def test_a_name_is_taken_once_in_a_project(project: TestProject) -> None:
    project.create_deployment()
    create(project)
    with pytest.raises(ubiops.exceptions.ConflictError, match="'hourly' exists already"):
        create(project)
    create(project, name="daily")
    with pytest.raises(ubiops.exceptions.ConflictError):
        project.api.request_schedules_update("lab", "daily", {"name": "hourly"})


def test_schedules_are_filtered_by_label(project: TestProject) -> None:
    project.create_deployment()
    create(project, name="a", labels={"type": "daily"})
    create(project, name="b", labels={"type": "hourly"})
    assert [schedule.name for schedule in project.api.request_schedules_list("lab", labels="type:daily")] == ["a"]


def test_an_update_changes_what_it_gives(project: TestProject) -> None:
    project.create_deployment()
    created = create(project, labels={"a": "1"})
    updated = project.api.request_schedules_update(
        "lab", "hourly", {"name": "nightly", "schedule": "0 3 * * *", "enabled": False, "timeout": 60}
    )
    assert (updated.id, updated.name, updated.schedule) == (created.id, "nightly", "0 3 * * *")
    assert (updated.enabled, updated.timeout, updated.labels, updated.request_data) == (False, 60, {"a": "1"}, {"x": 4})
    updated = project.api.request_schedules_update("lab", "nightly", {"request_data": ubiops.NULL, "description": "d"})
    assert (updated.request_data, updated.description, updated.enabled) == (None, "d", False)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="not a crontab"):
        project.api.request_schedules_update("lab", "nightly", {"schedule": "often"})


def test_a_read_schedule_can_be_sent_back(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    read = create(project, version="v1")
    assert read.version == "v1"
    update = ubiops.ScheduleUpdate(**read.to_dict())
    assert project.api.request_schedules_update("lab", "hourly", update) == read


@pytest.mark.usefixtures("deployed")
def test_it_makes_a_request_whenever_its_time_comes(project: TestProject, emulator: Emulator) -> None:
    create(project, schedule="*/20 9-10 * * 0")
    for minutes in sorted({*range(0, 24 * 60, 60), *range(9 * 60, 11 * 60, 5)}):
        emulator.tick(NEW_YEAR + timedelta(minutes=minutes))
    emulator.tick(NEW_YEAR + timedelta(days=1, hours=9))
    made = requests(project)
    assert len(made) == 6
    done = project.finished([request.id for request in made])
    assert {request.result["y"] for request in done.values()} == {8}
    request = project.api.deployment_requests_get("lab", "model", made[0].id)
    assert (request.created_by, request.origin) == ("UbiOps", {"request_schedule": "hourly"})


@pytest.mark.usefixtures("deployed")
def test_the_zone_of_a_schedule_is_utc(project: TestProject, emulator: Emulator) -> None:
    create(project, schedule="0 9 * * *")
    emulator.tick(datetime(2023, 1, 1, 9, tzinfo=timezone(timedelta(hours=2))))
    assert requests(project) == []
    emulator.tick(datetime(2023, 1, 1, 11, 0, 30, tzinfo=timezone(timedelta(hours=2))))
    assert len(requests(project)) == 1


@pytest.mark.usefixtures("deployed")
def test_a_disabled_schedule_rests(project: TestProject, emulator: Emulator) -> None:
    create(project, enabled=False)
    emulator.tick(NEW_YEAR)
    assert requests(project) == []
    project.api.request_schedules_update("lab", "hourly", {"enabled": True})
    emulator.tick(NEW_YEAR)
    assert len(requests(project)) == 1
    project.api.request_schedules_delete("lab", "hourly")
    emulator.tick(NEW_YEAR)
    assert len(requests(project)) == 1


@pytest.mark.usefixtures("deployed")
def test_it_goes_to_the_default_version_or_to_the_one_given(project: TestProject, emulator: Emulator) -> None:
    project.deploy_version(version="v2")
    create(project)
    create(project, name="fixed", version="v1")
    project.api.deployments_update("lab", "model", {"default_version": "v2"})
    emulator.tick(NEW_YEAR)
    assert (len(requests(project, "v1")), len(requests(project, "v2"))) == (1, 1)


@pytest.mark.usefixtures("deployed")
def test_what_it_cannot_request_goes_to_the_log(project: TestProject, emulator: Emulator) -> None:
    create(project, request_data={"z": 1})
    create(project, name="empty", request_data=None)
    emulator.tick(NEW_YEAR)
    lines = project.log(system=True, level="error")
    assert [line.partition(": ")[0] for line in lines] == [
        "The request schedule hourly made no request",
        "The request schedule empty made no request",
    ]
    assert "'z'" in lines[0] or "'x'" in lines[0]


def test_a_plain_deployment_takes_a_string(project: TestProject, emulator: Emulator) -> None:
    code = """
        class Deployment:
            def request(self, data):
                return data.upper()
    """
    project.deploy(code, input_type="plain", output_type="plain", input_fields=None, output_fields=None)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="is plain, so it must be a string"):
        create(project)
    create(project, request_data="hi")
    emulator.tick(NEW_YEAR)
    [made] = requests(project)
    assert project.finished([made.id])[made.id].result == "HI"


def test_what_a_schedule_references_stays(project: TestProject) -> None:
    project.create_deployment()
    for version in ("v1", "v2", "v3"):
        project.create_version(version)
    create(project, version="v2")
    with pytest.raises(ubiops.exceptions.BadRequestError, match="referenced by the request schedule 'hourly'"):
        project.api.deployments_delete("lab", "model")
    with pytest.raises(ubiops.exceptions.BadRequestError, match="referenced by the request schedule 'hourly'"):
        project.api.deployment_versions_delete("lab", "model", "v2")
    project.api.deployment_versions_delete("lab", "model", "v3")
    create(project, name="default")
    with pytest.raises(ubiops.exceptions.BadRequestError, match="referenced by the request schedule 'default'"):
        project.api.deployment_versions_delete("lab", "model", "v1")
    for name in ("hourly", "default"):
        project.api.request_schedules_delete("lab", name)
    project.api.deployments_delete("lab", "model")


def test_it_follows_the_names_of_what_it_references(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    create(project, version="v1")
    project.api.deployments_update("lab", "model", {"name": "new"})
    project.api.deployment_versions_update("lab", "new", "v1", {"version": "v9"})
    schedule = project.api.request_schedules_get("lab", "hourly")
    assert (schedule.object_name, schedule.version) == ("new", "v9")


def test_requests_are_deleted_when_their_time_is_over(project: TestProject, emulator: Emulator) -> None:
    project.create_deployment()
    project.deploy_version(request_retention_time=3600)
    project.request({"x": 1})
    [kept] = requests(project)
    # The time that held when the request started is what counts.
    project.api.deployment_versions_update("lab", "model", "v1", {"request_retention_time": 10})
    emulator.tick(kept.time_started + timedelta(minutes=59))
    assert [request.id for request in requests(project)] == [kept.id]
    emulator.tick(kept.time_started + timedelta(minutes=61))
    assert requests(project) == []


@pytest.mark.usefixtures("deployed")
def test_a_schedule_of_a_pipeline(project: TestProject, emulator: Emulator) -> None:
    api = project.api
    fields = [{"name": "x", "data_type": "double"}], [{"name": "y", "data_type": "double"}]
    types = {"input_type": "structured", "output_type": "structured"}
    api.pipelines_create("lab", {"name": "p", **types, "input_fields": fields[0], "output_fields": fields[1]})
    mapping = [{"source_field_name": "x", "destination_field_name": "x"}]
    source = {"source_name": "pipeline_start", "mapping": mapping}
    attachments = [{"destination_name": "step", "sources": [source]}]
    objects = [{"name": "step", "reference_name": "model"}]
    api.pipeline_versions_create("lab", "p", {"version": "v1", "objects": objects, "attachments": attachments})
    with pytest.raises(ubiops.exceptions.NotFoundError):
        create(project, object_type="pipeline", object_name="model")
    created = create(project, object_type="pipeline", object_name="p", version="v1")
    assert (created.object_type, created.object_name, created.version) == ("pipeline", "p", "v1")
    create(project, name="wrong", object_type="pipeline", object_name="p", request_data={})
    emulator.tick(NEW_YEAR)
    [listed] = api.pipeline_requests_list("lab", "p")
    made = api.pipeline_requests_get("lab", "p", listed.id)
    assert (made.created_by, made.origin) == ("UbiOps", {"request_schedule": "hourly"})
    [line] = project.log(system=True, level="error")
    assert line.startswith("The request schedule wrong made no request")
    api.pipelines_delete("lab", "p")
    assert api.request_schedules_list("lab") == []


def test_schedules_survive_a_restart(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, project="lab", token="t") as emulator:
        project = TestProject(emulator.client(), "lab")
        project.deploy()
        create(project)
        project.api.api_client.close()
    with Emulator(data_dir=tmp_path, token="t") as emulator:
        project = TestProject(emulator.client(), "lab")
        emulator.tick(NEW_YEAR)
        assert len(requests(project)) == 1
        project.api.api_client.close()


def test_schedules_are_audited(project: TestProject) -> None:
    project.create_deployment()
    create(project)
    project.api.request_schedules_update("lab", "hourly", {"name": "nightly", "request_data": {"x": 77}})
    project.api.request_schedules_delete("lab", "nightly")
    events = [event.event for event in project.api.project_audit_events_list("lab") if "schedule" in event.event]
    assert sorted(events) == [
        "Created schedule hourly",
        "Deleted schedule nightly",
        "Updated schedule hourly: changed name from hourly to nightly",
    ]
