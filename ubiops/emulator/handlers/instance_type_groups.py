"""Groups of instance types: one for each type, in every project, and those that a project created."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, and_, or_, select

from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.instance_types import name_in
from ubiops.emulator.handlers.resource import page, record
from ubiops.emulator.instance_types import INSTANCE_TYPES, title_of
from ubiops.emulator.tables import Deployment, InstanceTypeGroup, Project, Version

_SCHEDULE_TIMEOUT = 300
_TYPES = {instance_type["id"]: instance_type for instance_type in INSTANCE_TYPES.values()}


def _own_group(instance_type: dict[str, Any]) -> InstanceTypeGroup:
    title = title_of(instance_type)
    return InstanceTypeGroup(
        id=str(uuid.uuid5(uuid.NAMESPACE_DNS, title)),
        name=title,
        instance_types=[{"id": instance_type["id"], "priority": 0, "schedule_timeout": _SCHEDULE_TIMEOUT}],
        creation_date=instance_type["time_created"],
        last_updated=instance_type["time_created"],
    )


_OWN_GROUPS = {name: _own_group(instance_type) for name, instance_type in INSTANCE_TYPES.items()}
"""The groups of a single type, by its name. They aren't stored."""


def instance_type_groups_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    types = _check_types(data["instance_types"])
    name = data.get("name") or title_of(_TYPES[types[0]["id"]])
    group = InstanceTypeGroup(project=project, name=name, instance_types=types)
    context.session.add(group)
    context.session.flush()
    record(context, group, "create", f"Created instance type group {name}")
    return _view(group)


def instance_type_groups_list(
    context: Context, project_name: str, cursor: str | None, limit: int | None
) -> dict[str, Any]:
    project = find_project(context, project_name)
    return page([_view(group) for group in _groups(context, project)], cursor, limit)


def instance_type_groups_get(context: Context, project_name: str, instance_type_group_id: str) -> dict[str, Any]:
    return _view(_find(context, find_project(context, project_name), instance_type_group_id))


def instance_type_groups_update(
    context: Context, project_name: str, instance_type_group_id: str, data: dict[str, Any]
) -> dict[str, Any]:
    group = _find_changeable(context, project_name, instance_type_group_id)
    group.name = data.get("name") or group.name
    group.last_updated = now()
    if "instance_types" in data:
        group.instance_types = _check_types(data["instance_types"])
        users = context.session.scalars(_users(group.project, group)).all()
        for version in users:
            version.instance_type = _first_type(group)
        context.engine.restart(users)
    record(context, group, "update", f"Updated instance type group {group.name}")
    return _view(group)


def instance_type_groups_delete(context: Context, project_name: str, instance_type_group_id: str) -> None:
    group = _find_changeable(context, project_name, instance_type_group_id)
    user = context.session.scalar(_users(group.project, group).limit(1))
    if user is not None:
        place = f"the version '{user.name}' of the deployment '{user.deployment.name}'"
        raise invalid(f"The instance type group '{group.name}' is used by {place}; choose another group there first")
    record(context, group, "delete", f"Deleted instance type group {group.name}")
    context.session.delete(group)


def instance_type_groups_usage(
    context: Context, project_name: str, instance_type_group_id: str, cursor: str | None, limit: int | None
) -> dict[str, Any]:
    project = find_project(context, project_name)
    group = _find(context, project, instance_type_group_id)
    users = context.session.scalars(_users(project, group).order_by(Deployment.name, Version.name))
    views = [
        {
            "id": version.id,
            "deployment": version.deployment.name,
            "version": version.name,
            "instance_type_group_id": group.id,
            "instance_type_group_name": group.name,
        }
        for version in users
    ]
    return page(views, cursor, limit)


# Groups of versions


def choose_instance_type(context: Context, project: Project, data: dict[str, Any]) -> dict[str, str]:
    """The type and the group that a body asks for, as columns of a version; empty if it asks for neither.

    A group's id takes precedence over its name, and both over a type. Of several groups with a name, the first is used.
    """
    if data.get("instance_type_group_id"):
        group = _find(context, project, data["instance_type_group_id"], "instance_type_group_id: ")
    elif data.get("instance_type_group_name"):
        name = data["instance_type_group_name"]
        named = [group for group in _groups(context, project) if group.name == name]
        if not named:
            raise invalid(f"instance_type_group_name: the project has no instance type group '{name}'")
        group = named[0]
    elif (name := name_in(data)) is not None:
        group = _OWN_GROUPS[name]
    else:
        return {}
    return {"instance_type": _first_type(group), "instance_type_group_id": group.id}


def group_of(context: Context, version: Version) -> InstanceTypeGroup:
    """The group of a version; the group of its single type if it has a type instead."""
    group = context.session.scalar(select(InstanceTypeGroup).filter_by(id=version.instance_type_group_id))
    return group or _OWN_GROUPS[version.instance_type]


def _users(project: Project, group: InstanceTypeGroup) -> Select[Version]:
    used = Version.instance_type_group_id == group.id
    for name, own in _OWN_GROUPS.items():
        if own is group:
            # Versions from before groups were introduced.
            used = or_(used, and_(Version.instance_type_group_id.is_(None), Version.instance_type == name))
    return select(Version).join(Version.deployment).where(Deployment.project_id == project.id, used)


# The groups of a project


def _groups(context: Context, project: Project) -> list[InstanceTypeGroup]:
    query = select(InstanceTypeGroup).filter_by(project_id=project.id).order_by(InstanceTypeGroup.number)
    return [*_OWN_GROUPS.values(), *context.session.scalars(query)]


def _find(context: Context, project: Project, id: str, place: str = "") -> InstanceTypeGroup:
    for group in _groups(context, project):
        if group.id == id:
            return group
    problem = f"The instance type group '{id}' was not found in the project '{project.name}'"
    raise invalid(place + problem) if place else not_found(problem)


def _find_changeable(context: Context, project_name: str, id: str) -> InstanceTypeGroup:
    group = _find(context, find_project(context, project_name), id)
    if group in _OWN_GROUPS.values():
        raise invalid(f"The instance type group '{group.name}' belongs to every project; create one of your own")
    return group


def _check_types(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The types of a group in the form in which they are stored, in the order in which they are tried."""
    if not items:
        raise invalid("instance_types: it must not be empty")
    types = [
        {
            "id": item["id"],
            "priority": item.get("priority", index),
            "schedule_timeout": item.get("schedule_timeout", _SCHEDULE_TIMEOUT),
        }
        for index, item in enumerate(items)
    ]
    for item in types:
        if item["id"] not in _TYPES:
            raise invalid(f"instance_types: there is no instance type with the id '{item['id']}'")
        if item["schedule_timeout"] < 0:
            raise invalid(f"schedule_timeout: it must not be negative, as {item['schedule_timeout']} is")
    if len({item["id"] for item in types}) < len(types):
        raise invalid("instance_types: an instance type occurs more than once")
    return sorted(types, key=lambda item: item["priority"])


def _first_type(group: InstanceTypeGroup) -> str:
    """The type of new instances: always the first, since this machine never lacks capacity."""
    name: str = _TYPES[group.instance_types[0]["id"]]["name"]
    return name


_SHOWN = ("id", "time_created", "name", "cpu", "memory", "storage", "accelerator", "credit_rate", "dedicated_node")


def _view(group: InstanceTypeGroup) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "time_created": group.creation_date,
        "time_updated": group.last_updated,
        "instance_types": [
            {
                **{key: _TYPES[item["id"]][key] for key in _SHOWN},
                "display_name": title_of(_TYPES[item["id"]]),
                "node_pool": _TYPES[item["id"]]["node_pool"],
                "priority": item["priority"],
                "schedule_timeout": item["schedule_timeout"],
            }
            for item in group.instance_types
        ],
    }
