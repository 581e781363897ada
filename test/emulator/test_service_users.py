"""Service users and their tokens."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

import ubiops
from test.emulator.callers import Callers
from test.emulator.project import TestProject
from ubiops.emulator import Emulator

ORIGIN = "https://example.com:8080"
BadRequest = ubiops.exceptions.BadRequestError
Forbidden = ubiops.exceptions.ForbiddenError
NotFound = ubiops.exceptions.NotFoundError
Unauthorized = ubiops.exceptions.UnauthorizedError


def test_the_token_is_shown_once(project: TestProject) -> None:
    created = project.api.service_users_create("lab", {"name": "The robot"})
    assert len(created.token) >= 40
    assert created.name == "The robot"
    assert created.email.startswith("the-robot.")
    found = project.api.service_users_get("lab", created.id)
    assert found.email == created.email
    for view in (found, *project.api.service_users_list("lab")):
        assert created.token not in str(view.to_dict())


def test_a_service_user_may_do_nothing_without_a_role(project: TestProject, callers: Callers) -> None:
    robot = callers.service_user()
    assert robot.service_status().status == "ok"
    with pytest.raises(Forbidden, match=r"permission deployments\.list"):
        robot.deployments_list("lab")
    assert [found.name for found in robot.projects_list()] == ["lab"]


def test_what_it_does_bears_its_name(project: TestProject, callers: Callers) -> None:
    robot = callers.service_user("service-user-project-admin", name="robot")
    TestProject(robot, "lab").create_deployment()
    event = project.api.deployment_audit_events_list("lab", "model")[0]
    assert event.user.startswith("robot.")


def test_reset_replaces_the_token(project: TestProject, callers: Callers) -> None:
    created = project.api.service_users_create("lab", {})
    callers.assign("deployment-viewer", created.id)
    old = callers.with_token(f"Token {created.token}")
    assert old.deployments_list("lab") == []
    reset = project.api.service_users_token("lab", created.id, {})
    assert callers.with_token(f"Token {reset.token}").deployments_list("lab") == []
    with pytest.raises(Unauthorized, match="The API token is not valid"):
        old.deployments_list("lab")


def test_a_token_expires(project: TestProject, callers: Callers) -> None:
    robot = callers.service_user("deployment-viewer", expiry_date="2999-01-01T00:00:00Z")
    [found] = project.api.service_users_list("lab")
    assert found.expiry_date == "2999-01-01T00:00:00.000+00:00"
    assert robot.deployments_list("lab") == []
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    project.api.service_users_update("lab", found.id, {"expiry_date": yesterday})
    with pytest.raises(Unauthorized, match="The API token has expired"):
        robot.deployments_list("lab")
    updated = project.api.service_users_update("lab", found.id, {"expiry_date": ubiops.NULL})
    assert updated.expiry_date is None
    assert robot.deployments_list("lab") == []


def test_an_update_changes_what_it_gives(project: TestProject) -> None:
    data = {"name": "robot", "allowed_cors_origins": [ORIGIN], "expiry_date": "2999-01-01T00:00:00Z"}
    created = project.api.service_users_create("lab", data)
    updated = project.api.service_users_update("lab", created.id, {"name": "android"})
    assert (updated.name, updated.allowed_cors_origins) == ("android", [ORIGIN])
    assert updated.expiry_date == created.expiry_date
    assert project.api.service_users_update("lab", created.id, {"allowed_cors_origins": []}).allowed_cors_origins == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"name": "x" * 257}, "name: it must have at most 256 characters"),
        ({"allowed_cors_origins": ["example.com"]}, "'example.com' is not an origin"),
        ({"allowed_cors_origins": ["https://example.com/path"]}, "is not an origin"),
        ({"expiry_date": "tomorrow"}, "expiry_date: 'tomorrow' is not a date"),
    ],
)
def test_a_service_user_that_can_not_be(project: TestProject, data: dict[str, Any], problem: str) -> None:
    project.api.api_client.configuration.client_side_validation = False
    with pytest.raises(BadRequest, match=problem):
        project.api.service_users_create("lab", data)
    assert project.api.service_users_list("lab") == []


def test_a_deleted_service_user_is_gone(project: TestProject, callers: Callers) -> None:
    robot = callers.service_user("deployment-viewer")
    [found] = project.api.service_users_list("lab")
    project.api.service_users_delete("lab", found.id)
    with pytest.raises(Unauthorized):
        robot.deployments_list("lab")
    assert project.api.role_assignments_per_object_list("lab", assignee=found.id, assignee_type="user") == []
    for act in (project.api.service_users_get, project.api.service_users_delete):
        with pytest.raises(NotFound, match=f"service user '{found.id}' was not found in the project 'lab'"):
            act("lab", found.id)


def test_a_service_user_stays_in_its_project(project: TestProject, callers: Callers) -> None:
    project.api.projects_create({"name": "other", "organization_name": "emulator"})
    robot = callers.service_user("service-user-project-admin")
    assert [found.name for found in robot.projects_list()] == ["lab"]
    with pytest.raises(Forbidden):
        robot.deployments_list("other")
    [found] = project.api.service_users_list("lab")
    with pytest.raises(NotFound, match=r"no user .* in the project 'other'"):
        callers.assign("project-viewer", found.id, project="other")


def test_administration_is_closed_to_service_users(project: TestProject, callers: Callers) -> None:
    robot = callers.service_user("project-admin")
    assert robot.deployments_list("lab") == []
    for act in (
        lambda: robot.organizations_list(),
        lambda: robot.organizations_get("emulator"),
        lambda: robot.organization_users_list("emulator"),
        lambda: robot.projects_create({"name": "mine", "organization_name": "emulator"}),
        lambda: robot.project_users_list("lab"),
        lambda: robot.project_users_create("lab", {"user_id": "x"}),
        lambda: robot.roles_list("lab"),
        lambda: robot.role_assignments_create("lab", {"assignee": "x", "assignee_type": "user", "role": "blob-admin"}),
        lambda: robot.service_users_create("lab", {}),
        lambda: robot.user_delete(),
    ):
        with pytest.raises(Forbidden):
            act()


def test_tokens_outlive_the_emulator(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, project="lab") as emulator:
        api: Any = emulator.client()
        with api.api_client:
            created = api.service_users_create("lab", {})
            data = {"assignee": created.id, "assignee_type": "user", "role": "deployment-viewer"}
            api.role_assignments_create("lab", data)
            api.organizations_update("emulator", {"name": "renamed"})
    with Emulator(data_dir=tmp_path, project="lab") as emulator:
        administrator: Any = emulator.client()
        robot: Any = Callers.client(emulator, f"Token {created.token}")
        with administrator.api_client, robot.api_client:
            assert robot.deployments_list("lab") == []
            assert [found.name for found in administrator.organizations_list()] == ["renamed"]


def preflight(emulator: Emulator, origin: str) -> urllib3.BaseHTTPResponse:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    with urllib3.PoolManager() as http:
        return http.request("OPTIONS", f"{emulator.url}/projects/lab/deployments", headers=headers)


def test_web_pages_of_allowed_origins_may_call(emulator: Emulator, project: TestProject) -> None:
    created = project.api.service_users_create("lab", {"allowed_cors_origins": [ORIGIN]})
    answer = preflight(emulator, ORIGIN)
    assert answer.status == 204
    assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Vary"]) == (ORIGIN, "Origin")
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert preflight(emulator, "https://evil.example").status == 403
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://evil.example", None)):
        headers = {"Authorization": f"Token {created.token}", "Origin": origin}
        with urllib3.PoolManager() as http:
            answer = http.request("GET", f"{emulator.url}/projects", headers=headers)
        assert answer.status == 200
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        # A cache must not give the page of one origin the answer to another's.
        assert answer.headers.get("Vary") == ("Origin" if allowed else None)


def test_a_project_allows_origins_of_its_own(emulator: Emulator, project: TestProject) -> None:
    assert preflight(emulator, ORIGIN).status == 403
    project.api.projects_update("lab", {"cors_origins": [ORIGIN]})
    assert project.api.projects_get("lab").cors_origins == [ORIGIN]
    assert preflight(emulator, ORIGIN).status == 204
    headers = {"Authorization": emulator.token, "Origin": ORIGIN}
    with urllib3.PoolManager() as http:
        answer = http.request("GET", f"{emulator.url}/projects/lab", headers=headers)
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        answer = http.request("GET", f"{emulator.url}/projects", headers=headers)
        assert "Access-Control-Allow-Origin" not in answer.headers
    with pytest.raises(BadRequest, match="cors_origins: 'example' is not an origin"):
        project.api.projects_update("lab", {"cors_origins": ["example"]})


def test_the_last_use_of_a_token_is_known(project: TestProject, callers: Callers) -> None:
    robot = callers.service_user(description="Reads the meters")
    [found] = project.api.service_users_list("lab")
    assert (found.description, found.token_last_used) == ("Reads the meters", None)
    robot.service_status()
    used = datetime.datetime.fromisoformat(project.api.service_users_get("lab", found.id).token_last_used)
    assert abs(used - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(minutes=2)


def test_an_expired_service_user_of_the_newest_service_stays_so(emulator: Emulator, project: TestProject) -> None:
    created = project.api.service_users_create("lab", {"expiry_date": "2022-01-01T00:00:00Z"})
    newest = emulator.client(generation="4.15")
    with newest.api_client:
        with pytest.raises(BadRequest, match="The service user expired on 2022-01-01"):
            newest.service_users_update("lab", created.id, {"expiry_date": "2999-01-01T00:00:00Z"})
        with pytest.raises(BadRequest, match="The service user expired"):
            newest.service_users_token("lab", created.id, {})
