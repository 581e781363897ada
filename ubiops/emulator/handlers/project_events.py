"""What happened to the objects of a project, newest first."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.dates import parse_moment, timestamp
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.tables import Deployment, ProjectEvent, Version

_DEFAULT_LIMIT, _LARGEST_LIMIT = 50, 500
_LONGEST = 10**9
"""How far back events can be listed, in seconds."""


def project_events_list(
    context: Context,
    project_name: str,
    object_type: str | None,
    object_id: str | None,
    start_time: str | None,
    end_time: str | None,
    last_seconds: int | None,
    type: str | None,
    limit: int | None,
    offset: int | None,
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    equal = {"object_type": object_type, "object_id": object_id, "type": type}
    query = select(ProjectEvent).filter_by(
        project_id=project.id, **{name: value for name, value in equal.items() if value is not None}
    )
    if last_seconds is not None:
        if start_time is not None or end_time is not None:
            raise invalid("last_seconds: it can't be combined with start_time or end_time")
        if not 0 <= last_seconds <= _LONGEST:
            raise invalid(f"last_seconds: it must be from 0 to {_LONGEST}, not {last_seconds}")
        start_time = timestamp(datetime.now(timezone.utc) - timedelta(seconds=last_seconds))
    if start_time is not None:
        query = query.where(ProjectEvent.date >= parse_moment("start_time", start_time))
    if end_time is not None:
        query = query.where(ProjectEvent.date <= parse_moment("end_time", end_time))
    number = _DEFAULT_LIMIT if limit is None else limit
    if not 1 <= number <= _LARGEST_LIMIT or (offset or 0) < 0:
        raise invalid(f"limit: it must be from 1 to {_LARGEST_LIMIT}, and offset 0 or more")
    query = query.order_by(ProjectEvent.number.desc()).limit(number).offset(offset or 0)
    return [_view(context, event) for event in context.session.scalars(query)]


def _view(context: Context, event: ProjectEvent) -> dict[str, Any]:
    version = context.session.get(Version, event.object_id)
    deployment = context.session.get(Deployment, event.parent_id)
    return {
        "id": event.id,
        "date": event.date,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_name": version.name if version is not None else None,
        "parent_object_name": deployment.name if deployment is not None else None,
        "parent_object_id": event.parent_id,
        "type": event.type,
        "log_timestamp": int(datetime.fromisoformat(event.date).timestamp() * 1000) * 10**6,
        "text": event.text,
    }
