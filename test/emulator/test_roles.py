"""Roles, their assignments, and what they permit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.project import TestProject
from ubiops.emulator.access.permissions import PERMISSIONS, required
from ubiops.emulator.handlers import load_handlers
from ubiops.emulator.web.document import load_document

BadRequest = ubiops.exceptions.BadRequestError
Forbidden = ubiops.exceptions.ForbiddenError
NotFound = ubiops.exceptions.NotFoundError

CUSTOM = ["deployments.list", "deployments.get", "deployments.delete"]


def test_permissions_are_listed(api: ubiops.CoreApi) -> None:
    names = [permission.name for permission in api.permissions_list()]
    assert len(names) == len(set(names))
    assert {*CUSTOM, "roles.assignments.create", "pipelines.versions.requests.list"} <= set(names)


def test_every_operation_on_a_project_needs_a_known_permission() -> None:
    document = load_document()
    handlers = load_handlers(document.operations)
    for operation in document.operations.values():
        if "project_name" in operation.path_names and operation.id in handlers:
            assert set(required(operation.id)) <= set(PERMISSIONS), operation.id


def test_there_are_default_roles(project: TestProject) -> None:
    roles = {role.name: role for role in project.api.roles_list("lab")}
    assert {
        f"{kind}-{grade}"
        for kind in ("project", "deployment", "pipeline", "blob")
        for grade in ("admin", "editor", "viewer")
    } <= roles.keys()
    assert {"files-reader", "files-writer", "files-reader-restricted", "service-user-project-admin"} <= roles.keys()
    assert all(role.default is True for role in roles.values())
    viewer = project.api.roles_get("lab", "deployment-viewer")
    assert viewer.id == roles["deployment-viewer"].id
    assert "deployments.versions.requests.list" in viewer.permissions
    assert not [name for name in viewer.permissions if name.rpartition(".")[2] not in ("list", "get")]


def test_a_custom_role(project: TestProject) -> None:
    created = project.api.roles_create("lab", {"name": "cleaner", "permissions": CUSTOM})
    assert (created.name, created.default, created.permissions) == ("cleaner", False, CUSTOM)
    assert project.api.roles_get("lab", "cleaner") == created
    assert project.api.roles_list("lab")[-1].name == "cleaner"
    updated = project.api.roles_update("lab", "cleaner", {"name": "janitor"})
    assert (updated.id, updated.name, updated.permissions) == (created.id, "janitor", CUSTOM)
    assert project.api.roles_update("lab", "janitor", {"permissions": CUSTOM[:1]}).permissions == CUSTOM[:1]
    project.api.roles_delete("lab", "janitor")
    with pytest.raises(NotFound, match="role 'janitor' was not found in the project 'lab'"):
        project.api.roles_get("lab", "janitor")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"name": "Cleaner", "permissions": CUSTOM}, "The role name 'Cleaner' is not valid"),
        ({"name": "cleaner", "permissions": ["deployments.clean"]}, "there is no 'deployments.clean'"),
    ],
)
def test_a_role_that_can_not_be(project: TestProject, data: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
        project.api.roles_create("lab", data)


@pytest.mark.parametrize("name", ["cleaner", "project-admin"])
def test_a_role_name_is_taken_once(project: TestProject, name: str) -> None:
    project.api.roles_create("lab", {"name": "cleaner", "permissions": CUSTOM})
    with pytest.raises(ubiops.exceptions.ConflictError, match=f"A role named '{name}' exists already"):
        project.api.roles_create("lab", {"name": name, "permissions": CUSTOM})


def test_default_roles_are_fixed(project: TestProject) -> None:
    with pytest.raises(BadRequest, match="'project-admin' is a default role and can't be deleted"):
        project.api.roles_delete("lab", "project-admin")
    with pytest.raises(BadRequest, match="'project-admin' is a default role and can't be changed"):
        project.api.roles_update("lab", "project-admin", {"permissions": CUSTOM})


def test_a_role_belongs_to_its_project(project: TestProject) -> None:
    project.api.projects_create({"name": "other", "organization_name": "emulator"})
    project.api.roles_create("lab", {"name": "cleaner", "permissions": CUSTOM})
    with pytest.raises(NotFound):
        project.api.roles_get("other", "cleaner")


def test_assignments(project: TestProject) -> None:
    project.create_deployment()
    user = project.api.service_users_create("lab", {})
    data = {"assignee": user.id, "assignee_type": "user", "role": "deployment-viewer"}
    on_project = project.api.role_assignments_create("lab", data)
    assert (on_project.resource, on_project.resource_type) == ("lab", "project")
    place = {"resource": "model", "resource_type": "deployment"}
    on_deployment = project.api.role_assignments_create("lab", {**data, **place})
    assert (on_deployment.assignee, on_deployment.resource) == (user.id, "model")
    assert project.api.role_assignments_get("lab", on_deployment.id) == on_deployment
    listed = project.api.role_assignments_per_object_list
    assert listed("lab", assignee=user.id, assignee_type="user") == [on_project, on_deployment]
    assert listed("lab", **place) == [on_deployment]
    assert listed("lab", resource_type="deployment") == [on_deployment]
    project.api.deployments_update("lab", "model", {"name": "renamed"})
    assert project.api.role_assignments_get("lab", on_deployment.id).resource == "renamed"
    project.api.role_assignments_delete("lab", on_project.id)
    with pytest.raises(NotFound, match=f"role assignment '{on_project.id}' was not found"):
        project.api.role_assignments_get("lab", on_project.id)


def test_a_deployment_reads_a_bucket(project: TestProject) -> None:
    project.create_deployment()
    place = {"resource": "default", "resource_type": "bucket"}
    data = {"assignee": "model", "assignee_type": "deployment", "role": "file-reader", **place}
    assignment = project.api.role_assignments_create("lab", data)
    assert (assignment.assignee, assignment.assignee_type, assignment.role) == ("model", "deployment", "files-reader")
    listed = project.api.role_assignments_per_object_list("lab", assignee="model", assignee_type="deployment")
    assert listed == [assignment]
    project.api.deployments_delete("lab", "model")
    assert project.api.role_assignments_per_object_list("lab", **place) == []


@pytest.mark.parametrize(
    ("changed", "problem", "kind"),
    [
        ({"resource": "model"}, "resource and resource_type must be passed together", BadRequest),
        ({"resource_type": "project"}, "must be passed together", BadRequest),
        ({"resource": "x", "resource_type": "cat"}, "resource_type: it must be project, deployment, pipe", BadRequest),
        ({"assignee_type": "pipeline"}, "assignee_type: it must be user or deployment, not 'pipeline'", BadRequest),
        ({"assignee": "nobody"}, "no user 'nobody' in the project 'lab'", NotFound),
        ({"role": "nothing"}, "role 'nothing' was not found", NotFound),
        ({"resource": "nothing", "resource_type": "deployment"}, "deployment 'nothing' was not found", NotFound),
        ({"resource": "other", "resource_type": "project"}, "project 'other' was not found", NotFound),
    ],
)
def test_an_assignment_that_can_not_be(
    project: TestProject, changed: dict[str, str], problem: str, kind: type[Exception]
) -> None:
    user = project.api.service_users_create("lab", {})
    data = {"assignee": user.id, "assignee_type": "user", "role": "deployment-viewer", **changed}
    with pytest.raises(kind, match=problem):
        project.api.role_assignments_create("lab", data)


def test_a_role_is_assigned_once(project: TestProject, callers: Callers) -> None:
    user = project.api.service_users_create("lab", {})
    callers.assign("deployment-viewer", user.id)
    with pytest.raises(BadRequest, match="has the role 'deployment-viewer' there already"):
        callers.assign("deployment-viewer", user.id)


@pytest.mark.parametrize(
    "filters", [{"resource": "model"}, {"assignee": "model"}, {"resource_type": "cat"}, {"assignee_type": "cat"}]
)
def test_a_filter_that_makes_no_sense_is_refused(project: TestProject, filters: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match=next(iter(filters))):
        project.api.role_assignments_per_object_list("lab", **filters)


# What roles permit


def test_a_viewer_reads_an_editor_writes_an_admin_deletes(project: TestProject, callers: Callers) -> None:
    project.create_deployment()
    for role, may in (("viewer", "r"), ("editor", "rw"), ("admin", "rwd")):
        robot = callers.service_user(f"deployment-{role}")
        acts: dict[str, Callable[[], Any]] = {
            "r": partial(robot.deployments_get, "lab", "model"),
            "w": partial(robot.deployments_update, "lab", "model", {"description": "text"}),
            "d": partial(robot.deployments_delete, "lab", "model"),
        }
        for letter, act in acts.items():
            if letter in may:
                act()
            else:
                with pytest.raises(Forbidden, match="You don't have the permission deployments"):
                    act()


def test_deployment_roles_stop_at_deployments(project: TestProject, callers: Callers) -> None:
    robot = callers.service_user("deployment-admin")
    for act in (
        lambda: robot.projects_get("lab"),
        lambda: robot.projects_delete("lab"),
        lambda: robot.pipelines_list("lab"),
        lambda: robot.project_environment_variables_list("lab"),
        lambda: robot.projects_log_list("lab", data={}),
        lambda: robot.project_audit_events_list("lab"),
    ):
        with pytest.raises(Forbidden):
            act()
    assert robot.request_schedules_list("lab") == []


@pytest.mark.usefixtures("deployed")
def test_a_role_on_a_deployment_is_for_that_one(project: TestProject, callers: Callers) -> None:
    project.create_deployment("other")
    created = project.api.service_users_create("lab", {})
    callers.assign("deployment-editor", created.id, resource="model", resource_type="deployment")
    robot = callers.with_token(f"Token {created.token}")
    assert robot.deployment_requests_create("lab", "model", {"x": 2}).result == {"y": 4}
    for act in (
        lambda: robot.deployments_get("lab", "other"),
        lambda: robot.deployments_list("lab"),
        lambda: robot.deployments_delete("lab", "model"),
    ):
        with pytest.raises(Forbidden):
            act()


def test_a_copy_needs_to_read_its_source(project: TestProject, callers: Callers) -> None:
    for name in ("mine", "theirs"):
        project.create_deployment(name)
        project.create_version(deployment=name)
    secret = {"name": "SECRET", "value": "hush", "secret": True}
    project.api.deployment_environment_variables_create("lab", "theirs", secret)
    created = project.api.service_users_create("lab", {})
    callers.assign("deployment-admin", created.id, resource="mine", resource_type="deployment")
    robot = callers.with_token(f"Token {created.token}")
    source = {"source_deployment": "theirs"}
    with pytest.raises(Forbidden, match=r"permission deployments\.environment-variables\.list"):
        robot.deployment_environment_variables_copy("lab", "mine", source)
    with pytest.raises(Forbidden, match=r"permission deployments\.versions\.environment-variables\.list"):
        robot.deployment_version_environment_variables_copy("lab", "mine", "v1", {**source, "source_version": "v1"})
    with pytest.raises(Forbidden, match=r"permission deployments\.versions\.revisions\.get"):
        robot.revisions_file_upload("lab", "mine", "v1", source_deployment="theirs", source_version="v1")
    callers.assign("deployment-viewer", created.id, resource="theirs", resource_type="deployment")
    [copy] = robot.deployment_environment_variables_copy("lab", "mine", source)
    assert copy.name == "SECRET"


def test_a_custom_role_permits_what_it_lists(project: TestProject, callers: Callers) -> None:
    project.create_deployment()
    project.api.roles_create("lab", {"name": "looker", "permissions": ["deployments.list"]})
    robot = callers.service_user("looker")
    assert len(robot.deployments_list("lab")) == 1
    with pytest.raises(Forbidden, match=r"permission deployments\.get"):
        robot.deployments_get("lab", "model")
    project.api.roles_update("lab", "looker", {"permissions": ["deployments.get"]})
    assert robot.deployments_get("lab", "model").name == "model"
    project.api.roles_delete("lab", "looker")
    with pytest.raises(Forbidden):
        robot.deployments_get("lab", "model")


def test_people_have_roles_too(project: TestProject, callers: Callers) -> None:
    person, user_id = callers.member("ann@example.com")
    with pytest.raises(Forbidden):
        person.deployments_list("lab")
    assert person.projects_list() == []
    project.api.project_users_create("lab", {"user_id": user_id})
    assert [found.name for found in person.projects_list()] == ["lab"]
    callers.assign("project-viewer", user_id)
    assert person.deployments_list("lab") == []
    assert len(person.roles_list("lab")) > 10
    with pytest.raises(Forbidden):
        TestProject(person, "lab").create_deployment()
    callers.assign("project-admin", user_id)
    created = person.service_users_create("lab", {})
    data = {"assignee": created.id, "assignee_type": "user", "role": "deployment-viewer"}
    assert person.role_assignments_create("lab", data).role == "deployment-viewer"


def test_what_is_not_there_is_404_for_all(callers: Callers, project: TestProject) -> None:
    with pytest.raises(NotFound, match="project 'nothing' was not found"):
        callers.service_user().deployments_list("nothing")


@pytest.mark.usefixtures("deployed")
def test_a_schedule_needs_the_permission_on_its_object(project: TestProject, callers: Callers) -> None:
    schedule = {"name": "nightly", "object_type": "deployment", "object_name": "model", "schedule": "0 3 * * *"}
    robot = callers.service_user("pipeline-admin")
    with pytest.raises(Forbidden, match=r"permission deployments\.versions\.requests\.create"):
        robot.request_schedules_create("lab", schedule)
    created = project.api.service_users_create("lab", {})
    callers.assign("deployment-editor", created.id, resource="model", resource_type="deployment")
    editor = callers.with_token(f"Token {created.token}")
    assert editor.request_schedules_create("lab", {**schedule, "request_data": {"x": 1}}).name == "nightly"
    assert editor.request_schedules_update("lab", "nightly", {"enabled": False}).enabled is False
    with pytest.raises(Forbidden, match=r"permission deployments\.versions\.requests\.get"):
        robot.request_schedules_get("lab", "nightly")
    with pytest.raises(Forbidden):
        editor.request_schedules_list("lab")
    editor.request_schedules_delete("lab", "nightly")
    with pytest.raises(NotFound):
        project.api.request_schedules_get("lab", "nightly")
