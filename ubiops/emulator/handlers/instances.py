"""Instances: what runs a deployment version at the moment. They aren't stored: they end with their processes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.execution.instance import STATUSES, Instance
from ubiops.emulator.handlers.find import find_project, find_version
from ubiops.emulator.handlers.resource import page, record, serves
from ubiops.emulator.instance_types import INSTANCE_TYPES, title_of
from ubiops.emulator.tables import Deployment, Version


def _find_versions(
    context: Context, project_name: str, deployment_name: str | None = None, version: str | None = None
) -> list[Version]:
    """The version that a path names, or all of a project."""
    if deployment_name is not None and version is not None:
        return [find_version(context, project_name, deployment_name, version)]
    project = find_project(context, project_name)
    query = select(Version).join(Version.deployment).where(Deployment.project_id == project.id)
    return list(context.session.scalars(query))


def instances_list(
    context: Context,
    project_name: str,
    deployment_name: str,
    version: str,
    cursor: str | None,
    limit: int | None,
    status: str | None,
) -> dict[str, Any]:
    versions = _find_versions(context, project_name, deployment_name, version)
    return page([_view(instance) for _, instance in _instances(context, versions, status)], cursor, limit)


def project_instances_list(
    context: Context, project_name: str, cursor: str | None, limit: int | None, status: str | None
) -> dict[str, Any]:
    found = _instances(context, _find_versions(context, project_name), status)
    return page([{**_view(instance), **_place(version)} for version, instance in found], cursor, limit)


@serves(_find_versions, "instances_get", "project_instances_get")
def _get(context: Context, versions: list[Version], instance_id: str) -> dict[str, Any]:
    version, instance = _find(context, versions, instance_id)
    scheduled = instance.instance_type is not None
    return {
        **_view(instance),
        **_place(version),
        "node": {"ipv4_address": "127.0.0.1", "ipv6_address": None} if scheduled else None,
        "node_pool": INSTANCE_TYPES[instance.instance_type]["node_pool"] if instance.instance_type else None,
    }


@serves(_find_versions, "instances_update", "project_instances_update")
def _update(context: Context, versions: list[Version], instance_id: str, data: dict[str, Any]) -> dict[str, Any]:
    version, instance = _find(context, versions, instance_id)
    if data.get("status") != "stopped":
        raise invalid(f"status: it can be set to stopped, not to '{data.get('status')}'")
    instance.note("stopping")
    context.engine.stop_instance(version.id, instance)
    event = f"Stopped instance {instance_id} of version {version.name} of deployment {version.deployment.name}"
    record(context, version, "update", event)
    return _view(instance)


def instance_events_list(
    context: Context,
    project_name: str,
    deployment_name: str,
    version: str,
    instance_id: str,
    cursor: str | None,
    limit: int | None,
) -> dict[str, Any]:
    versions = _find_versions(context, project_name, deployment_name, version)
    _, instance = _find(context, versions, instance_id)
    return page([vars(event) for event in instance.events], cursor, limit)


def _instances(context: Context, versions: list[Version], status: str | None) -> list[tuple[Version, Instance]]:
    """The instances of versions that are in one of the given statuses, oldest first."""
    wanted = STATUSES if status is None else [name.strip() for name in status.split(",")]
    for name in wanted:
        if name not in STATUSES:
            raise invalid(f"status: it must be one of {', '.join(STATUSES)}, not '{name}'")
    found = [(version, instance) for version in versions for instance in context.engine.instances(version.id)]
    found.sort(key=lambda pair: pair[1].events[0].time_created)
    return [pair for pair in found if pair[1].status in wanted]


def _find(context: Context, versions: list[Version], instance_id: str) -> tuple[Version, Instance]:
    for version, instance in _instances(context, versions, None):
        if instance.id == instance_id:
            return version, instance
    raise not_found(f"The instance '{instance_id}' was not found; it may have stopped")


def _place(version: Version) -> dict[str, str]:
    return {"deployment": version.deployment.name, "version": version.name}


def _view(instance: Instance) -> dict[str, Any]:
    instance_type = INSTANCE_TYPES[instance.instance_type] if instance.instance_type is not None else None
    return {
        "id": instance.id,
        "status": instance.status,
        "instance_type": instance_type
        and {"id": instance_type["id"], "name": instance_type["name"], "display_name": title_of(instance_type)},
        "time_created": instance.events[0].time_created,
        "time_updated": instance.events[-1].time_created,
    }
