"""Projects."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid, taken
from ubiops.emulator.handlers.find import find_organization, find_project
from ubiops.emulator.handlers.rules import check_name
from ubiops.emulator.store import Deployment, Project, Version, now

_MOST_CREDITS = 10**12


def projects_create(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    organization = find_organization(context, data["organization_name"])
    project = Project(
        organization=organization,
        name=_free_name(context, data["name"]),
        advanced_permissions=data.get("advanced_permissions", False),
        credits=_check_credits(data.get("credits")),
        creation_date=now(),
    )
    context.session.add(project)
    context.session.flush()
    return _detail(project)


def projects_list(context: Context, organization: str | None) -> list[dict[str, Any]]:
    query = select(Project).order_by(Project.creation_date)
    if organization is not None:
        query = query.where(Project.organization_id == find_organization(context, organization).id)
    return [_summary(project) for project in context.session.scalars(query)]


def projects_get(context: Context, project_name: str) -> dict[str, Any]:
    return _detail(find_project(context, project_name))


def projects_update(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    if data.get("name", project.name) != project.name:
        project.name = _free_name(context, data["name"])
    project.advanced_permissions = data.get("advanced_permissions", project.advanced_permissions)
    project.credits = _check_credits(data.get("credits", project.credits))
    project.suspended = data.get("suspend", project.suspended)
    return _detail(project)


def projects_delete(context: Context, project_name: str) -> None:
    project = find_project(context, project_name)
    versions = select(Version.id).join(Version.deployment).where(Deployment.project_id == project.id)
    context.engine.forget(context.session.scalars(versions))
    context.session.delete(project)


def _free_name(context: Context, name: str) -> str:
    if context.session.scalar(select(Project.id).where(Project.name == name)) is not None:
        raise taken("project", name)
    return check_name(name, "project")


def _check_credits(credits: float | None) -> float | None:
    if credits is not None and not 0 <= credits <= _MOST_CREDITS:
        raise invalid(f"credits: they must be from 0 to {_MOST_CREDITS}")
    return credits


def _summary(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "creation_date": project.creation_date[: len("2022-11-03")],
        "advanced_permissions": project.advanced_permissions,
        "credits": project.credits,
        "organization_name": project.organization.name,
    }


def _detail(project: Project) -> dict[str, Any]:
    return {
        **_summary(project),
        "suspended": project.suspended,
        "suspended_reason": "Suspended by a user" if project.suspended else None,
    }
