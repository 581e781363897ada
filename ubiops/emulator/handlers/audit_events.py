"""Audit events, oldest first."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Select, select

from ubiops.emulator.access import find_object, name_of
from ubiops.emulator.audit import ACTIONS, FOLLOWED
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.handlers.find import find_deployment, find_project
from ubiops.emulator.store import AuditEvent, Project

_DEFAULT_LIMIT = 50


def project_audit_events_list(
    context: Context, project_name: str, action: str | None, limit: int | None, offset: int | None
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    return _list(context, project, _of(project), action, limit, offset)


def deployment_audit_events_list(
    context: Context,
    project_name: str,
    deployment_name: str,
    action: str | None,
    limit: int | None,
    offset: int | None,
) -> list[dict[str, Any]]:
    deployment = find_deployment(context, project_name, deployment_name)
    query = _of(deployment.project).where(AuditEvent.deployment_id == deployment.id)
    return _list(context, deployment.project, query, action, limit, offset)


def pipeline_audit_events_list(
    context: Context,
    project_name: str,
    pipeline_name: str,
    action: str | None,
    limit: int | None,
    offset: int | None,
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pipeline_id = find_object(context.session, project, "pipeline", pipeline_name)
    if pipeline_id is None:
        raise not_found(f"The pipeline '{pipeline_name}' was not found in the project '{project_name}'")
    query = _of(project).where(AuditEvent.pipeline_id == pipeline_id)
    return _list(context, project, query, action, limit, offset)


def _of(project: Project) -> Select[AuditEvent]:
    return select(AuditEvent).where(AuditEvent.project_id == project.id).order_by(AuditEvent.number)


def _list(
    context: Context,
    project: Project,
    query: Select[AuditEvent],
    action: str | None,
    limit: int | None,
    offset: int | None,
) -> list[dict[str, Any]]:
    if action is not None and action not in ACTIONS:
        raise invalid(f"action: it must be one of {', '.join(ACTIONS)}, not '{action}'")
    if action is not None:
        query = query.where(AuditEvent.action == action)
    query = query.limit(_check("limit", limit, _DEFAULT_LIMIT)).offset(_check("offset", offset, 0))

    @cache
    def present_name(type: str, id: str | None) -> str:
        # What can be renamed has its present name; what was deleted has none.
        return project.name if type == "project" else name_of(context.session, type, id or "") or ""

    return [
        {
            "id": event.id,
            "date": event.date,
            "action": event.action,
            "user": event.user,
            "event": event.event,
            "object_type": event.object_type,
            "object_name": present_name(event.object_type, event.deployment_id or event.pipeline_id)
            if event.object_type in FOLLOWED
            else event.object_name,
        }
        for event in context.session.scalars(query)
    ]


def _check(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 0:
        raise invalid(f"{name}: it must be 0 or more, not {value}")
    return value
