"""Metrics, and what of them is billed: computed from what ran."""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select

from ubiops.emulator.context import Context
from ubiops.emulator.dates import parse_date, timestamp
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.execution.measure import VALUES
from ubiops.emulator.handlers.find import find_organization, find_project
from ubiops.emulator.handlers.instance_types import INSTANCE_TYPES
from ubiops.emulator.tables import (
    Bucket,
    Deployment,
    InstanceRun,
    Measurement,
    Organization,
    OrganizationUser,
    Pipeline,
    PipelineVersion,
    Project,
    User,
    Version,
)

_MOST_INTERVALS = 50_000
_DEPLOYMENT, _PIPELINE = "deployment_version", "pipeline_version"

Interval = tuple[datetime, datetime]
Row = dict[str, float]
Part = tuple[float, float]
"""The seconds that an instance lived in an interval, and its credits per hour."""


# Metrics


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
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    if (start_date, end_date, object_type, interval, object_id, user_id) == (None,) * 6:
        # What the newer clients ask for: a metric itself, not its values.
        raise not_found(f"The metric '{metric}' was not found: the emulator keeps no metrics of a project's own")
    if start_date is None or end_date is None or object_type is None:
        raise invalid("The query parameters 'start_date', 'end_date' and 'object_type' are required")
    if object_type not in _METRICS:
        raise invalid(f"object_type: it must be one of {', '.join(_METRICS)}, not '{object_type}'")
    if metric not in _METRICS[object_type]:
        names = ", ".join(_METRICS[object_type])
        raise invalid(f"metric: there is no '{metric}' of a {object_type}; choose one of {names}")
    intervals = _intervals(parse_date("start_date", start_date), parse_date("end_date", end_date), interval or "hour")
    _check_object(context, project, object_type, object_id)
    context.engine.note_instances(context.session)
    usage = _Usage(context, [project], object_type, intervals, object_id, _email(context, user_id))
    return [_metric(period, usage.value(metric, period)) for period in intervals]


def _check_object(context: Context, project: Project, object_type: str, object_id: str | None) -> None:
    if object_id is None:
        return
    if object_type == _DEPLOYMENT:
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


def _metric(period: Interval, value: float) -> dict[str, Any]:
    return {"start_date": timestamp(period[0]), "end_date": timestamp(period[1]), "value": value}


# Intervals


def _intervals(start: datetime, end: datetime, interval: str) -> list[Interval]:
    """The whole minutes, hours, days or months that a range touches."""
    if interval not in _STARTS:
        raise invalid(f"interval: it must be one of {', '.join(_STARTS)}, not '{interval}'")
    return _divide(_STARTS[interval](start), end, interval)


def _divide(start: datetime, end: datetime, interval: str) -> list[Interval]:
    if end <= start:
        raise invalid("end_date: it must come after start_date")
    bounds = [start]
    while bounds[-1] < end:
        if len(bounds) > _MOST_INTERVALS:
            raise invalid(f"interval: there are more than {_MOST_INTERVALS} between the dates; choose a longer one")
        bounds.append(_after(start, interval, len(bounds)))
    return list(pairwise(bounds))


_STARTS: dict[str, Callable[[datetime], datetime]] = {
    "minute": lambda moment: moment.replace(second=0, microsecond=0),
    "hour": lambda moment: moment.replace(minute=0, second=0, microsecond=0),
    "day": lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0),
    "month": lambda moment: moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
}


def _after(start: datetime, interval: str, number: int) -> datetime:
    if interval != "month":
        return start + timedelta(**{f"{interval}s": number})
    months = start.year * 12 + start.month - 1 + number
    year, month = divmod(months, 12)
    # A period that began on the 31st begins on the 30th where there is no 31st.
    return start.replace(year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1]))


# Values


class _Usage:
    """What ran in some projects between the first and the last of some intervals, by the interval."""

    def __init__(
        self,
        context: Context,
        projects: Sequence[Project],
        object_type: str,
        intervals: Sequence[Interval],
        object_id: str | None = None,
        user: str | None = None,
    ) -> None:
        self._ids = [project.id for project in projects]
        self._first, self._last = intervals[0][0], intervals[-1][1]
        self._starts = [start for start, _ in intervals]
        self._rows = self._add_up(self._measurements(context, object_type, object_id, user))
        self._parts: defaultdict[datetime, list[Part]] = defaultdict(list)
        if object_type == _DEPLOYMENT:
            for run in self._instances(context, object_id):
                self._divide_up(run, intervals)

    def _measurements(
        self, context: Context, object_type: str, object_id: str | None, user: str | None
    ) -> Sequence[Measurement]:
        query = select(Measurement).where(
            Measurement.project_id.in_(self._ids),
            Measurement.object_type == object_type,
            Measurement.minute >= timestamp(self._first)[:_MINUTE_LENGTH],
            Measurement.minute < timestamp(self._last)[:_MINUTE_LENGTH],
        )
        if object_id is not None:
            query = query.where(Measurement.object_id == object_id)
        if user is not None:
            query = query.where(Measurement.user == user)
        return context.session.scalars(query).all()

    def _instances(self, context: Context, object_id: str | None) -> Iterable[InstanceRun]:
        query = select(InstanceRun).where(
            InstanceRun.project_id.in_(self._ids),
            InstanceRun.ended > timestamp(self._first),
            InstanceRun.started < timestamp(self._last),
        )
        if object_id is not None:
            query = query.where(InstanceRun.version_id == object_id)
        return context.session.scalars(query)

    def _divide_up(self, run: InstanceRun, intervals: Sequence[Interval]) -> None:
        started, ended = datetime.fromisoformat(run.started), datetime.fromisoformat(run.ended)
        rate = _credit_rate(run.instance_type)
        for start, end in intervals[self._index(started) :]:
            if start >= ended:
                return
            self._parts[start].append(((min(ended, end) - max(started, start)).total_seconds(), rate))

    def _index(self, moment: datetime) -> int:
        """Which interval a moment is in; the first for one that is before."""
        return max(bisect_right(self._starts, moment) - 1, 0)

    def _add_up(self, measurements: Sequence[Measurement]) -> dict[datetime, Row]:
        rows: dict[datetime, Row] = {}
        for measurement in measurements:
            moment = datetime.fromisoformat(measurement.minute).replace(tzinfo=timezone.utc)
            row = rows.setdefault(self._starts[self._index(moment)], dict.fromkeys(VALUES, 0.0))
            for name in VALUES:
                value = getattr(measurement, name)
                row[name] = max(row[name], value) if name == "memory_peak" else row[name] + value
        return rows

    def value(self, metric: str, period: Interval) -> float:
        """The value of a metric in an interval."""
        if metric in _OF_INSTANCES:
            return _OF_INSTANCES[metric](self._parts[period[0]], _seconds(period))
        row = self._rows.get(period[0])
        return 0 if row is None else _OF_REQUESTS[metric](row, _seconds(period))


_MINUTE_LENGTH = len("2022-11-03T09:30")


def _seconds(period: Interval) -> float:
    return (period[1] - period[0]).total_seconds()


def _credit_rate(instance_type: str) -> float:
    """Credits that an instance takes in an hour: one for each GiB of memory, ten for a GPU."""
    return float(INSTANCE_TYPES[instance_type]["credit_rate"])


def _ratio(value: float, number: float) -> float:
    return value / number if number else 0


def _sum(name: str) -> Callable[[Row, float], float]:
    return lambda row, _seconds: row[name]


def _average(value: str, number: str) -> Callable[[Row, float], float]:
    return lambda row, _seconds: _ratio(row[value], row[number])


def _queue(kind: str) -> dict[str, Callable[[Row, float], float]]:
    # The time that all have waited, over the time that went by, is how many waited on average.
    return {
        f"{kind}_queue_size": lambda row, seconds: row[f"{kind}_wait"] / seconds,
        f"{kind}_queue_time": _average(f"{kind}_wait", f"{kind}_requests"),
    }


_OF_REQUESTS: dict[str, Callable[[Row, float], float]] = {
    **{name: _sum(name) for name in ("requests", "failed_requests", "input_volume", "output_volume", "outputs")},
    **{name: _sum(name) for name in ("memory_peak", "object_requests", "object_failed_requests")},
    "compute": _average("seconds", "requests"),
    "request_duration": _average("seconds", "requests"),
    **_queue("express"),
    **_queue("batch"),
}
_OF_INSTANCES: dict[str, Callable[[list[Part], float], float]] = {
    "instances": lambda parts, seconds: sum(lived for lived, _ in parts) / seconds,
    "credits": lambda parts, _seconds: sum(lived * rate for lived, rate in parts) / 3600,
    "active_time": lambda parts, _seconds: sum(lived for lived, _ in parts),
}
_METRICS = {
    _DEPLOYMENT: [
        *("requests", "failed_requests", "input_volume", "output_volume", "outputs", "compute", "memory_peak"),
        *("instances", "credits", "active_time"),
        *("express_queue_size", "batch_queue_size", "express_queue_time", "batch_queue_time"),
    ],
    _PIPELINE: [
        *("requests", "failed_requests", "request_duration", "input_volume"),
        *("object_requests", "object_failed_requests"),
    ],
}


# Usage


def projects_usage_get(
    context: Context, project_name: str, start_date: str | None, end_date: str | None, interval: str | None
) -> list[dict[str, Any]] | dict[str, Any]:
    project = find_project(context, project_name)
    intervals = _billed_intervals(project.organization, start_date, end_date, interval)
    context.engine.note_instances(context.session)
    if context.generation < _CREDITS_SINCE:
        return _usage(context, [project], intervals)
    query = select(Version).join(Version.deployment).where(Deployment.project_id == project.id)
    versions = list(context.session.scalars(query.order_by(Deployment.name, Version.name)))
    credits = {version.id: _credits(context, [project], intervals, version.id) for version in versions}
    whole = _credits(context, [project], intervals)
    return {
        "interval": interval or "month",
        "data_project": _points(intervals, whole),
        "data_deployments": [
            {
                "deployment_id": version.deployment_id,
                "deployment_name": version.deployment.name,
                "version_id": version.id,
                "version": version.name,
                "data": _points(intervals, credits[version.id]),
            }
            for version in versions
        ],
        "data_deleted_deployments": _points(intervals, _rest(whole, credits.values())),
    }


def organizations_usage_get(
    context: Context, organization_name: str, start_date: str | None, end_date: str | None, interval: str | None
) -> list[dict[str, Any]] | dict[str, Any]:
    organization = find_organization(context, organization_name)
    query = select(Project).filter_by(organization_id=organization.id).order_by(Project.name)
    projects = context.session.scalars(query).all()
    intervals = _billed_intervals(organization, start_date, end_date, interval)
    context.engine.note_instances(context.session)
    if context.generation < _CREDITS_SINCE:
        return _usage(context, projects, intervals)
    credits = {project.id: _credits(context, [project], intervals) for project in projects}
    return {
        "interval": interval or "month",
        "data_organization": _points(intervals, _credits(context, projects, intervals)),
        "data_projects": [
            {"project_id": project.id, "project_name": project.name, "data": _points(intervals, credits[project.id])}
            for project in projects
        ],
        # What a deleted project used goes with it here.
        "data_deleted_projects": _points(intervals, [0.0] * len(intervals)),
    }


_CREDITS_SINCE = (4, 2)
"""The generation since which usage is of credits alone, by what used them."""


def _credits(
    context: Context, projects: Sequence[Project], intervals: Sequence[Interval], version_id: str | None = None
) -> list[float]:
    usage = _Usage(context, projects, _DEPLOYMENT, intervals, version_id)
    return [usage.value("credits", period) for period in intervals]


def _rest(whole: Sequence[float], parts: Iterable[Sequence[float]]) -> list[float]:
    """What is left of the whole; the parts are added up in another order, so a little is nothing."""
    sums = [sum(values) for values in zip(*parts, strict=True)] or [0.0] * len(whole)
    return [total - part if total - part > 1e-9 else 0.0 for total, part in zip(whole, sums, strict=True)]


def _points(intervals: Sequence[Interval], values: Sequence[float]) -> list[dict[str, Any]]:
    return [_metric(period, value) for period, value in zip(intervals, values, strict=True)]


_BILLED = (
    (_DEPLOYMENT, "credits"),
    (_DEPLOYMENT, "input_volume"),
    (_DEPLOYMENT, "output_volume"),
    (_PIPELINE, "input_volume"),
    (_PIPELINE, "output_volume"),
)


def _usage(context: Context, projects: Sequence[Project], intervals: Sequence[Interval]) -> list[dict[str, Any]]:
    usages = {kind: _Usage(context, projects, kind, intervals) for kind in _METRICS}
    return [
        {
            "object_type": kind,
            "metric": metric,
            "usage": [_metric(period, usages[kind].value(metric, period)) for period in intervals],
        }
        for kind, metric in _BILLED
    ]


def _billed_intervals(
    organization: Organization, start_date: str | None, end_date: str | None, interval: str | None
) -> list[Interval]:
    if interval not in (None, "day", "month"):
        raise invalid(f"interval: it must be day or month, not '{interval}'")
    start, end = _period(organization, start_date, end_date)
    return [(first, min(last, end)) for first, last in _divide(start, end, interval or "month")]


def _period(organization: Organization, start_date: str | None, end_date: str | None) -> Interval:
    """The period between the dates; the month before or after the one that is given; or that of the subscription."""
    if start_date is not None:
        start = parse_date("start_date", start_date)
        return start, parse_date("end_date", end_date) if end_date is not None else _after(start, "month", 1)
    if end_date is not None:
        end = parse_date("end_date", end_date)
        return _after(end, "month", -1), end
    first = _STARTS["day"](datetime.fromisoformat(organization.creation_date))
    present = datetime.now(timezone.utc)
    number = (present.year - first.year) * 12 + present.month - first.month
    if _after(first, "month", number) > present:
        number -= 1
    return _after(first, "month", number), _after(first, "month", number + 1)


# How many resources there are


def projects_resource_usage(context: Context, project_name: str) -> dict[str, Any]:
    return _resources(context, [find_project(context, project_name).id])


def organizations_resource_usage(context: Context, organization_name: str) -> dict[str, Any]:
    organization = find_organization(context, organization_name)
    ids = context.session.scalars(select(Project.id).filter_by(organization_id=organization.id)).all()
    users = select(func.count()).select_from(OrganizationUser).filter_by(organization_id=organization.id)
    return {"projects": len(ids), "users": context.session.scalar(users), **_resources(context, ids)}


def _resources(context: Context, project_ids: Sequence[str]) -> dict[str, Any]:
    def count(query: Any) -> int:
        return context.session.scalar(select(func.count()).select_from(query.subquery())) or 0

    of_deployments = Deployment.project_id.in_(project_ids)
    of_pipelines = Pipeline.project_id.in_(project_ids)
    return {
        "deployments": count(select(Deployment.id).where(of_deployments)),
        "deployment_versions": count(select(Version.id).join(Version.deployment).where(of_deployments)),
        "pipelines": count(select(Pipeline.id).where(of_pipelines)),
        "pipeline_versions": count(select(PipelineVersion.id).join(PipelineVersion.pipeline).where(of_pipelines)),
        "gpus": _gpus(context, project_ids),
        "buckets": count(select(Bucket.id).where(Bucket.project_id.in_(project_ids))),
        "environments": 0,
    }


def _gpus(context: Context, project_ids: Sequence[str]) -> int:
    query = select(InstanceRun.instance_type).where(
        InstanceRun.project_id.in_(project_ids), InstanceRun.id.in_(context.engine.running)
    )
    return sum(INSTANCE_TYPES[name]["gpu_allocation"] for name in context.session.scalars(query))
