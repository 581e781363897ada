"""Organizations and projects."""

from __future__ import annotations

import datetime

import pytest

import ubiops
from test.emulator.project import TestProject
from ubiops.emulator import Emulator


def test_there_is_an_organization(api: ubiops.CoreApi) -> None:
    [organization] = api.organizations_list()
    detail = api.organizations_get(organization.name)
    assert (detail.id, detail.name, detail.status) == (organization.id, "emulator", "active")


def test_a_project_is_created_and_read(api: ubiops.CoreApi) -> None:
    created = api.projects_create({"name": "lab-2", "organization_name": "emulator", "credits": 2.5})
    assert api.projects_get("lab-2") == created
    assert (created.name, created.organization_name, created.credits) == ("lab-2", "emulator", 2.5)
    assert created.creation_date == datetime.datetime.now(datetime.timezone.utc).date()
    assert created.advanced_permissions is False
    assert not created.suspended
    assert created.suspended_reason is None


@pytest.mark.parametrize("name", ["Lab", "1ab", "-lab", "la_b", "la b", "lab/2", "a" * 65, "lab\n"])
def test_a_name_follows_the_rule(api: ubiops.CoreApi, name: str) -> None:
    api.api_client.client_side_validation = False
    with pytest.raises(ubiops.ApiException) as caught:
        api.projects_create({"name": name, "organization_name": "emulator"})
    assert caught.value.status == 400
    assert "name" in str(caught.value)


def test_a_name_is_taken_once(project: TestProject) -> None:
    with pytest.raises(ubiops.exceptions.ConflictError, match="A project named 'lab' exists already"):
        project.api.projects_create({"name": "lab", "organization_name": "emulator"})


def test_the_organization_must_be_there(api: ubiops.CoreApi) -> None:
    with pytest.raises(ubiops.exceptions.NotFoundError, match="organization 'nobody' was not found"):
        api.projects_create({"name": "lab", "organization_name": "nobody"})
    with pytest.raises(ubiops.exceptions.NotFoundError, match="organization 'nobody' was not found"):
        api.projects_list(organization="nobody")


def test_projects_are_listed_by_organization(project: TestProject) -> None:
    project.api.projects_create({"name": "second", "organization_name": "emulator"})
    assert [found.name for found in project.api.projects_list(organization="emulator")] == ["lab", "second"]


def test_an_update_changes_what_it_gives(project: TestProject) -> None:
    project.api.projects_update("lab", {"credits": 10, "advanced_permissions": True})
    updated = project.api.projects_update("lab", {"name": "renamed"})
    assert (updated.name, updated.credits, updated.advanced_permissions) == ("renamed", 10, True)
    assert project.api.projects_update("renamed", {"credits": ubiops.NULL}).credits is None
    suspended = project.api.projects_update("renamed", {"suspend": True})
    assert suspended.suspended is True
    assert suspended.suspended_reason == "Suspended by a user"


@pytest.mark.parametrize("credits", [-1, 1e300])
def test_credits_have_bounds(project: TestProject, credits: float) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match="credits"):
        project.api.projects_update("lab", {"credits": credits})


@pytest.mark.usefixtures("deployed")
def test_a_deleted_project_is_gone_with_all_in_it(project: TestProject) -> None:
    project.api.projects_delete("lab")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="project 'lab' was not found"):
        project.api.projects_get("lab")
    project.api.projects_create({"name": "lab", "organization_name": "emulator"})
    assert project.api.deployments_list("lab") == []


def test_instance_types(project: TestProject) -> None:
    types = {found.name: found for found in project.api.instance_types_list("lab")}
    assert next(iter(types)) == "256mb"
    assert (types["512mb"].memory_allocation, types["512mb"].cpu_allocation) == (512, 125)
    assert types["16384mb_t4"].gpu_allocation == 1


def test_quotas_bound_what_a_project_has() -> None:
    with Emulator(project="lab", quotas={"deployments": 1, "deployment_versions": 2}) as emulator:
        project = TestProject(emulator.client(), "lab")
        project.create_deployment()
        with pytest.raises(ubiops.BadRequestError, match="The project 'lab' already has its most of 1 deployments"):
            project.create_deployment("other")
        assert [found.name for found in project.api.deployments_list("lab")] == ["model"]
        for version in ("v1", "v2"):
            project.create_version(version)
        with pytest.raises(ubiops.BadRequestError, match="has its most of 2 deployment versions"):
            project.create_version("v3")
        project.api.deployment_versions_delete("lab", "model", "v2")
        project.create_version("v3")
        found = {quota.resource: quota.quota for quota in project.api.quotas_list("lab")}
        assert (found["deployments"], found["deployment_versions"], found["pipelines"]) == (1, 2, None)
        # Each project has its own.
        project.api.projects_create({"name": "other", "organization_name": "emulator"})
        assert TestProject(project.api, "other").create_deployment().name == "model"


def test_a_quota_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"quotas: wishes can't be limited; choose from deployments"):
        Emulator(quotas={"wishes": 3})
