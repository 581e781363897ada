"""Notification groups, and whom they tell of what."""

from __future__ import annotations

from typing import Any

import pytest

import ubiops
from test.emulator.project import TestProject, wait_until

FAIL = """
    class Deployment:
        def request(self, data):
            raise ValueError("no")
"""


def contact(address: str) -> dict[str, Any]:
    return {"type": "email", "configuration": {"email_address": address}}


def create(project: TestProject, name: str = "ops", *addresses: str) -> Any:
    contacts = [contact(address) for address in addresses or ("ines@example.com",)]
    return project.api.notification_groups_create("lab", {"name": name, "contacts": contacts})


def mails(project: TestProject, **filters: Any) -> list[str]:
    return [line for line in project.log(system=True, **filters) if line.startswith("Mail to ")]


def test_a_group_is_created_and_read(project: TestProject) -> None:
    created = create(project, "ops", "ines@example.com", "jo@example.com")
    assert created.name == "ops"
    assert [each.configuration["email_address"] for each in created.contacts] == ["ines@example.com", "jo@example.com"]
    assert project.api.notification_groups_get("lab", "ops") == created
    assert project.api.notification_groups_list("lab") == [created]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"name": "g", "contacts": [{"type": "fax", "configuration": {}}]}, r"contacts\[0\]: the type must be email"),
        ({"name": "g", "contacts": [{"type": "email", "configuration": {}}]}, "email_address must be an email address"),
        ({"name": "g", "contacts": [contact("nobody")]}, "must be an email address, not 'nobody'"),
        ({"name": "g" * 65, "contacts": []}, "name"),
        ({"name": "g"}, "'contacts' is a required property"),
    ],
)
def test_what_breaks_a_rule_is_400(project: TestProject, data: dict[str, Any], problem: str) -> None:
    project.api.api_client.client_side_validation = False
    project.api.api_client.configuration.client_side_validation = False
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        project.api.notification_groups_create("lab", data)


def test_a_name_is_taken_once_in_a_project(project: TestProject) -> None:
    create(project)
    with pytest.raises(ubiops.exceptions.ConflictError, match="'ops' exists already"):
        create(project)
    other = create(project, "other")
    with pytest.raises(ubiops.exceptions.ConflictError):
        project.api.notification_groups_update("lab", other.name, {"name": "ops"})


def test_an_update_changes_what_it_gives(project: TestProject) -> None:
    created = create(project)
    updated = project.api.notification_groups_update("lab", "ops", {"name": "night"})
    assert (updated.id, updated.name, updated.contacts) == (created.id, "night", created.contacts)
    updated = project.api.notification_groups_update("lab", "night", {"contacts": [contact("jo@example.com")]})
    assert [each.configuration["email_address"] for each in updated.contacts] == ["jo@example.com"]


def test_versions_follow_the_name_of_their_group(project: TestProject) -> None:
    create(project)
    project.create_deployment()
    project.create_version("v1", monitoring="ops", default_notification_group="ops")
    project.api.notification_groups_update("lab", "ops", {"name": "night"})
    version = project.api.deployment_versions_get("lab", "model", "v1")
    assert (version.monitoring, version.default_notification_group) == ("night", "night")
    project.api.notification_groups_delete("lab", "night")
    version = project.api.deployment_versions_get("lab", "model", "v1")
    assert (version.monitoring, version.default_notification_group) == (None, None)


def test_a_deleted_group_is_404(project: TestProject) -> None:
    create(project)
    project.api.notification_groups_delete("lab", "ops")
    for call in (project.api.notification_groups_get, project.api.notification_groups_delete):
        with pytest.raises(ubiops.exceptions.NotFoundError, match="'ops' was not found"):
            call("lab", "ops")


def test_null_switches_monitoring_off(project: TestProject) -> None:
    create(project)
    project.create_deployment()
    project.create_version("v1", monitoring="ops")
    updated = project.api.deployment_versions_update("lab", "model", "v1", {"monitoring": ubiops.NULL})
    assert updated.monitoring is None
    with pytest.raises(ubiops.exceptions.BadRequestError, match="'nobody' does not exist"):
        project.api.deployment_versions_update("lab", "model", "v1", {"monitoring": "nobody"})


def test_a_batch_tells_its_group_when_it_is_done(project: TestProject) -> None:
    create(project, "ops", "ines@example.com", "jo@example.com")
    create(project, "other", "max@example.com")
    project.deploy()
    [queued] = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}], notification_group="ops")
    project.finished([queued.id])
    lines = wait_until(lambda: mails(project, deployment_request_id=queued.id), lambda lines: len(lines) == 2)
    assert [line.split()[2] for line in lines] == ["ines@example.com", "jo@example.com"]
    assert lines[0].endswith(f"The request {queued.id} to the version v1 of the deployment model is completed")
    assert project.api.deployment_requests_get("lab", "model", queued.id).notification_group == "ops"
    updated = project.api.deployment_requests_update("lab", "model", queued.id, {"notification_group": "other"})
    assert updated.notification_group == "other"


@pytest.mark.usefixtures("deployed")
def test_an_unknown_group_is_404(project: TestProject) -> None:
    with pytest.raises(ubiops.exceptions.NotFoundError, match="notification group 'ops' was not found"):
        project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}], notification_group="ops")


def test_monitoring_tells_of_failures_only(project: TestProject) -> None:
    create(project)
    project.deploy()
    project.api.deployment_versions_update("lab", "model", "v1", {"monitoring": "ops"})
    project.request({"x": 1})
    assert mails(project) == []
    project.upload({"deployment.py": FAIL})
    with pytest.raises(ubiops.ApiException):
        project.request({"x": 1})
    [line] = mails(project)
    assert "has failed" in line
    build = project.upload({"deployment.py": "x = ("})
    assert any(f"The build {build.id} " in line for line in mails(project))


def test_the_default_group_of_a_version_is_told_of_every_request(project: TestProject) -> None:
    create(project)
    project.create_deployment()
    project.deploy_version(default_notification_group="ops")
    project.request({"x": 1})
    [line] = mails(project, deployment_name="model")
    assert line.endswith("is completed")
