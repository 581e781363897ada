"""People: accounts, signing in, and members of projects."""

from __future__ import annotations

from typing import Any

import freezegun
import pytest
import urllib3

import ubiops
from test.emulator.callers import PASSWORD, Callers
from test.emulator.project import TestProject
from ubiops.emulator import Emulator

BadRequest = ubiops.exceptions.BadRequestError
NotFound = ubiops.exceptions.NotFoundError


def whoami(emulator: Emulator, authorization: str) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager() as http:
        return http.request("GET", f"{emulator.url}/user", headers={"Authorization": authorization})


def test_a_user_registers_and_signs_in(emulator: Emulator, api: ubiops.CoreApi, callers: Callers) -> None:
    data = {"email": "ann@example.com", "password": PASSWORD, "terms_conditions": True, "name": "Ann"}
    created = api.user_create(data)
    assert (created.email, created.name, created.surname) == ("ann@example.com", "Ann", None)
    answer = callers.sign_in("ann@example.com")
    assert answer.status == 200
    user = whoami(emulator, f"Bearer {answer.json()['access']}").json()
    assert (user["email"], user["name"]) == ("ann@example.com", "Ann")


def test_registering_needs_no_token(emulator: Emulator) -> None:
    # As newer clients send it.
    data = {"email": "ann@example.com", "password": PASSWORD}
    with urllib3.PoolManager() as http:
        assert http.request("POST", f"{emulator.url}/user", json=data).status == 201
        sign_in = http.request("POST", f"{emulator.url}/oauth/sign-in", json={"email": "ann@example.com"})
    assert sign_in.json()["provider"] == "ubiops"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"terms_conditions": False}, "terms_conditions: they must be accepted"),
        ({"email": "ann"}, "'ann' is not an email address"),
        ({"email": "a b@example.com"}, "not an email address"),
    ],
)
def test_an_account_that_can_not_be(api: ubiops.CoreApi, changed: dict[str, Any], problem: str) -> None:
    data = {"email": "ann@example.com", "password": PASSWORD, "terms_conditions": True, **changed}
    with pytest.raises(BadRequest, match=problem):
        api.user_create(data)


@pytest.mark.parametrize("email", ["ann@example.com", "admin@emulator.local"])
def test_an_address_is_registered_once(callers: Callers, email: str) -> None:
    callers.register("ann@example.com")
    with pytest.raises(ubiops.exceptions.ConflictError, match=email):
        callers.register(email)


@pytest.mark.parametrize(
    ("email", "password"),
    [("ann@example.com", "wrong"), ("eve@example.com", PASSWORD), ("admin@emulator.local", PASSWORD)],
)
def test_a_wrong_password_is_401(callers: Callers, email: str, password: str) -> None:
    callers.register("ann@example.com")
    answer = callers.sign_in(email, password)
    assert answer.status == 401
    assert answer.json()["error"] == "The email address or the password is wrong"


def test_the_start_token_is_the_administrators(emulator: Emulator) -> None:
    user = whoami(emulator, emulator.token).json()
    assert (user["email"], user["name"]) == ("admin@emulator.local", "Admin")


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Basic wrong", "Token Token abc", "Bearer"])
def test_a_wrong_token_is_401(emulator: Emulator, authorization: str) -> None:
    answer = whoami(emulator, authorization)
    assert answer.status == 401
    assert "token" in answer.json()["error"]


def test_a_doubled_prefix_is_named(emulator: Emulator) -> None:
    assert "should not contain spaces" in whoami(emulator, f"Token {emulator.token}").json()["error"]


def test_a_user_deletes_their_account(project: TestProject, callers: Callers) -> None:
    person, user_id = callers.member("ann@example.com")
    project.api.project_users_create("lab", {"user_id": user_id})
    callers.assign("project-viewer", user_id)
    person.user_delete()
    with pytest.raises(ubiops.exceptions.UnauthorizedError, match="Bearer token is not valid"):
        person.deployments_list("lab")
    assert callers.sign_in("ann@example.com").status == 401
    assert project.api.role_assignments_per_object_list("lab", assignee=user_id, assignee_type="user") == []
    callers.register("ann@example.com")


def test_who_is_needed_can_not_delete_their_account(api: ubiops.CoreApi, callers: Callers) -> None:
    with pytest.raises(BadRequest, match="that the emulator starts with can't be deleted"):
        api.user_delete()
    person = callers.person("ann@example.com")
    person.organizations_create({"name": "own", "subscription": "free"})
    with pytest.raises(BadRequest, match="last admin of the organization"):
        person.user_delete()


def test_members_of_a_project(project: TestProject, callers: Callers) -> None:
    _, user_id = callers.member("ann@example.com")
    added = project.api.project_users_create("lab", {"user_id": user_id})
    assert (added.id, added.email, added.name) == (user_id, "ann@example.com", "Some")
    assert project.api.project_users_get("lab", user_id) == added
    users = project.api.project_users_list("lab")
    assert [user.email for user in users] == ["admin@emulator.local", "ann@example.com"]
    with pytest.raises(BadRequest, match="is in the project 'lab' already"):
        project.api.project_users_create("lab", {"user_id": user_id})
    callers.assign("project-viewer", user_id)
    project.api.project_users_delete("lab", user_id)
    assert project.api.role_assignments_per_object_list("lab", assignee=user_id, assignee_type="user") == []
    with pytest.raises(NotFound, match=f"user '{user_id}' was not found in the project 'lab'"):
        project.api.project_users_get("lab", user_id)


def test_members_of_a_project_are_of_its_organization(project: TestProject, callers: Callers) -> None:
    stranger = callers.person("eve@example.com")
    own = stranger.organizations_create({"name": "own", "subscription": "free"})
    [eve] = project.api.organization_users_list(own.name)
    with pytest.raises(NotFound, match=r"no user .* in the organization 'emulator'"):
        project.api.project_users_create("lab", {"user_id": eve.id})


def test_members_are_filtered_by_type(project: TestProject) -> None:
    project.api.service_users_create("lab", {"name": "robot"})
    people = project.api.project_users_list("lab", user_type="user")
    robots = project.api.project_users_list("lab", user_type="service_user")
    assert [user.email for user in people] == ["admin@emulator.local"]
    assert [user.name for user in robots] == ["robot"]
    assert len(project.api.project_users_list("lab")) == 2
    with pytest.raises(BadRequest, match="user_type: it must be user or service_user"):
        project.api.project_users_list("lab", user_type="cat")
    with pytest.raises(BadRequest, match="is a service user"):
        project.api.project_users_delete("lab", robots[0].id)


def test_organization_admins_manage_the_members_of_projects(project: TestProject, callers: Callers) -> None:
    person, user_id = callers.member("ann@example.com")
    project.api.project_users_create("lab", {"user_id": user_id})
    callers.assign("project-admin", user_id)
    assert len(person.project_users_list("lab")) == 2
    for act in (
        lambda: person.project_users_create("lab", {"user_id": user_id}),
        lambda: person.project_users_delete("lab", user_id),
    ):
        with pytest.raises(ubiops.exceptions.ForbiddenError, match="Only admins of the organization"):
            act()


def test_signing_in_ends_after_a_day(emulator: Emulator, callers: Callers) -> None:
    callers.register("ann@example.com")
    with freezegun.freeze_time("2020-01-01"):
        token = callers.sign_in("ann@example.com").json()["access"]
        assert whoami(emulator, f"Bearer {token}").status == 200
    answer = whoami(emulator, f"Bearer {token}")
    assert answer.status == 401
    assert "expired" in answer.json()["error"]
