"""Projects."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_, select

from ubiops.emulator.access.caller import ADMIN
from ubiops.emulator.access.membership import welcome
from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import ApiError, invalid
from ubiops.emulator.handlers.find import find_caller, find_organization, find_project
from ubiops.emulator.handlers.resource import free_name, record
from ubiops.emulator.handlers.rules import check_labels, check_name, check_origins, has_label, parse_labels
from ubiops.emulator.tables import (
    Bucket,
    Deployment,
    Environment,
    EnvironmentTag,
    Organization,
    OrganizationUser,
    Pipeline,
    PipelineRequest,
    PipelineVersion,
    Project,
    ProjectUser,
    Transfer,
    User,
    Version,
)

_MOST_CREDITS = 10**12


def projects_create(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    organization = find_organization(context, data["organization_name"])
    _check_admin(context, organization)
    project = Project(
        organization=organization,
        name=_name(context, data["name"]),
        advanced_permissions=data.get("advanced_permissions", False),
        credits=_check_credits(data.get("credits")),
        creation_date=now(),
        labels=check_labels(data),
        cors_origins=check_origins("cors_origins", data.get("cors_origins") or []),
    )
    context.session.add_all([project, Bucket(project=project, name="default")])
    welcome(context.session, project)
    record(context, project, "create", f"Created project {project.name}")
    return _detail(project)


def projects_list(context: Context, organization: str | None, labels: str | None = None) -> list[dict[str, Any]]:
    pairs = parse_labels(labels)
    query = select(Project).order_by(Project.creation_date)
    if context.user != ADMIN:
        query = query.where(_is_member(find_caller(context)))
    if organization is not None:
        query = query.where(Project.organization_id == find_organization(context, organization).id)
    return [_summary(project) for project in context.session.scalars(query) if has_label(project.labels, pairs)]


def projects_get(context: Context, project_name: str) -> dict[str, Any]:
    return _detail(find_project(context, project_name))


def projects_update(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    before = _audited(project)
    if data.get("name", project.name) != project.name:
        project.name = _name(context, data["name"])
    project.advanced_permissions = data.get("advanced_permissions", project.advanced_permissions)
    project.credits = _check_credits(data.get("credits", project.credits))
    project.suspended = data.get("suspend", project.suspended)
    if "labels" in data:
        project.labels = check_labels(data)
    if "cors_origins" in data:
        project.cors_origins = check_origins("cors_origins", data["cors_origins"] or [])
    record(context, project, "update", f"Updated project {project_name}{changes(before, _audited(project))}")
    return _detail(project)


def projects_delete(context: Context, project_name: str) -> None:
    project = find_project(context, project_name)
    versions = select(Version.id).join(Version.deployment).where(Deployment.project_id == project.id)
    context.engine.forget(context.session, context.session.scalars(versions))
    tags = select(EnvironmentTag).join(EnvironmentTag.environment).where(Environment.project_id == project.id)
    context.engine.environments.forget(context.session, tags)
    transfers = select(Transfer.id).where(Transfer.project_id == project.id)
    context.engine.packages.remove_later(context.session, context.session.scalars(transfers))
    context.engine.storage.forget(context.session, project)
    requests = select(PipelineRequest.id).join(PipelineRequest.version).join(PipelineVersion.pipeline)
    context.engine.pipelines.cancel(context.session.scalars(requests.where(Pipeline.project_id == project.id)))
    context.session.delete(project)


def _check_admin(context: Context, organization: Organization) -> None:
    if context.user != ADMIN:
        member = context.session.get(OrganizationUser, (organization.id, find_caller(context).id))
        if member is None or not member.admin:
            raise ApiError(403, f"Only admins of the organization '{organization.name}' may create projects in it")


def _is_member(user: User) -> ColumnElement[bool]:
    memberships = select(ProjectUser.project_id).where(ProjectUser.user_id == user.id)
    return or_(Project.id == user.project_id, Project.id.in_(memberships))


def _audited(project: Project) -> dict[str, Any]:
    return {name: getattr(project, name) for name in ("name", "advanced_permissions", "credits", "suspended")}


def _name(context: Context, name: str) -> str:
    return check_name(free_name(context, Project, "project", name), "project")


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
        "labels": project.labels,
        "organization_name": project.organization.name,
    }


def _detail(project: Project) -> dict[str, Any]:
    return {
        **_summary(project),
        "suspended": project.suspended,
        "suspended_reason": "Suspended by a user" if project.suspended else None,
        "cors_origins": project.cors_origins,
    }
