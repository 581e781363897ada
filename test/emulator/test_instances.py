"""What versions run on: instances, their types and the groups of these."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.project import TestProject, wait_until
from ubiops.emulator import Emulator

NEWER = "2048 MB + 0.5 vCPU"


@pytest.fixture
def newer(emulator: Emulator, project: TestProject) -> Any:
    """A client of the newest service."""
    client = emulator.client(generation="4.15")
    with client.api_client:
        yield client


def statuses(project: TestProject, **filters: Any) -> list[str]:
    return [instance.status for instance in project.api.instances_list("lab", "model", "v1", **filters).results]


# Instances


@pytest.mark.usefixtures("deployed")
def test_an_instance_is_listed_while_it_runs(project: TestProject) -> None:
    assert statuses(project) == []
    project.request({"x": 1})
    (instance,) = project.api.instances_list("lab", "model", "v1").results
    assert (instance.status, instance.instance_type.name) == ("running", "2048mb")
    assert statuses(project, status="pending,initialising") == []
    assert statuses(project, status="running, stopping") == ["running"]
    found = project.api.instances_get("lab", "model", instance.id, "v1")
    assert (found.deployment, found.version, found.node.ipv4_address) == ("model", "v1", "127.0.0.1")
    (of_project,) = project.api.project_instances_list("lab").results
    assert (of_project.id, of_project.deployment, of_project.version) == (instance.id, "model", "v1")
    assert project.api.project_instances_get("lab", instance.id).id == instance.id
    events = project.api.instance_events_list("lab", "model", instance.id, "v1").results
    assert len(events) == 3
    assert [event.time_created for event in events] == sorted(event.time_created for event in events)
    assert (instance.time_created, instance.time_updated) == (events[0].time_created, events[-1].time_created)


def test_an_instance_that_loads_its_package_is_initialising(project: TestProject, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    project.deploy("""
        import os

        class Deployment:
            def __init__(self):
                if "GATE" in os.environ:
                    open(os.environ["GATE"]).read()

            def request(self, data):
                return {"y": 0}
    """)
    variable = {"name": "GATE", "value": str(tmp_path / "gate"), "secret": False}
    project.api.deployment_version_environment_variables_create("lab", "model", "v1", variable)
    project.api.deployment_versions_update("lab", "model", "v1", {"minimum_instances": 1})
    wait_until(lambda: statuses(project), lambda found: found == ["initialising"])
    (tmp_path / "gate").write_text("go")
    wait_until(lambda: statuses(project), lambda found: found == ["running"])


@pytest.mark.parametrize("restarted", [False, True])
def test_a_stopped_instance_ends_its_request(
    project: TestProject, gated: Callable[[], None], *, restarted: bool
) -> None:
    project.api.deployment_versions_update("lab", "model", "v1", {"restart_request_interruption": restarted})
    (created,) = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}])
    wait_until(lambda: statuses(project), lambda found: found == ["running"])
    wait_until(
        lambda: project.api.deployment_requests_get("lab", "model", created.id).status,
        lambda status: status == "processing",
    )
    (instance,) = project.api.instances_list("lab", "model", "v1").results
    assert project.api.instances_update("lab", "model", instance.id, "v1", {"status": "stopped"}).status == "stopping"
    wait_until(
        lambda: project.api.instances_list("lab", "model", "v1").results,
        lambda instances: instance.id not in [one.id for one in instances],
    )
    if restarted:
        gated()
    request = project.finished([created.id])[created.id]
    if restarted:
        assert (request.status, request.result) == ("completed", {"y": 1})
        (another,) = project.api.instances_list("lab", "model", "v1").results
        assert another.id != instance.id
    else:
        assert (request.status, request.error_message) == ("failed", "The instance was stopped")
        wait_until(lambda: statuses(project), lambda found: found == [])
    with pytest.raises(ubiops.exceptions.NotFoundError):
        project.api.instances_get("lab", "model", instance.id, "v1")


@pytest.mark.usefixtures("deployed")
def test_the_minimum_is_kept_when_one_of_it_is_stopped(project: TestProject) -> None:
    project.api.deployment_versions_update("lab", "model", "v1", {"minimum_instances": 1})
    wait_until(lambda: statuses(project), lambda found: found == ["running"])
    (instance,) = project.api.project_instances_list("lab").results
    project.api.project_instances_update("lab", instance.id, {"status": "stopped"})
    wait_until(
        lambda: project.api.project_instances_list("lab").results,
        lambda instances: any(one.status == "running" and one.id != instance.id for one in instances),
    )
    other = project.api.project_instances_list("lab").results[0]
    with pytest.raises(ubiops.exceptions.BadRequestError, match="can be set to stopped, not to 'running'"):
        project.api.project_instances_update("lab", other.id, {"status": "running"})
    with pytest.raises(ubiops.exceptions.BadRequestError, match="status: it must be one of"):
        project.api.project_instances_list("lab", status="gone")


def test_the_processes_of_an_instance_answer_at_the_same_time(project: TestProject, tmp_path: Path) -> None:
    # Each waits for the two others: one after the other they would never end.
    project.create_deployment()
    project.create_version(instance_processes=3, maximum_instances=1)
    build = project.upload(
        {
            "deployment.py": f"""
            import pathlib, time

            class Deployment:
                def request(self, data, context):
                    (pathlib.Path({str(tmp_path)!r}) / str(context["process_id"])).touch()
                    while len(list(pathlib.Path({str(tmp_path)!r}).iterdir())) < 3:
                        time.sleep(0.005)
                    return {{"y": context["process_id"]}}
        """
        }
    )
    assert build.status == "success"
    created = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}] * 3)
    results = project.finished([request.id for request in created]).values()
    assert sorted(request.result["y"] for request in results) == [0, 1, 2]
    assert len(statuses(project)) == 1


# Settings


def test_what_a_version_is_run_on_is_shown(project: TestProject, newer: Any) -> None:
    project.create_deployment()
    plain = project.create_version("plain", instance_type="512mb")
    assert (plain.scaling_strategy, plain.instance_processes, plain.maximum_queue_size) == ("default", 1, 100000)
    assert (plain.maximum_queue_size_express, plain.maximum_queue_size_batch) == (100, 100000)
    shown = newer.deployment_versions_get("lab", "model", "plain")
    assert (shown.instance_type_group_name, shown.instance_type) == ("512 MB + 0.125 vCPU", "512mb")
    settings = {"instance_type_group_name": NEWER, "scaling_strategy": "moderate", "instance_processes": 2}
    body = {"version": "newer", "maximum_queue_size": 7, **settings}
    created = newer.deployment_versions_create("lab", "model", body)
    assert {name: getattr(created, name) for name in settings} == settings
    assert (created.instance_type, created.maximum_queue_size) == ("2048mb", 7)
    changed = newer.deployment_versions_update("lab", "model", "newer", {"instance_type": "256mb"})
    assert changed.instance_type_group_name == "256 MB + 0.0625 vCPU"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"instance_processes": 0}, "instance_processes: it must be from 1 to 32"),
        ({"scaling_strategy": "fast"}, "scaling_strategy: it must be one of default, moderate"),
        ({"maximum_queue_size": 0}, "maximum_queue_size: it must be from 1"),
        ({"instance_type_group_name": "none"}, "the project has no instance type group 'none'"),
        ({"instance_type_group_id": "none"}, "instance_type_group_id: The instance type group 'none' was not found"),
    ],
)
def test_a_setting_out_of_bounds_is_400(project: TestProject, settings: dict[str, Any], problem: str) -> None:
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        project.create_version(**settings)


def test_one_queue_holds_requests_of_both_kinds(project: TestProject, gated: Callable[[], None]) -> None:
    project.api.deployment_versions_update("lab", "model", "v1", {"maximum_queue_size": 2})
    running, *_ = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}])
    wait_until(
        lambda: project.api.deployment_requests_get("lab", "model", running.id).status,
        lambda status: status == "processing",
    )
    project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}, {"x": 2}])
    with pytest.raises(ubiops.exceptions.TooManyRequestsError, match=r"is full \(2 requests\)"):
        project.request({"x": 1})


# Types and groups


def test_types_come_in_pages_to_newer_clients(project: TestProject, newer: Any) -> None:
    first = newer.instance_types_list("lab", limit=2)
    assert (first.previous, [kind.display_name for kind in first]) == (
        None,
        ["256 MB + 0.0625 vCPU", "512 MB + 0.125 vCPU"],
    )
    second = newer.instance_types_list("lab", cursor=first.next, limit=2)
    assert [kind.name for kind in second] == ["1024mb", "2048mb"]
    assert newer.instance_types_list("lab", cursor=second.previous, limit=2) == first
    assert type(project.api.instance_types_list("lab")) is list


def test_a_group_is_made_used_changed_and_deleted(project: TestProject, newer: Any) -> None:
    types = {kind.name: kind.id for kind in newer.instance_types_list("lab")}
    items = [
        {"id": types["16384mb_t4"], "priority": 5, "schedule_timeout": 60},
        {"id": types["4096mb"], "priority": 1, "schedule_timeout": 30},
    ]
    group = newer.instance_type_groups_create("lab", {"name": "fallback", "instance_types": items})
    assert [(kind.name, kind.priority, kind.schedule_timeout) for kind in group.instance_types] == [
        ("4096mb", 1, 30),
        ("16384mb_t4", 5, 60),
    ]
    project.create_deployment()
    settings = {"instance_type_group_id": group.id, "maximum_idle_time": 300}
    version = project.create_version(**settings)
    assert (version.instance_type, version.instance_type_group_id) == ("4096mb", group.id)
    (user,) = newer.instance_type_groups_usage("lab", group.id).results
    assert (user.id, user.deployment, user.instance_type_group_name) == (version.id, "model", "fallback")
    with pytest.raises(ubiops.exceptions.BadRequestError, match="is used by the version 'v1'"):
        newer.instance_type_groups_delete("lab", group.id)
    changed = newer.instance_type_groups_update("lab", group.id, {"instance_types": [{"id": types["512mb"]}]})
    assert (changed.name, [kind.name for kind in changed.instance_types]) == ("fallback", ["512mb"])
    assert newer.deployment_versions_get("lab", "model", "v1").instance_type == "512mb"
    newer.deployment_versions_update("lab", "model", "v1", {"instance_type_group_name": NEWER})
    newer.instance_type_groups_delete("lab", group.id)
    with pytest.raises(ubiops.exceptions.NotFoundError):
        newer.instance_type_groups_get("lab", group.id)
    listed = newer.instance_type_groups_list("lab").results
    assert NEWER in [one.name for one in listed]
    (user,) = newer.instance_type_groups_usage("lab", next(one.id for one in listed if one.name == NEWER)).results
    assert user.version == "v1"


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([], "instance_types: it must not be empty"),
        ([{"id": "none"}], "there is no instance type with the id 'none'"),
    ],
)
def test_a_group_of_nothing_is_400(project: TestProject, items: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        project.api.instance_type_groups_create("lab", {"name": "wrong", "instance_types": items})


def test_the_own_groups_of_types_stay(project: TestProject) -> None:
    own = project.api.instance_type_groups_list("lab", limit=1).results[0]
    with pytest.raises(ubiops.exceptions.BadRequestError, match="belongs to every project"):
        project.api.instance_type_groups_update("lab", own.id, {"name": "mine"})
    with pytest.raises(ubiops.exceptions.BadRequestError, match="belongs to every project"):
        project.api.instance_type_groups_delete("lab", own.id)
