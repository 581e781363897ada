"""Audit events, oldest first."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import select

from ubiops.emulator.access.caller import name_of
from ubiops.emulator.audit import ACTIONS, FOLLOWED
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_deployment, find_pipeline, find_project
from ubiops.emulator.handlers.resource import serves
from ubiops.emulator.tables import AuditEvent, Deployment, Pipeline, Project

_DEFAULT_LIMIT = 50


def _find_place(
    context: Context, project_name: str, deployment_name: str | None = None, pipeline_name: str | None = None
) -> Project | Deployment | Pipeline:
    if deployment_name is not None:
        return find_deployment(context, project_name, deployment_name)
    if pipeline_name is not None:
        return find_pipeline(context, project_name, pipeline_name)
    return find_project(context, project_name)


@serves(_find_place, "project_audit_events_list", "deployment_audit_events_list", "pipeline_audit_events_list")
def _list(
    context: Context,
    place: Project | Deployment | Pipeline,
    action: str | None,
    limit: int | None,
    offset: int | None,
) -> list[dict[str, Any]]:
    project = place if isinstance(place, Project) else place.project
    query = select(AuditEvent).where(AuditEvent.project_id == project.id).order_by(AuditEvent.number)
    if isinstance(place, Deployment):
        query = query.where(AuditEvent.deployment_id == place.id)
    if isinstance(place, Pipeline):
        query = query.where(AuditEvent.pipeline_id == place.id)
    if action is not None and action not in ACTIONS:
        raise invalid(f"action: it must be one of {', '.join(ACTIONS)}, not '{action}'")
    if action is not None:
        query = query.where(AuditEvent.action == action)
    query = query.limit(_check("limit", limit, _DEFAULT_LIMIT)).offset(_check("offset", offset, 0))

    @cache
    def present_name(type: str, id: str | None) -> str:
        # The present name, since objects can be renamed; empty for a deleted object.
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
