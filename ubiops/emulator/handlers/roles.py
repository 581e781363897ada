"""Permissions, roles, and their assignments."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from ubiops.emulator.access.caller import find_object, name_of, permissions_of
from ubiops.emulator.access.permissions import ALIASES, DEFAULT_ROLE_NAMES, DEFAULT_ROLES, PERMISSIONS, default_role_id
from ubiops.emulator.audit import record as record_event
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid, not_found, taken
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.resource import free_name, record
from ubiops.emulator.handlers.rules import check_name
from ubiops.emulator.tables import Project, ProjectUser, Role, RoleAssignment, User

_ASSIGNEE_TYPES = ("user", "deployment")
_RESOURCE_TYPES = ("project", "deployment", "pipeline", "bucket")


def permissions_list(_context: Context) -> list[dict[str, Any]]:
    return [{"name": name} for name in PERMISSIONS]


# Roles


def roles_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    role = Role(
        project_id=project.id,
        name=_check_name(context, project, data["name"]),
        permissions=_check_permissions(data["permissions"]),
    )
    context.session.add(role)
    context.session.flush()
    record(context, role, "create", f"Created role {role.name}")
    return _detail(context, role.id, role.name)


def roles_list(context: Context, project_name: str) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    custom = context.session.scalars(select(Role).where(Role.project_id == project.id).order_by(Role.number))
    return [
        *(_summary(id, name) for id, name in DEFAULT_ROLE_NAMES.items()),
        *(_summary(role.id, role.name) for role in custom),
    ]


def roles_get(context: Context, project_name: str, role_name: str) -> dict[str, Any]:
    project = find_project(context, project_name)
    return _detail(context, _role_id(context, project, role_name), ALIASES.get(role_name, role_name))


def roles_update(context: Context, project_name: str, role_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    role = _find_custom(context, project, role_name, "changed")
    if data.get("name", role.name) != role.name:
        role.name = _check_name(context, project, data["name"])
    if "permissions" in data:
        role.permissions = _check_permissions(data["permissions"])
    renamed = f": name changed from {role_name} to {role.name}" if role.name != role_name else ""
    record(context, role, "update", f"Updated role {role_name}{renamed}")
    return _detail(context, role.id, role.name)


def roles_delete(context: Context, project_name: str, role_name: str) -> None:
    project = find_project(context, project_name)
    role = _find_custom(context, project, role_name, "deleted")
    record(context, role, "delete", f"Deleted role {role.name}")
    context.session.execute(delete(RoleAssignment).where(RoleAssignment.role_id == role.id))
    context.session.delete(role)


def _check_name(context: Context, project: Project, name: str) -> str:
    where = f" in the project '{project.name}'"
    if name in DEFAULT_ROLES or name in ALIASES:
        raise taken("role", name, where)
    return check_name(free_name(context, Role, "role", name, where, project_id=project.id), "role")


def _check_permissions(names: list[str]) -> list[str]:
    for name in names:
        if name not in PERMISSIONS:
            raise invalid(f"permissions: there is no '{name}'; permissions_list returns those that exist")
    return list(dict.fromkeys(names))


def _custom(context: Context, project: Project, name: str) -> Role | None:
    return context.session.scalar(select(Role).where(Role.project_id == project.id, Role.name == name))


def _find_custom(context: Context, project: Project, name: str, done: str) -> Role:
    if name in DEFAULT_ROLES:
        raise invalid(f"The role '{name}' is a default role and can't be {done}")
    role = _custom(context, project, name)
    if role is None:
        raise not_found(f"The role '{name}' was not found in the project '{project.name}'")
    return role


def _role_id(context: Context, project: Project, name: str) -> str:
    name = ALIASES.get(name, name)
    return default_role_id(name) if name in DEFAULT_ROLES else _find_custom(context, project, name, "used").id


def _summary(id: str, name: str) -> dict[str, Any]:
    return {"id": id, "name": name, "default": id in DEFAULT_ROLE_NAMES}


def _detail(context: Context, id: str, name: str) -> dict[str, Any]:
    granted = set(permissions_of(context.session, id))
    return {**_summary(id, name), "permissions": [permission for permission in PERMISSIONS if permission in granted]}


# Assignments


def role_assignments_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    assignee_type = _check_type("assignee_type", data.get("assignee_type", "user"), _ASSIGNEE_TYPES)
    if "assignee" not in data:
        raise invalid("assignee: it is required; it is the id of a user, or the name of a deployment")
    if ("resource" in data) != ("resource_type" in data):
        raise invalid("resource and resource_type must be passed together, or neither for the project")
    resource_type = _check_type("resource_type", data.get("resource_type", "project"), _RESOURCE_TYPES)
    place = {
        "role_id": _role_id(context, project, data["role"]),
        "assignee_id": _find_assignee(context, project, assignee_type, data["assignee"]),
        "assignee_type": assignee_type,
        "resource_id": _find_resource(context, project, resource_type, data.get("resource", project.name)),
        "resource_type": resource_type,
    }
    if context.session.scalar(select(RoleAssignment.id).filter_by(project_id=project.id, **place)) is not None:
        raise invalid(f"role: '{data['assignee']}' has the role '{data['role']}' there already")
    assignment = RoleAssignment(project_id=project.id, **place)
    context.session.add(assignment)
    context.session.flush()
    view = _assignment_view(context, project, assignment)
    _record_assignment(context, project, "create", "Assigned", view)
    return view


def role_assignments_per_object_list(
    context: Context,
    project_name: str,
    resource: str | None,
    resource_type: str | None,
    assignee: str | None,
    assignee_type: str | None,
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    wanted = {}
    for kind, name, type, types in (
        ("resource", resource, resource_type, _RESOURCE_TYPES),
        ("assignee", assignee, assignee_type, _ASSIGNEE_TYPES),
    ):
        if name is not None and type is None:
            raise invalid(f"{kind}: it must be passed together with {kind}_type")
        if type is not None:
            wanted[f"{kind}_type"] = _check_type(f"{kind}_type", type, types)
        if name is not None:
            wanted[kind] = name
    query = select(RoleAssignment).where(RoleAssignment.project_id == project.id).order_by(RoleAssignment.number)
    views = [_assignment_view(context, project, assignment) for assignment in context.session.scalars(query)]
    return [view for view in views if _is_whole(view) and wanted.items() <= view.items()]


def role_assignments_get(context: Context, project_name: str, id: str) -> dict[str, Any]:
    project = find_project(context, project_name)
    return _assignment_view(context, project, _find_assignment(context, project, id))


def role_assignments_delete(context: Context, project_name: str, id: str) -> None:
    project = find_project(context, project_name)
    assignment = _find_assignment(context, project, id)
    _record_assignment(context, project, "delete", "Removed", _assignment_view(context, project, assignment))
    context.session.delete(assignment)


def _check_type(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise invalid(f"{name}: it must be {', '.join(allowed[:-1])} or {allowed[-1]}, not '{value}'")
    return value


def _find_assignee(context: Context, project: Project, type: str, assignee: str) -> str:
    if type == "deployment":
        return _find_resource(context, project, type, assignee)
    user = context.session.scalar(select(User).where(User.id == assignee))
    is_member = user is not None and (
        user.project_id == project.id or context.session.get(ProjectUser, (project.id, user.id)) is not None
    )
    if not is_member:
        raise not_found(f"assignee: there is no user '{assignee}' in the project '{project.name}'; add them first")
    return assignee


def _find_resource(context: Context, project: Project, type: str, name: str) -> str:
    id = project.id if type == "project" else find_object(context.session, project, type, name)
    if id is None or (type == "project" and name != project.name):
        raise not_found(f"The {type} '{name}' was not found in the project '{project.name}'")
    return id


def _find_assignment(context: Context, project: Project, id: str) -> RoleAssignment:
    query = select(RoleAssignment).where(RoleAssignment.project_id == project.id, RoleAssignment.id == id)
    assignment = context.session.scalar(query)
    if assignment is None or not _is_whole(_assignment_view(context, project, assignment)):
        raise not_found(f"The role assignment '{id}' was not found in the project '{project.name}'")
    return assignment


def _is_whole(view: dict[str, Any]) -> bool:
    """Whether everything that an assignment refers to still exists."""
    return None not in view.values()


def _assignment_view(context: Context, project: Project, assignment: RoleAssignment) -> dict[str, Any]:
    role_id = assignment.role_id
    role = DEFAULT_ROLE_NAMES.get(role_id) or context.session.scalar(select(Role.name).where(Role.id == role_id))
    return {
        "id": assignment.id,
        "assignee": _name(context, project, assignment.assignee_type, assignment.assignee_id),
        "assignee_type": assignment.assignee_type,
        "role": role,
        "resource": _name(context, project, assignment.resource_type, assignment.resource_id),
        "resource_type": assignment.resource_type,
    }


def _name(context: Context, project: Project, type: str, id: str) -> str | None:
    """The name of what an assignment refers to; None if it was deleted."""
    if type == "user":
        return id
    return project.name if type == "project" else name_of(context.session, type, id)


def _record_assignment(context: Context, project: Project, action: str, done: str, view: dict[str, Any]) -> None:
    event = (
        f"{done} role {view['role']} {'to' if action == 'create' else 'from'} {view['assignee_type']} "
        f"{view['assignee']} on {view['resource_type']} {view['resource']}"
    )
    record_event(context, project, action, event, object_type="role_assignment", object_name=view["id"])
