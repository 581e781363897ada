"""Deployment versions."""

from __future__ import annotations

from typing import Any

import pytest

import ubiops
from test.emulator.project import TestProject


def test_a_version_has_the_defaults_of_the_reference(project: TestProject) -> None:
    project.create_deployment()
    created = project.create_version("v1")
    # Those that client 3.12 knows.
    fields = ubiops.DeploymentVersionList.fields
    older = {name: getattr(created, name) for name, spec in fields.items() if spec.since is None}
    assert older | {"id": None, "creation_date": None, "last_updated": None} == {
        "id": None,
        "deployment": "model",
        "version": "v1",
        "description": "",
        "language": "python3.7",
        "status": "unavailable",
        "active_revision": None,
        "latest_build": None,
        "memory_allocation": 2048,
        "instance_type": "2048mb",
        "maximum_instances": 5,
        "minimum_instances": 0,
        "maximum_idle_time": 300,
        "labels": {},
        "creation_date": None,
        "last_updated": None,
        "request_retention_time": 604800,
        "request_retention_mode": "full",
        "monitoring": None,
        "default_notification_group": None,
        "maximum_queue_size_express": 100,
        "maximum_queue_size_batch": 100000,
        "static_ip": False,
        "restart_request_interruption": False,
    }


def test_the_first_version_becomes_the_default(project: TestProject) -> None:
    project.create_deployment()
    project.create_version("v1")
    project.create_version("v2")
    assert project.api.deployments_get("lab", "model").default_version == "v1"
    project.api.deployment_versions_delete("lab", "model", "v1")
    assert project.api.deployments_get("lab", "model").default_version is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"version": "V1"}, "version name 'V1' is not valid"),
        ({"version": "a" * 65}, "is not valid"),
        ({"language": "cobol"}, "language: there is no 'cobol'"),
        ({"instance_type": "1mb"}, "instance_type: there is no '1mb'"),
        ({"memory_allocation": 300}, "instance_type: there is no '300mb'"),
        ({"maximum_instances": 21}, "maximum_instances: it must be from 0 to 20, not 21"),
        ({"maximum_instances": 2, "minimum_instances": 3}, "minimum_instances: it must be from 0 to 2, not 3"),
        ({"maximum_idle_time": 9}, "maximum_idle_time: it must be from 10 to 3600, not 9"),
        ({"maximum_idle_time": 299, "instance_type": "16384mb_t4"}, "it must be from 300 to 3600, not 299"),
        ({"request_retention_time": 2419201}, "request_retention_time: it must be from 0 to 2419200"),
        ({"request_retention_mode": "some"}, "request_retention_mode: 'some' is not one of"),
        ({"maximum_queue_size_batch": 10**30}, "maximum_queue_size_batch: it must be from 1"),
        ({"monitoring": "nobody"}, "monitoring: the notification group 'nobody' does not exist"),
    ],
)
def test_what_breaks_a_rule_is_400(project: TestProject, settings: dict[str, Any], problem: str) -> None:
    project.api.api_client.client_side_validation = False
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        project.api.deployment_versions_create("lab", "model", {"version": "v1", **settings})
    assert project.api.deployment_versions_list("lab", "model") == []


def test_memory_chooses_the_instance_type_as_of_old(project: TestProject) -> None:
    project.create_deployment()
    assert project.create_version("v1", memory_allocation=512).instance_type == "512mb"


def test_a_name_is_taken_once_in_a_deployment(project: TestProject) -> None:
    project.create_deployment()
    project.create_version("v1.0_rc-1")
    with pytest.raises(ubiops.exceptions.ConflictError, match="exists already in the deployment 'model'"):
        project.create_version("v1.0_rc-1")


def test_versions_are_filtered_by_label(project: TestProject) -> None:
    project.create_deployment()
    project.create_version("v1", labels={"stage": "live"})
    project.create_version("v2", labels={"stage": "test"})
    listed = project.api.deployment_versions_list("lab", "model", labels="stage:test,stage:none")
    assert [version.version for version in listed] == ["v2"]


def test_an_update_changes_what_it_gives(project: TestProject) -> None:
    project.create_deployment()
    project.create_version("v1", labels={"a": "1"}, static_ip=True, minimum_instances=1)
    updated = project.api.deployment_versions_update(
        "lab", "model", "v1", {"version": "v2", "instance_type": "512mb", "description": "new"}
    )
    assert (updated.version, updated.instance_type, updated.memory_allocation) == ("v2", "512mb", 512)
    assert (updated.labels, updated.static_ip, updated.minimum_instances) == ({"a": "1"}, True, 1)
    assert project.api.deployments_get("lab", "model").default_version == "v2"
    with pytest.raises(ubiops.exceptions.BadRequestError, match="minimum_instances"):
        project.api.deployment_versions_update("lab", "model", "v2", {"maximum_instances": 0})
    assert project.api.deployment_versions_get("lab", "model", "v2").maximum_instances == 5


def test_a_read_version_can_be_sent_back(project: TestProject) -> None:
    project.create_deployment()
    project.create_version("v1", labels={"a": "1"})
    read = project.api.deployment_versions_get("lab", "model", "v1")
    update = ubiops.DeploymentVersionUpdate(**read.to_dict())
    assert project.api.deployment_versions_update("lab", "model", "v1", update).labels == {"a": "1"}


@pytest.mark.usefixtures("deployed")
def test_a_deleted_version_is_gone(project: TestProject) -> None:
    project.api.deployment_versions_delete("lab", "model", "v1")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="Deployment version was not found"):
        project.api.deployment_versions_get("lab", "model", "v1")
