"""Audit events."""

from __future__ import annotations

import pytest

import ubiops
from test.emulator.project import DOUBLE, TestProject, make_zip


@pytest.fixture
def project(emptied: ubiops.CoreApi) -> TestProject:
    """A project that was created by a call, which is an event too."""
    emptied.projects_create({"name": "lab", "organization_name": "emulator"})
    return TestProject(emptied, "lab")


def events(project: TestProject, **filters: object) -> list[str]:
    return [found.event for found in project.api.project_audit_events_list("lab", **filters)]


def test_events_tell_what_was_done(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    project.api.deployment_versions_update("lab", "model", "v1", {"version": "v2", "maximum_instances": 3})
    project.api.deployment_versions_delete("lab", "model", "v2")
    project.api.projects_update("lab", {"credits": 5})
    assert events(project) == [
        "Created project lab",
        "Created deployment model",
        "Created version v1 for deployment model",
        "Updated version v1 of deployment model: name changed from v1 to v2, maximum_instances changed from 5 to 3",
        "Deleted version v2 for deployment model",
        "Updated project lab: credits changed from None to 5",
    ]
    first = project.api.project_audit_events_list("lab")[0]
    assert (first.action, first.user) == ("create", "admin@emulator.local")
    assert (first.object_type, first.object_name) == ("project", "lab")
    assert first.date.startswith(project.api.projects_get("lab").creation_date.isoformat())


def test_a_deployment_has_its_own_events(project: TestProject) -> None:
    for name in ("model", "other"):
        project.create_deployment(name)
        project.create_version(deployment=name)
    project.api.deployments_update("lab", "model", {"name": "renamed"})
    found = project.api.deployment_audit_events_list("lab", "renamed")
    assert [event.event for event in found] == [
        "Created deployment model",
        "Created version v1 for deployment model",
        "Updated deployment model: name changed from model to renamed",
    ]
    assert {event.object_name for event in found} == {"renamed"}


def test_an_event_outlives_its_object(project: TestProject) -> None:
    project.create_deployment()
    project.api.deployments_delete("lab", "model")
    created, deleted = project.api.project_audit_events_list("lab", offset=1)
    assert (created.event, created.object_name) == ("Created deployment model", "")
    assert (deleted.event, deleted.object_name) == ("Deleted deployment model", "")
    project.create_deployment()
    assert len(project.api.deployment_audit_events_list("lab", "model")) == 1


def test_packages_are_information(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    upload = project.api.revisions_file_upload("lab", "model", "v1", file=make_zip({"deployment.py": DOUBLE}))
    with project.api.revisions_file_download("lab", "model", upload.revision, "v1", _preload_content=False):
        pass
    assert events(project, action="info") == [
        "Uploaded a package to version v1 of deployment model",
        "Downloaded a package of version v1 of deployment model",
    ]


def test_values_of_variables_are_not_told(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    variable = {"name": "PASSWORD", "value": "hush", "secret": True}
    created = project.api.project_environment_variables_create("lab", variable)
    project.api.project_environment_variables_update("lab", created.id, {**variable, "name": "SECRET", "value": "psst"})
    project.api.project_environment_variables_delete("lab", created.id)
    project.api.deployment_environment_variables_create("lab", "model", variable)
    project.api.deployment_version_environment_variables_copy("lab", "model", "v1", {"source_deployment": "model"})
    found = events(project, offset=3)
    assert found == [
        "Created environment variable PASSWORD for project lab",
        "Updated environment variable PASSWORD for project lab: name changed from PASSWORD to SECRET",
        "Deleted environment variable SECRET for project lab",
        "Created environment variable PASSWORD for deployment model",
        "Copied environment variables PASSWORD from model for version v1 of deployment model",
    ]


def test_events_are_filtered_and_paged(project: TestProject) -> None:
    for number in range(60):
        project.create_deployment(f"model-{number}")
    assert len(events(project)) == 50
    assert len(events(project, limit=500)) == 61
    assert events(project, limit=2, offset=59) == ["Created deployment model-58", "Created deployment model-59"]
    assert events(project, action="delete") == []
    assert len(events(project, action="create", limit=100)) == 61


@pytest.mark.parametrize("filters", [{"action": "read"}, {"limit": -1}, {"offset": -1}])
def test_a_filter_that_makes_no_sense_is_refused(project: TestProject, filters: dict[str, object]) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match=next(iter(filters))):
        events(project, **filters)


def test_what_is_not_there_has_no_events(project: TestProject) -> None:
    for ask in (project.api.deployment_audit_events_list, project.api.pipeline_audit_events_list):
        with pytest.raises(ubiops.exceptions.NotFoundError, match="'nothing' was not found"):
            ask("lab", "nothing")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="'nothing' was not found"):
        project.api.project_audit_events_list("nothing")


def test_a_refused_change_leaves_no_event(project: TestProject) -> None:
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.ConflictError):
        project.create_deployment()
    assert len(events(project)) == 2


def test_events_forget_the_name_of_what_was_deleted(project: TestProject) -> None:
    for name in ("one", "two"):
        project.api.buckets_create("lab", {"name": name, "provider": "ubiops"})
    project.api.buckets_delete("lab", "one")
    found = [(event.event, event.object_name) for event in project.api.project_audit_events_list("lab", offset=1)]
    assert found == [("Created bucket 'one'", ""), ("Created bucket 'two'", "two"), ("Deleted bucket 'one'", "")]
