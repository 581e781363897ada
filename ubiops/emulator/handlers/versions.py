"""Deployment versions: settings of the code that runs."""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import select

from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_deployment, find_version
from ubiops.emulator.handlers.instance_type_groups import choose_instance_type, group_of
from ubiops.emulator.handlers.notification_groups import check_notification_groups
from ubiops.emulator.handlers.references import refuse_if_referenced
from ubiops.emulator.handlers.resource import free_name, record
from ubiops.emulator.handlers.revisions import latest_revision_id, package_command, start_build
from ubiops.emulator.handlers.rules import (
    check_description,
    check_labels,
    check_version_name,
    has_label,
    parse_labels,
)
from ubiops.emulator.handlers.schedules import refuse_scheduled_version
from ubiops.emulator.handlers.services import refuse_if_served
from ubiops.emulator.handlers.version_environments import check_instance, choose_environment, environment_view
from ubiops.emulator.handlers.version_ports import check_ports
from ubiops.emulator.instance_types import INSTANCE_TYPES
from ubiops.emulator.tables import Build, Deployment, Version
from ubiops.emulator.templates.commands import check_command

# The service has those up to 3.10. Code always runs on this Python, so its own name is accepted too.
_PYTHONS = [f"python3.{minor}" for minor in range(6, max(10, sys.version_info.minor) + 1)]
_LANGUAGES = [*_PYTHONS, *(f"{python}_cuda" for python in _PYTHONS), "r4.0"]
_MAXIMUM_INSTANCES = 20
_MAXIMUM_RETENTION = 2419200
_LARGEST_QUEUE = 2**31 - 1
_MAXIMUM_PROCESSES = 32
_BY_DEFAULT = {"instance_type": "2048mb"}
_QUEUE_SIZE = 100000
_ONE_QUEUE_SINCE = (4, 12)
"""The generation since which requests of both kinds share one queue."""
_STRATEGIES = ("default", "moderate")

_DEFAULTS: dict[str, Any] = {
    "maximum_instances": 5,
    "minimum_instances": 0,
    "maximum_idle_time": 300,
    "request_retention_time": 604800,
    "request_retention_mode": "full",
    "maximum_queue_size_express": 100,
    "maximum_queue_size_batch": 100000,
    "scaling_strategy": "default",
    "instance_processes": 1,
    "static_ip": False,
    "restart_request_interruption": False,
    "monitoring": None,
    "default_notification_group": None,
    "health_check": None,
    "ports": [],
    "command": None,
    "args": None,
}
"""Settings that are stored as they are."""

_SERVED = {"health_check", "ports"}
"""Settings that determine which ports of the instances can be reached."""

_RESTARTING = {
    *("instance_type", "memory_allocation", "instance_type_group_id", "instance_type_group_name"),
    *("maximum_instances", "minimum_instances", "maximum_idle_time", "instance_processes"),
}

_WITHOUT_BUILDS = (4, 12)
"""The first client without builds of deployment versions."""


def deployment_versions_create(
    context: Context, project_name: str, deployment_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    deployment = find_deployment(context, project_name, deployment_name)
    check_ports(context, data)
    check_command(deployment, data)
    environment = choose_environment(context, deployment, data)
    project = deployment.project
    of_type = choose_instance_type(context, project, data) or choose_instance_type(context, project, _BY_DEFAULT)
    version = Version(
        deployment=deployment,
        name=_name(context, deployment, data["version"]),
        language=_language(data) if environment is None else environment.language,
        description=check_description(data),
        labels=check_labels(data),
        **of_type,
        **{name: data.get(name, default) for name, default in _DEFAULTS.items()},
    )
    if "maximum_queue_size" in data or context.generation >= _ONE_QUEUE_SINCE:
        _set_queue_size(version, data.get("maximum_queue_size", _QUEUE_SIZE), data)
    if environment is not None:
        version.environment_id, version.environment_tag_id = environment.id, environment.tag_id
    _check_settings(version)
    check_instance(context, version, has_gpu=_has_gpu(version))
    check_notification_groups(context, deployment.project, version)
    context.session.add(version)
    context.session.flush()
    if deployment.default_version_id is None:
        deployment.default_version_id = version.id
    context.engine.services_changed(context.session)
    record(context, version, "create", f"Created version {version.name} for deployment {deployment.name}")
    package_command(context, version)
    return _detail(context, version)


def deployment_versions_list(
    context: Context, project_name: str, deployment_name: str, labels: str | None
) -> list[dict[str, Any]]:
    deployment = find_deployment(context, project_name, deployment_name)
    pairs = parse_labels(labels)
    query = select(Version).where(Version.deployment_id == deployment.id).order_by(Version.creation_date)
    versions = [version for version in context.session.scalars(query) if has_label(version.labels, pairs)]
    return [_summary(context, version) for version in versions]


def deployment_versions_get(context: Context, project_name: str, deployment_name: str, version: str) -> dict[str, Any]:
    return _detail(context, find_version(context, project_name, deployment_name, version))


def deployment_versions_update(
    context: Context, project_name: str, deployment_name: str, version: str, data: dict[str, Any]
) -> dict[str, Any]:
    found = find_version(context, project_name, deployment_name, version)
    check_ports(context, data, found)
    check_command(found.deployment, data)
    before = _audited(found)
    if data.get("version", found.name) != found.name:
        found.name = _name(context, found.deployment, data["version"])
    if "description" in data:
        found.description = check_description(data)
    if "labels" in data:
        found.labels = check_labels(data)
    for name, value in choose_instance_type(context, found.deployment.project, data).items():
        setattr(found, name, value)
    if "maximum_queue_size" in data:
        _set_queue_size(found, data["maximum_queue_size"], data)
    for name in _DEFAULTS.keys() & data.keys():
        setattr(found, name, data[name])
    if _SERVED & data.keys():
        context.engine.services_changed(context.session)
    environment = choose_environment(context, found.deployment, data, found)
    if environment is not None:
        found.language = environment.language
        found.environment_id, found.environment_tag_id = environment.id, environment.tag_id
    _check_settings(found)
    check_instance(context, found, has_gpu=_has_gpu(found))
    check_notification_groups(context, found.deployment.project, found)
    found.last_updated = now()
    event = f"Updated version {version} of deployment {deployment_name}{changes(before, _audited(found))}"
    record(context, found, "update", event)
    if {"command", "args"} & data.keys():
        package_command(context, found)
    elif environment is not None and found.active_revision_id is not None:
        start_build(context, found, found.active_revision_id, "Environment change")
    if _RESTARTING & data.keys():
        context.engine.restart([found])
    return _detail(context, found)


def deployment_versions_delete(context: Context, project_name: str, deployment_name: str, version: str) -> None:
    found = find_version(context, project_name, deployment_name, version)
    refuse_if_referenced(context, found)
    refuse_scheduled_version(context, found)
    refuse_if_served(context, found)
    context.engine.forget(context.session, [found.id])
    record(context, found, "delete", f"Deleted version {found.name} for deployment {deployment_name}")
    context.session.delete(found)


def _set_queue_size(version: Version, size: int, data: dict[str, Any]) -> None:
    """Limit the requests of both kinds together, and of each kind likewise unless the body sets its limit."""
    version.maximum_queue_size = size
    for name in ("maximum_queue_size_express", "maximum_queue_size_batch"):
        setattr(version, name, data.get(name, size))


def _audited(version: Version) -> dict[str, Any]:
    return {"name": version.name, "instance_type": version.instance_type} | {
        name: getattr(version, name) for name in _DEFAULTS
    }


def _name(context: Context, deployment: Deployment, name: str) -> str:
    where = f" in the deployment '{deployment.name}'"
    return check_version_name(free_name(context, Version, "version", name, where, deployment_id=deployment.id))


def _language(data: dict[str, Any]) -> str:
    language: str = data.get("language", "python3.7")
    if language not in _LANGUAGES:
        raise invalid(f"language: there is no '{language}'; choose one of {', '.join(_LANGUAGES)}")
    return language


def _has_gpu(version: Version) -> bool:
    return bool(INSTANCE_TYPES[version.instance_type]["gpu_allocation"])


def _check_settings(version: Version) -> None:
    bounds = {
        **({} if version.maximum_queue_size is None else {"maximum_queue_size": (1, _LARGEST_QUEUE)}),
        "maximum_instances": (0, _MAXIMUM_INSTANCES),
        "minimum_instances": (0, version.maximum_instances),
        "maximum_idle_time": (300 if _has_gpu(version) else 10, 3600),
        "request_retention_time": (0, _MAXIMUM_RETENTION),
        "maximum_queue_size_express": (1, _LARGEST_QUEUE),
        "maximum_queue_size_batch": (1, _LARGEST_QUEUE),
        "instance_processes": (1, _MAXIMUM_PROCESSES),
    }
    if version.scaling_strategy not in _STRATEGIES:
        raise invalid(f"scaling_strategy: it must be one of {', '.join(_STRATEGIES)}, not '{version.scaling_strategy}'")
    for name, (least, most) in bounds.items():
        value = getattr(version, name)
        if not least <= value <= most:
            raise invalid(f"{name}: it must be from {least} to {most}, not {value}")


def _summary(context: Context, version: Version) -> dict[str, Any]:
    return {
        "id": version.id,
        "deployment": version.deployment.name,
        "version": version.name,
        "description": version.description,
        "language": version.language,
        "status": version.status,
        "active_revision": version.active_revision_id,
        "memory_allocation": INSTANCE_TYPES[version.instance_type]["memory_allocation"],
        "instance_type": version.instance_type,
        "maximum_queue_size": version.maximum_queue_size or version.maximum_queue_size_batch,
        "labels": version.labels,
        "creation_date": version.creation_date,
        "last_updated": version.last_updated,
        "default": version.deployment.default_version_id == version.id,
        "latest_revision": latest_revision_id(context, version),
        **environment_view(context, version),
        # Left out where builds can't be read any more, since a client would try to.
        **({"latest_build": version.latest_build_id} if context.generation < _WITHOUT_BUILDS else {}),
        **{name: getattr(version, name) for name in _DEFAULTS},
    }


def _detail(context: Context, version: Version) -> dict[str, Any]:
    build = context.session.scalar(select(Build).where(Build.id == version.latest_build_id))
    group = group_of(context, version)
    detail = {
        **_summary(context, version),
        "instance_type_group_id": group.id,
        "instance_type_group_name": group.name,
        "last_file_upload": version.last_file_uploaded,
        "last_file_uploaded": version.last_file_uploaded,
    }
    if build is not None and build.has_request_method is not None:
        detail["has_request_method"] = build.has_request_method
        detail["has_requests_method"] = build.has_requests_method
    return detail
