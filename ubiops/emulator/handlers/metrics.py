"""Metrics: those of the system, whose values are derived from what ran, and custom ones of projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.dates import now, parse_date, timestamp
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.rules import check_description
from ubiops.emulator.measured import DEPLOYMENT, PIPELINE, Interval, Usage, whole_intervals
from ubiops.emulator.tables import Deployment, Metric, Pipeline, PipelineVersion, Project, User, Version

_OWN = "custom."
_TYPES = ("delta", "gauge")
_LONGEST_NAME, _LONGEST_UNIT, _MOST_LABELS = 64, 32, 20
_MADE = "2022-11-01T00:00:00.000+00:00"
_FIRST_OWN = 1000
"""Smaller numbers belong to metrics of the system."""


@dataclass(frozen=True)
class SystemMetric:
    """A metric of the system.

    Attributes:
        number: Its number.
        object_type: What it measures: ``deployment_version`` or ``pipeline_version``.
        value: Name of its values in `Usage`.
        metric_type: ``delta`` or ``gauge``.
        unit: Unit of its values.
        description: Its description.
    """

    number: int
    object_type: str
    value: str
    metric_type: str
    unit: str
    description: str

    @property
    def labels(self) -> list[str]:
        """The labels that its values may be filtered by."""
        return [f"{self.object_type}_id"]


_OF_ALL = (
    ("requests", "requests", "delta", "requests", "Number of requests"),
    ("failed_requests", "failed_requests", "delta", "requests", "Number of requests that failed"),
    ("request_duration", "request_duration", "gauge", "seconds", "Average duration of a request"),
    ("input_volume", "input_volume", "delta", "bytes", "Volume of the input of requests"),
    ("output_volume", "output_volume", "delta", "bytes", "Volume of the output of requests"),
)
_OF_DEPLOYMENTS = (
    *_OF_ALL,
    ("network_in", "input_volume", "delta", "bytes", "Data that requests brought to instances"),
    ("network_out", "output_volume", "delta", "bytes", "Data that requests took from instances"),
    ("queue_size", "queue_size", "gauge", "requests", "Average number of requests that wait"),
    ("queue_time", "queue_time", "gauge", "seconds", "Average time that a request waited"),
    ("memory_utilization", "memory_peak", "gauge", "bytes", "Most memory that an instance took"),
    ("instances", "instances", "gauge", "instances", "Average number of instances"),
    ("credits", "credits", "delta", "credits", "Credits that instances took"),
)
_OF_PIPELINES = (
    *_OF_ALL,
    ("object_requests", "object_requests", "delta", "requests", "Number of requests of their objects"),
    (
        *("object_failed_requests", "object_failed_requests", "delta", "requests"),
        "Number of requests of their objects that failed",
    ),
)

SYSTEM_METRICS = {
    f"{kind}s.{name}": SystemMetric(number, f"{kind}_version", *values)
    for number, (kind, (name, *values)) in enumerate(
        [*(("deployment", row) for row in _OF_DEPLOYMENTS), *(("pipeline", row) for row in _OF_PIPELINES)], start=1
    )
}
"""The metrics of the system, by name."""


def find_own(context: Context, project: Project, name: str) -> Metric:
    """A custom metric of a project.

    Raises:
        ApiError: 400: it is the system's; 404: it was not found.
    """
    if name in SYSTEM_METRICS:
        raise invalid(f"metric: '{name}' is one of the system's; only those of the project's own can be changed")
    found = context.session.scalar(select(Metric).filter_by(project_id=project.id, name=name))
    if found is None:
        raise not_found(f"The metric '{name}' was not found in the project '{project.name}'")
    return found


def metrics_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    if data["metric_type"] not in _TYPES:
        raise invalid(f"metric_type: it must be {' or '.join(_TYPES)}, not '{data['metric_type']}'")
    metric = Metric(
        project=project,
        name=_name(context, project, data["name"]),
        metric_type=data["metric_type"],
        description=check_description(data),
        unit=_check_unit(data.get("unit")),
        labels=_check_labels(data.get("labels")),
        creation_date=now(),
    )
    context.session.add(metric)
    context.session.flush()
    return _view(metric)


def metrics_list(context: Context, project_name: str, custom: bool | None) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    of_system = [_system_view(name) for name in SYSTEM_METRICS] if custom is not True else []
    if custom is False:
        return of_system
    own = context.session.scalars(select(Metric).filter_by(project_id=project.id).order_by(Metric.number))
    return [*of_system, *map(_view, own)]


def metrics_update(context: Context, project_name: str, metric: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    found = find_own(context, project, metric)
    if data.get("name", metric) != metric:
        found.name = _name(context, project, data["name"])
    if "description" in data:
        found.description = check_description(data)
    if "unit" in data:
        found.unit = _check_unit(data["unit"])
    if "labels" in data:
        found.labels = _check_labels(data["labels"])
    found.last_updated = now()
    return _view(found)


def metrics_delete(context: Context, project_name: str, metric: str) -> None:
    context.session.delete(find_own(context, find_project(context, project_name), metric))


def metrics_get(
    context: Context,
    project_name: str,
    metric: str,
    start_date: str | None,
    end_date: str | None,
    object_type: str | None,
    interval: str | None,
    object_id: str | None,
    user_id: str | None,
) -> list[dict[str, Any]] | dict[str, Any]:
    project = find_project(context, project_name)
    if (start_date, end_date, object_type, interval, object_id, user_id) == (None,) * 6:
        # The newer clients ask for the metric itself, not for its values.
        return _system_view(metric) if metric in SYSTEM_METRICS else _view(find_own(context, project, metric))
    if start_date is None or end_date is None or object_type is None:
        raise invalid("The query parameters 'start_date', 'end_date' and 'object_type' are required")
    if object_type not in _OLDER:
        raise invalid(f"object_type: it must be one of {', '.join(_OLDER)}, not '{object_type}'")
    if metric not in _OLDER[object_type]:
        names = ", ".join(_OLDER[object_type])
        raise invalid(f"metric: there is no '{metric}' of a {object_type}; choose one of {names}")
    start, end = parse_date("start_date", start_date), parse_date("end_date", end_date)
    intervals = whole_intervals(start, end, interval or "hour")
    _check_object(context, project, object_type, object_id)
    context.engine.note_instances(context.session)
    usage = Usage(context.session, [project], object_type, intervals, object_id, _email(context, user_id))
    return [value_view(period, usage.value(metric, period)) for period in intervals]


_OLDER = {
    DEPLOYMENT: [
        *("requests", "failed_requests", "input_volume", "output_volume", "outputs", "compute", "memory_peak"),
        *("instances", "credits", "active_time"),
        *("express_queue_size", "batch_queue_size", "express_queue_time", "batch_queue_time"),
    ],
    PIPELINE: [
        *("requests", "failed_requests", "request_duration", "input_volume"),
        *("object_requests", "object_failed_requests"),
    ],
}
"""The metrics that the older clients know."""


def _check_object(context: Context, project: Project, object_type: str, object_id: str | None) -> None:
    if object_id is None:
        return
    if object_type == DEPLOYMENT:
        query = select(Version.id).join(Version.deployment).where(Deployment.project_id == project.id)
        found = context.session.scalar(query.where(Version.id == object_id))
    else:
        query = select(PipelineVersion.id).join(PipelineVersion.pipeline).where(Pipeline.project_id == project.id)
        found = context.session.scalar(query.where(PipelineVersion.id == object_id))
    if found is None:
        raise not_found(f"The {object_type} '{object_id}' was not found in the project '{project.name}'")


def _email(context: Context, user_id: str | None) -> str | None:
    if user_id is None:
        return None
    email: str | None = context.session.scalar(select(User.email).where(User.id == user_id))
    if email is None:
        raise not_found(f"The user '{user_id}' was not found")
    return email


# Checks


def _name(context: Context, project: Project, name: str) -> str:
    if not name.startswith(_OWN) or name == _OWN or len(name) > _LONGEST_NAME:
        raise invalid(f"name: '{name[:_LONGEST_NAME]}' must be '{_OWN}' and more, of up to {_LONGEST_NAME} characters")
    where = f" in the project '{project.name}'"
    if context.session.scalar(select(Metric).filter_by(project_id=project.id, name=name)) is not None:
        raise invalid(f"name: a metric named '{name}' exists already{where}; choose another name")
    return name


def _check_unit(unit: str | None) -> str:
    if len(unit or "") > _LONGEST_UNIT:
        raise invalid(f"unit: it must have at most {_LONGEST_UNIT} characters, not {len(unit or '')}")
    return unit or ""


def _check_labels(labels: list[str] | None) -> list[str]:
    """The names of labels, which must be usable in filters `key:value,...`."""
    labels = list(dict.fromkeys(labels or []))
    if len(labels) > _MOST_LABELS:
        raise invalid(f"labels: it must have at most {_MOST_LABELS} labels, not {len(labels)}")
    for label in labels:
        if not label or len(label) > _LONGEST_NAME or {":", ","} & set(label):
            raise invalid(
                f"labels: '{label[:_LONGEST_NAME]}' is not a label name: it must not be empty or contain ':' or ','"
            )
    return labels


# Views


def value_view(period: Interval, value: float) -> dict[str, Any]:
    """A value over a period."""
    return {"start_date": timestamp(period[0]), "end_date": timestamp(period[1]), "value": value}


def _view(metric: Metric) -> dict[str, Any]:
    return {
        "id": _FIRST_OWN + metric.number,
        "name": metric.name,
        "description": metric.description,
        "creation_date": metric.creation_date,
        "last_updated": metric.last_updated,
        "custom": True,
        "metric_type": metric.metric_type,
        "unit": metric.unit,
        "labels": metric.labels,
    }


def _system_view(name: str) -> dict[str, Any]:
    metric = SYSTEM_METRICS[name]
    return {
        "id": metric.number,
        "name": name,
        "description": metric.description,
        "creation_date": _MADE,
        "last_updated": _MADE,
        "custom": False,
        "metric_type": metric.metric_type,
        "unit": metric.unit,
        "labels": metric.labels,
    }
