"""Organizations and their members."""

from __future__ import annotations

from typing import Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.project import TestProject

PAID = {"subscription": "professional", "subscription_end_date": "2999-12-31"}
BadRequest = ubiops.exceptions.BadRequestError
Forbidden = ubiops.exceptions.ForbiddenError
NotFound = ubiops.exceptions.NotFoundError


def emails(api: Any) -> list[str]:
    return [user.email for user in api.organization_users_list("emulator")]


def test_an_organization_is_created_with_its_admin(api: ubiops.CoreApi) -> None:
    created = api.organizations_create({"name": "team", "subscription": "free"})
    assert [found.name for found in api.organizations_list()] == ["emulator", "team"]
    assert api.organizations_get("team").id == created.id
    assert api.organizations_get("team").subscription == "free"
    [admin] = api.organization_users_list("team")
    assert (admin.email, admin.admin) == ("admin@emulator.local", True)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"name": "Team", "subscription": "free"}, "The organization name 'Team' is not valid"),
        ({"name": "team", "subscription": "free", "subscription_end_date": "2999-01-01"}, "a free subscription has no"),
        ({"name": "team", "subscription": "professional"}, "needs one, as YYYY-MM-DD"),
    ],
)
def test_an_organization_that_can_not_be(api: ubiops.CoreApi, data: dict[str, str], problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
        api.organizations_create(data)
    assert len(api.organizations_list()) == 1


def test_a_name_is_taken_once(api: ubiops.CoreApi) -> None:
    api.organizations_create({"name": "team", **PAID})
    with pytest.raises(ubiops.exceptions.ConflictError, match="organization named 'emulator' exists already"):
        api.organizations_create({"name": "emulator", "subscription": "free"})
    with pytest.raises(ubiops.exceptions.ConflictError, match="'emulator' exists already"):
        api.organizations_update("team", {"name": "emulator"})


def test_an_update_changes_what_it_gives(api: ubiops.CoreApi) -> None:
    api.organizations_create({"name": "team", **PAID})
    assert api.organizations_update("team", {"name": "crew"}).subscription == "professional"
    assert api.organizations_get("crew").name == "crew"
    with pytest.raises(BadRequest, match="subscription_start_date: a change of subscription needs one"):
        api.organizations_update("crew", {"subscription": "premium", "subscription_end_date": "2999-12-31"})
    dates = {"subscription_end_date": "2020-08-30", "subscription_start_date": "2020-07-30"}
    with pytest.raises(BadRequest, match="is before the start"):
        api.organizations_update("crew", {**dates, "subscription_start_date": "2020-09-01"})
    assert api.organizations_update("crew", {"subscription": "premium", **dates}).status == "cancelled"
    assert api.organizations_update("crew", {"subscription_end_date": ubiops.NULL}).status == "active"
    assert api.organizations_update("crew", {"subscription": "free"}).subscription == "free"


def test_only_who_runs_the_service_changes_a_subscription(callers: Callers) -> None:
    person, _ = callers.member("ann@example.com", admin=True)
    assert person.organizations_update("emulator", {"name": "renamed"}).name == "renamed"
    with pytest.raises(Forbidden, match="subscription"):
        person.organizations_update("renamed", {"subscription_end_date": ubiops.NULL})


def test_an_organization_is_for_its_members(api: ubiops.CoreApi, callers: Callers) -> None:
    stranger = callers.person("eve@example.com")
    assert stranger.organizations_list() == []
    for ask in (stranger.organizations_get, stranger.organization_users_list):
        with pytest.raises(Forbidden, match="not a member of the organization 'emulator'"):
            ask("emulator")
    with pytest.raises(NotFound, match="organization 'nobody' was not found"):
        stranger.organizations_get("nobody")
    own = stranger.organizations_create({"name": "own", "subscription": "free"})
    assert [found.id for found in stranger.organizations_list()] == [own.id]
    assert [found.name for found in api.organizations_list()] == ["emulator"]


def test_members_come_and_go(api: Any, callers: Callers) -> None:
    callers.register("ann@example.com")
    added = api.organization_users_create("emulator", {"email": "ann@example.com", "admin": False})
    assert (added.name, added.surname, added.status, added.admin) == ("Some", "One", "active", False)
    assert emails(api) == ["admin@emulator.local", "ann@example.com"]
    assert api.organization_users_update("emulator", added.id, {"admin": True}).admin is True
    assert api.organization_users_get("emulator", added.id).admin is True
    api.organization_users_delete("emulator", added.id)
    assert emails(api) == ["admin@emulator.local"]
    with pytest.raises(NotFound, match=f"user '{added.id}' was not found in the organization 'emulator'"):
        api.organization_users_get("emulator", added.id)


def test_somebody_without_an_account_is_invited(api: Any, callers: Callers) -> None:
    invited = api.organization_users_create("emulator", {"email": "new@example.com"})
    assert (invited.status, invited.admin) == ("pending", False)
    callers.register("new@example.com")
    found = api.organization_users_get("emulator", invited.id)
    assert (found.status, found.name) == ("active", "Some")


def test_a_member_is_added_once(api: Any) -> None:
    with pytest.raises(BadRequest, match="is a member of the organization 'emulator' already"):
        api.organization_users_create("emulator", {"email": "admin@emulator.local"})
    with pytest.raises(BadRequest, match="'nobody' is not an email address"):
        api.organization_users_create("emulator", {"email": "nobody"})


def test_the_last_admin_stays(api: Any, callers: Callers) -> None:
    [admin] = api.organization_users_list("emulator")
    callers.member("ann@example.com")
    for act in (
        lambda: api.organization_users_delete("emulator", admin.id),
        lambda: api.organization_users_update("emulator", admin.id, {"admin": False}),
    ):
        with pytest.raises(BadRequest, match="' is the last admin of the organization"):
            act()
    with pytest.raises(BadRequest, match="admin: it is required"):
        api.organization_users_update("emulator", admin.id, {})
    callers.member("bob@example.com", admin=True)
    assert api.organization_users_update("emulator", admin.id, {"admin": False}).admin is False


def test_only_admins_manage_members(callers: Callers) -> None:
    person, user_id = callers.member("ann@example.com")
    assert emails(person) == ["admin@emulator.local", "ann@example.com"]
    for act in (
        lambda: person.organization_users_create("emulator", {"email": "bob@example.com"}),
        lambda: person.organization_users_get("emulator", user_id),
        lambda: person.organization_users_update("emulator", user_id, {"admin": True}),
        lambda: person.organization_users_delete("emulator", user_id),
        lambda: person.organizations_update("emulator", {"name": "mine"}),
        lambda: person.projects_create({"name": "mine", "organization_name": "emulator"}),
    ):
        with pytest.raises(Forbidden, match="Only admins of the organization 'emulator'"):
            act()


def test_who_leaves_an_organization_loses_its_projects(project: TestProject, callers: Callers) -> None:
    person, user_id = callers.member("ann@example.com")
    project.api.project_users_create("lab", {"user_id": user_id})
    callers.assign("project-viewer", user_id)
    assert person.deployments_list("lab") == []
    project.api.organization_users_delete("emulator", user_id)
    assert project.api.role_assignments_per_object_list("lab", assignee=user_id, assignee_type="user") == []
    assert user_id not in [user.id for user in project.api.project_users_list("lab")]
    with pytest.raises(Forbidden):
        person.deployments_list("lab")


def test_organization_admins_administer_new_projects(callers: Callers) -> None:
    person, user_id = callers.member("ann@example.com", admin=True)
    person.projects_create({"name": "own", "organization_name": "emulator"})
    assert [found.name for found in person.projects_list()] == ["own"]
    assert user_id in [user.id for user in person.project_users_list("own")]
    [assignment] = person.role_assignments_per_object_list("own", assignee=user_id, assignee_type="user")
    assert (assignment.role, assignment.resource, assignment.resource_type) == ("project-admin", "own", "project")
    person.projects_delete("own")
    assert person.projects_list() == []


def test_a_second_factor_can_be_forced(api: ubiops.CoreApi, callers: Callers) -> None:
    callers.member("ana@example.com")
    assert callers.sign_in("ana@example.com").status == 200
    updated: Any = api.organizations_update("emulator", {"two_factor_authentication_forced": True})
    assert updated.two_factor_authentication_forced
    refused = callers.sign_in("ana@example.com")
    assert (refused.status, "two factor authentication" in refused.json()["error"]) == (401, True)


def test_a_voucher_is_taken_where_there_is_one(api: ubiops.CoreApi) -> None:
    assert api.vouchers_get("emulator").description
    created: Any = api.organizations_create({"name": "free-org", "voucher": "emulator"})
    assert (created.name, created.two_factor_authentication_forced) == ("free-org", False)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="there is no voucher 'none'"):
        api.organizations_create({"name": "other-org", "voucher": "none"})
