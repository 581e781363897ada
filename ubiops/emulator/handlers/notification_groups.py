"""Notification groups: people to notify of requests and failures."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.resource import find, free_name, record
from ubiops.emulator.tables import (
    Deployment,
    DeploymentRequest,
    NotificationGroup,
    Pipeline,
    PipelineRequest,
    PipelineVersion,
    Project,
    Version,
)

_LONGEST_NAME = 64


def notification_groups_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    group = NotificationGroup(
        project_id=project.id, name=_name(context, project, data["name"]), contacts=_check_contacts(data)
    )
    context.session.add(group)
    context.session.flush()
    record(context, group, "create", f"Created notification group {group.name}")
    return _view(group)


def notification_groups_list(context: Context, project_name: str) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    query = select(NotificationGroup).filter_by(project_id=project.id).order_by(NotificationGroup.number)
    return [_view(group) for group in context.session.scalars(query)]


def notification_groups_get(context: Context, project_name: str, notification_group_name: str) -> dict[str, Any]:
    return _view(find_notification_group(context, find_project(context, project_name), notification_group_name))


def notification_groups_update(
    context: Context, project_name: str, notification_group_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    project = find_project(context, project_name)
    group = find_notification_group(context, project, notification_group_name)
    event = f"Updated notification group {group.name}"
    if data.get("name", group.name) != group.name:
        name = _name(context, project, data["name"])
        _rename_references(context, project, group.name, name)
        event = f"{event}: changed name from {group.name} to {name}"
        group.name = name
    if "contacts" in data:
        group.contacts = _check_contacts(data)
    record(context, group, "update", event)
    return _view(group)


def notification_groups_delete(context: Context, project_name: str, notification_group_name: str) -> None:
    project = find_project(context, project_name)
    group = find_notification_group(context, project, notification_group_name)
    _rename_references(context, project, group.name, None)
    record(context, group, "delete", f"Deleted notification group {group.name}")
    context.session.delete(group)


def find_notification_group(context: Context, project: Project, name: str) -> NotificationGroup:
    """The group with a name.

    Raises:
        ApiError: 404: it doesn't exist.
    """
    where = f" in the project '{project.name}'"
    return find(context, NotificationGroup, f"The notification group '{name}'", where, project_id=project.id, name=name)


def check_notification_groups(context: Context, project: Project, version: Any) -> None:
    """Check the groups in the settings of a deployment or pipeline version.

    Raises:
        ApiError: 400: there is no such group.
    """
    for setting in ("monitoring", "default_notification_group"):
        name = getattr(version, setting)
        query = select(NotificationGroup.id).filter_by(project_id=project.id, name=name)
        if name is not None and context.session.scalar(query) is None:
            raise invalid(f"{setting}: the notification group '{name}' does not exist")


def _rename_references(context: Context, project: Project, name: str, new_name: str | None) -> None:
    """Update the references to a group to its new name, or clear them."""
    versions = select(Version.id).join(Version.deployment).where(Deployment.project_id == project.id)
    pipeline_versions = (
        select(PipelineVersion.id).join(PipelineVersion.pipeline).where(Pipeline.project_id == project.id)
    )
    for table, ids in ((Version, versions), (PipelineVersion, pipeline_versions)):
        _replace(context, table.monitoring, table.id.in_(ids), name, new_name)
        _replace(context, table.default_notification_group, table.id.in_(ids), name, new_name)
    of_project = DeploymentRequest.version_id.in_(versions)
    _replace(context, DeploymentRequest.notification_group, of_project, name, new_name)
    of_project = PipelineRequest.version_id.in_(pipeline_versions)
    _replace(context, PipelineRequest.notification_group, of_project, name, new_name)


def _replace(context: Context, column: Any, of_project: Any, name: str, new_name: str | None) -> None:
    statement = update(column.class_).where(of_project, column == name).values({column.key: new_name})
    context.session.execute(statement, execution_options={"synchronize_session": False})


def _name(context: Context, project: Project, name: str) -> str:
    if len(name) > _LONGEST_NAME:
        raise invalid(f"name: it must have at most {_LONGEST_NAME} characters, not {len(name)}")
    where = f" in the project '{project.name}'"
    return free_name(context, NotificationGroup, "notification group", name, where, project_id=project.id)


def _check_contacts(data: dict[str, Any]) -> list[dict[str, Any]]:
    for index, contact in enumerate(data["contacts"]):
        if contact["type"] != "email":
            raise invalid(f"contacts[{index}]: the type must be email, not '{contact['type']}'")
        address = contact["configuration"].get("email_address")
        if not isinstance(address, str) or not all(address.partition("@")):
            raise invalid(f"contacts[{index}]: configuration.email_address must be an email address, not {address!r}")
    return [
        {"type": "email", "configuration": {"email_address": contact["configuration"]["email_address"]}}
        for contact in data["contacts"]
    ]


def _view(group: NotificationGroup) -> dict[str, Any]:
    return {"id": group.id, "name": group.name, "contacts": group.contacts}
