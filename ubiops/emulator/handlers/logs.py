"""The logs of a project."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Select, select, tuple_
from sqlalchemy.orm import selectinload

from ubiops.emulator.context import Context
from ubiops.emulator.dates import parse_date, timestamp
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.log_query import read_query
from ubiops.emulator.tables import (
    Build,
    Deployment,
    Environment,
    EnvironmentTag,
    LogLine,
    Pipeline,
    PipelineVersion,
    Project,
    Version,
)

_DEFAULT_RANGE = -21600
_LONGEST_RANGE = 86400
_DEFAULT_LIMIT, _LARGEST_LIMIT = 50, 500
_REQUIRES = {
    "deployment_version": "deployment_name",
    "pipeline_version": "pipeline_name",
    "pipeline_object_name": "pipeline_version",
    "environment_tag": "environment_name",
}
_REVISION = select(Build.revision_id).where(Build.id == LogLine.build_id).scalar_subquery()
_COLUMNS = {
    "deployment_name": Deployment.name,
    "deployment_version": Version.name,
    "build_id": LogLine.build_id,
    "deployment_request_id": LogLine.request_id,
    "system": LogLine.system,
    "level": LogLine.level,
    "pipeline_name": Pipeline.name,
    "pipeline_version": PipelineVersion.name,
    "pipeline_object_name": LogLine.pipeline_object,
    "pipeline_request_id": LogLine.pipeline_request_id,
    "deployment_version_revision_id": _REVISION,
    "environment_build_id": LogLine.environment_build_id,
    "environment_name": Environment.name,
    "environment_tag": EnvironmentTag.name,
}
_OF_A_LINE = (
    selectinload(LogLine.version).joinedload(Version.deployment),
    selectinload(LogLine.build),
    selectinload(LogLine.pipeline_version).joinedload(PipelineVersion.pipeline),
    selectinload(LogLine.environment_tag).joinedload(EnvironmentTag.environment),
)
"""Loads what is shown of the lines with the lines themselves: line by line, 500 took a second."""


def projects_log_list(context: Context, project_name: str, data: dict[str, Any] | None) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    data = data or {}
    query = _windowed(context, project, _filtered(project, data.get("filters") or {}), data)
    return [_view(line) for line in context.session.scalars(query.limit(_limit(data)).options(*_OF_A_LINE))]


_LABELS = {
    "deployment_name": Deployment.name,
    "deployment_version": Version.name,
    "deployment_version_revision_id": _REVISION,
    "build_id": LogLine.build_id,
    "pipeline_name": Pipeline.name,
    "pipeline_version": PipelineVersion.name,
    "pipeline_object_name": LogLine.pipeline_object,
    "deployment_request_id": LogLine.request_id,
    "pipeline_request_id": LogLine.pipeline_request_id,
    "webhook_name": LogLine.webhook_name,
    "environment_name": Environment.name,
    "environment_tag": EnvironmentTag.name,
    "environment_build_id": LogLine.environment_build_id,
    "system": LogLine.system,
    "level": LogLine.level,
}
_OF_ENVIRONMENTS = {"environment_name", "environment_tag"}
_DEFAULT_LINES, _MOST_LINES = 1000, 5000
_DEFAULT_WINDOW = timedelta(hours=24)


def logs_list(
    context: Context, project_name: str, query: str | None, start: str | None, end: str | None, limit: int | None
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    number = _DEFAULT_LINES if limit is None else limit
    if not 1 <= number <= _MOST_LINES:
        raise invalid(f"limit: it must be from 1 to {_MOST_LINES}, not {limit}")
    first, last = _window(start, end)
    lines = (
        select(LogLine)
        .where(LogLine.project_id == project.id)
        .where(LogLine.date >= timestamp(min(first, last)), LogLine.date < timestamp(max(first, last)))
        .outerjoin(LogLine.version)
        .outerjoin(Version.deployment)
        .outerjoin(LogLine.pipeline_version)
        .outerjoin(PipelineVersion.pipeline)
        .outerjoin(LogLine.environment_tag)
        .outerjoin(EnvironmentTag.environment)
        .where(*read_query(query or "", _LABELS))
    )
    # If the start is later than the end, the newest line comes first.
    backward = start is not None and first > last
    order = (column.desc() if backward else column.asc() for column in (LogLine.date, LogLine.number))
    lines = lines.order_by(*order).limit(number).options(*_OF_A_LINE)
    return [_line_view(line) for line in context.session.scalars(lines)]


def _window(start: str | None, end: str | None) -> tuple[datetime, datetime]:
    if (start is None) != (end is None):
        raise invalid("start and end: pass both, or neither for the last 24 hours")
    if start is None or end is None:
        # The end is exclusive, and a line of this millisecond must be included.
        present = datetime.now(timezone.utc) + timedelta(milliseconds=1)
        return present - _DEFAULT_WINDOW, present
    return _moment("start", start), _moment("end", end)


def _moment(name: str, text: str) -> datetime:
    """A moment in ISO 8601, or in nanoseconds since 1970."""
    if not re.fullmatch("[0-9]{12,20}", text):
        return parse_date(name, text)
    try:
        return datetime.fromtimestamp(int(text) / 1e9, timezone.utc)
    except (OverflowError, ValueError) as error:
        raise invalid(f"{name}: '{text}' is not a number of nanoseconds since 1970") from error


def _line_view(line: LogLine) -> dict[str, Any]:
    moment = datetime.fromisoformat(line.date)
    nanoseconds = int(moment.timestamp()) * 10**9 + moment.microsecond * 1000
    metadata = {name: value for name, value in _view(line).items() if name not in ("id", "log", "date")}
    return {"timestamp": nanoseconds, "timestamp_str": line.date, "log": line.log, "metadata": metadata}


def _filtered(project: Project, filters: dict[str, Any]) -> Select[LogLine]:
    query = select(LogLine).where(LogLine.project_id == project.id)
    if filters.keys() & {"deployment_name", "deployment_version"}:
        query = query.join(LogLine.version).join(Version.deployment)
    if filters.keys() & {"pipeline_name", "pipeline_version"}:
        query = query.join(LogLine.pipeline_version).join(PipelineVersion.pipeline)
    if filters.keys() & _OF_ENVIRONMENTS:
        query = query.join(LogLine.environment_tag).join(EnvironmentTag.environment)
    for name, value in filters.items():
        if name not in _COLUMNS:
            raise invalid(f"filters: there is no filter '{name}'")
        if name in _REQUIRES and _REQUIRES[name] not in filters:
            raise invalid(f"filters: {name} needs {_REQUIRES[name]} too")
        query = query.where(_COLUMNS[name] == (_boolean(value) if name == "system" else str(value)))
    return query


def _boolean(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise invalid(f"filters.system: it must be true or false, not {value!r}")
    return str(value).lower() == "true"


def _windowed(context: Context, project: Project, query: Select[LogLine], data: dict[str, Any]) -> Select[LogLine]:
    seconds = data.get("date_range", _DEFAULT_RANGE)
    if abs(seconds) > _LONGEST_RANGE:
        raise invalid(f"date_range: it must be from -{_LONGEST_RANGE} to {_LONGEST_RANGE} seconds, not {seconds}")
    forward = seconds > 0
    if "id" in data:
        start, line = _start_line(context, project, data["id"])
        # Lines of the same moment are ordered by their numbers.
        place, given = tuple_(LogLine.date, LogLine.number), (timestamp(start), line)
        query = query.where(place >= given if forward else place <= given)
    else:
        start = parse_date("date", data["date"]) if "date" in data else datetime.now(timezone.utc)
    first, last = sorted([start, start + timedelta(seconds=seconds)])
    query = query.where(LogLine.date.between(timestamp(first), timestamp(last)))
    order = (LogLine.date, LogLine.number)
    return query.order_by(*(column.asc() if forward else column.desc() for column in order))


def _start_line(context: Context, project: Project, id: str) -> tuple[datetime, int]:
    try:
        number = int(id, 16)
    except ValueError:
        raise invalid(f"id: '{id}' is not the id of a log line, which has 24 hexadecimal digits") from None
    query = select(LogLine).where(LogLine.project_id == project.id, LogLine.number == min(number, 2**63 - 1))
    line = context.session.scalar(query)
    if line is None:
        raise not_found(f"The log line '{id}' was not found in the project '{project.name}'")
    return datetime.fromisoformat(line.date), line.number


def _limit(data: dict[str, Any]) -> int:
    limit: int = data.get("limit", _DEFAULT_LIMIT)
    if not 1 <= limit <= _LARGEST_LIMIT:
        raise invalid(f"limit: it must be from 1 to {_LARGEST_LIMIT}, not {limit}")
    return limit


def _view(line: LogLine) -> dict[str, Any]:
    version, pipeline_version, tag = line.version, line.pipeline_version, line.environment_tag
    view = {
        "id": f"{line.number:024x}",
        "log": line.log,
        "date": line.date,
        "deployment_name": version and version.deployment.name,
        "deployment_version": version and version.name,
        "deployment_version_revision_id": line.build and line.build.revision_id,
        "pipeline_name": pipeline_version and pipeline_version.pipeline.name,
        "pipeline_version": pipeline_version and pipeline_version.name,
        "pipeline_object_name": line.pipeline_object,
        "pipeline_request_id": line.pipeline_request_id,
        "environment_name": tag and tag.environment.name,
        "environment_tag": tag and tag.name,
        "environment_build_id": line.environment_build_id,
        "build_id": line.build_id,
        "deployment_request_id": line.request_id,
        "webhook_name": line.webhook_name,
        "system": line.system,
        "level": line.level,
    }
    return {name: value for name, value in view.items() if value is not None}
