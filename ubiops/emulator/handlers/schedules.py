"""Request schedules: requests by crontab, in UTC."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

from croniter import croniter
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import (
    find_deployment,
    find_pipeline,
    find_pipeline_version_of,
    find_project,
    find_version_of,
)
from ubiops.emulator.handlers.pipeline_requests import queue_pipeline_requests
from ubiops.emulator.handlers.requests import queue_requests
from ubiops.emulator.handlers.resource import find, free_name, record
from ubiops.emulator.handlers.rules import check_description, check_labels, check_name, has_label, parse_labels
from ubiops.emulator.tables import Deployment, LogLine, Pipeline, PipelineVersion, Project, Schedule, Version

_SHORTEST_TIMEOUT, _DEFAULT_TIMEOUT, _LONGEST_TIMEOUT = 10, 14400, 172800
_TYPES = ("deployment", "pipeline")

Target = Deployment | Pipeline


def request_schedules_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    target, version_id = _find_target(context, project, data)
    schedule = Schedule(
        project=project,
        name=_name(context, project, data["name"]),
        object_type=data["object_type"],
        object_id=target.id,
        version_id=version_id,
        schedule=_check_crontab(data["schedule"]),
        request_data=_check_data(target, data.get("request_data")),
        timeout=_check_timeout(data.get("timeout", _DEFAULT_TIMEOUT)),
        enabled=data.get("enabled", True),
        description=check_description(data),
        labels=check_labels(data),
    )
    context.session.add(schedule)
    context.session.flush()
    record(context, schedule, "create", f"Created schedule {schedule.name}")
    return _view(context, schedule)


def request_schedules_list(context: Context, project_name: str, labels: str | None) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pairs = parse_labels(labels)
    query = select(Schedule).filter_by(project_id=project.id).order_by(Schedule.number)
    schedules = context.session.scalars(query)
    return [_view(context, schedule) for schedule in schedules if has_label(schedule.labels, pairs)]


def request_schedules_get(context: Context, project_name: str, schedule_name: str) -> dict[str, Any]:
    return _view(context, _find(context, project_name, schedule_name))


def request_schedules_update(
    context: Context, project_name: str, schedule_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    schedule = _find(context, project_name, schedule_name)
    event = f"Updated schedule {schedule.name}"
    if data.get("name", schedule.name) != schedule.name:
        name = _name(context, schedule.project, data["name"])
        event = f"{event}: changed name from {schedule.name} to {name}"
        schedule.name = name
    if "schedule" in data:
        schedule.schedule = _check_crontab(data["schedule"])
    if "request_data" in data:
        schedule.request_data = _check_data(_target(context, schedule), data["request_data"])
    if "timeout" in data:
        schedule.timeout = _check_timeout(data["timeout"])
    if "description" in data:
        schedule.description = check_description(data)
    if "labels" in data:
        schedule.labels = check_labels(data)
    schedule.enabled = data.get("enabled", schedule.enabled)
    record(context, schedule, "update", event)
    return _view(context, schedule)


def request_schedules_delete(context: Context, project_name: str, schedule_name: str) -> None:
    schedule = _find(context, project_name, schedule_name)
    record(context, schedule, "delete", f"Deleted schedule {schedule.name}")
    context.session.delete(schedule)


# Making the requests


def due_schedules(session: Session, moment: datetime) -> list[Schedule]:
    """The schedules that make a request in the minute that begins at a moment."""
    query = select(Schedule).filter_by(enabled=True).order_by(Schedule.number)
    return [schedule for schedule in session.scalars(query) if croniter.match(schedule.schedule, moment)]


def make_request(context: Context, schedule: Schedule) -> None:
    """Make the batch request of a schedule.

    Raises:
        ApiError: As for a request of a user: the version is unavailable, the data doesn't fit ...
    """
    target = _target(context, schedule)
    version_id = schedule.version_id or target.default_version_id
    if version_id is None:
        raise invalid(f"the {schedule.object_type} '{target.name}' has no default version")
    version = _version(context, schedule, version_id)
    data, timeout = schedule.request_data, schedule.timeout
    if isinstance(version, Version):
        queue_requests(context, version, data, timeout, None, schedule.name)
    else:
        queue_pipeline_requests(context, version, data, timeout=timeout, request_schedule=schedule.name)


def log_failure(context: Context, schedule: Schedule, message: str) -> None:
    """Write to the log of the version why a schedule couldn't make its request."""
    target = _target(context, schedule)
    line = f"The request schedule {schedule.name} made no request: {message}"
    version_id = schedule.version_id or target.default_version_id
    place = {"version_id" if schedule.object_type == "deployment" else "pipeline_version_id": version_id}
    context.session.add(LogLine(project_id=schedule.project_id, level="error", system=True, log=line, **place))


# What schedules refer to


def delete_schedules(context: Context, *ids: str) -> None:
    """Delete the schedules of a pipeline or pipeline version that is being deleted.

    Args:
        context: Of the request that deletes it.
        *ids: Ids of the pipeline or version.
    """
    gone = Schedule.object_id.in_(ids) | Schedule.version_id.in_(ids)
    context.session.execute(delete(Schedule).where(gone))


def refuse_scheduled_deployment(context: Context, deployment: Deployment) -> None:
    """Refuse to delete a deployment that a schedule makes requests to.

    Raises:
        ApiError: 400: there is such a schedule.
    """
    name = context.session.scalar(select(Schedule.name).filter_by(object_id=deployment.id))
    if name is not None:
        raise invalid(
            f"The deployment '{deployment.name}' is referenced by the request schedule '{name}'; delete that first"
        )


def refuse_scheduled_version(context: Context, version: Version) -> None:
    """Refuse to delete a version that a schedule makes requests to, by its name or as the default version.

    Raises:
        ApiError: 400: there is such a schedule.
    """
    is_referenced = Schedule.version_id == version.id
    if version.deployment.default_version_id == version.id:
        is_referenced |= (Schedule.object_id == version.deployment_id) & Schedule.version_id.is_(None)
    name = context.session.scalar(select(Schedule.name).where(is_referenced))
    if name is not None:
        raise invalid(f"The version '{version.name}' is referenced by the request schedule '{name}'; delete that first")


def _find_target(context: Context, project: Project, data: dict[str, Any]) -> tuple[Target, str | None]:
    """The object that a body names, and the id of the version if it names one."""
    if data["object_type"] not in _TYPES:
        raise invalid(f"object_type: it must be one of {', '.join(_TYPES)}, not '{data['object_type']}'")
    version: str | None = data.get("version")
    if data["object_type"] == "pipeline":
        pipeline = find_pipeline(context, project.name, data["object_name"])
        return pipeline, version and find_pipeline_version_of(context, pipeline, version).id
    deployment = find_deployment(context, project.name, data["object_name"])
    return deployment, version and find_version_of(context, deployment, version).id


def _target(context: Context, schedule: Schedule) -> Target:
    if schedule.object_type == "pipeline":
        return context.session.get_one(Pipeline, schedule.object_id)
    return context.session.get_one(Deployment, schedule.object_id)


def _version(context: Context, schedule: Schedule, id: str) -> Version | PipelineVersion:
    if schedule.object_type == "pipeline":
        return context.session.get_one(PipelineVersion, id)
    return context.session.get_one(Version, id)


def _version_name(context: Context, schedule: Schedule) -> str | None:
    if schedule.version_id is None:
        return None
    return _version(context, schedule, schedule.version_id).name


# Finding and checking


def _find(context: Context, project_name: str, name: str) -> Schedule:
    project = find_project(context, project_name)
    where = f" in the project '{project_name}'"
    return find(context, Schedule, f"The request schedule '{name}'", where, project_id=project.id, name=name)


def _name(context: Context, project: Project, name: str) -> str:
    where = f" in the project '{project.name}'"
    return check_name(free_name(context, Schedule, "request schedule", name, where, project_id=project.id), "schedule")


def _check_crontab(text: str) -> str:
    fields = text.split()
    # croniter accepts more than crontabs: seconds, names, @daily, random choices.
    if len(fields) != 5 or not all(re.fullmatch(r"[0-9*,/-]+", field) for field in fields):
        raise invalid(
            f"schedule: '{text}' is not a crontab; it must have five fields (minute, hour, day of the month, month, "
            "day of the week) of numbers, *, ranges, lists and steps"
        )
    if re.search(r"(?<![/0-9])0*([7-9]|[1-9][0-9]+)", fields[4]):
        raise invalid(f"schedule: '{text}' has a day of the week that is not from 0 (Sunday) to 6")
    try:
        croniter(text, datetime.now(timezone.utc)).get_next()
    except ValueError as error:
        raise invalid(f"schedule: '{text}' never occurs: {error}") from error
    return text


def _check_data(target: Target, data: Any) -> Any:
    kind, name = (dict, "a dictionary") if target.input_type == "structured" else (str, "a string")
    if data is not None and not isinstance(data, kind):
        raise invalid(f"request_data: the input of '{target.name}' is {target.input_type}, so it must be {name}")
    return data


def _check_timeout(timeout: int) -> int:
    if not _SHORTEST_TIMEOUT <= timeout <= _LONGEST_TIMEOUT:
        raise invalid(f"timeout: it must be from {_SHORTEST_TIMEOUT} to {_LONGEST_TIMEOUT} seconds, not {timeout}")
    return timeout


def _view(context: Context, schedule: Schedule) -> dict[str, Any]:
    view = {
        "id": schedule.id,
        "name": schedule.name,
        "object_type": schedule.object_type,
        "object_name": _target(context, schedule).name,
        "schedule": schedule.schedule,
        "request_data": schedule.request_data,
        "timeout": schedule.timeout,
        "enabled": schedule.enabled,
        "creation_date": schedule.creation_date,
        "description": schedule.description,
        "labels": schedule.labels,
    }
    version = _version_name(context, schedule)
    return view if version is None else {**view, "version": version}
