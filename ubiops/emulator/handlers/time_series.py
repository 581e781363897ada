"""Time series: the values of metrics per minute, and over longer periods."""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import islice, pairwise
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from ubiops.emulator.context import Context
from ubiops.emulator.dates import parse_date, timestamp
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.metrics import SYSTEM_METRICS, SystemMetric, find_own, value_view
from ubiops.emulator.handlers.rules import parse_labels
from ubiops.emulator.measured import DEPLOYMENT, MOST_INTERVALS, OF_INSTANCES, Interval, Usage
from ubiops.emulator.tables import InstanceRun, Measurement, Metric, Point, Project, Series

_PERIODS = (60, 300, 900, 3600, 7200, 21600, 86400)
_FEW = 1500
"""Maximum number of periods if the caller doesn't choose one: enough for the minutes of a day."""

_MINUTE = len("2022-11-03T09:30")
_OLDEST = timedelta(minutes=2)
_AHEAD = timedelta(minutes=1)
"""How far a caller's clock may be ahead."""

_MOST_POINTS = 10_000
_LONGEST_LABEL = 256
_LARGEST_VALUE = 1e100
"""Small enough for sums to remain valid numbers in JSON."""

_DEFAULT_LIMIT = 500
_RESOLUTION = 60
_FIRST_OF_SYSTEM = 2**40
"""Smaller numbers belong to the series of custom metrics."""

_POINTS: Any = Point.__table__


# Values


def time_series_data_list(
    context: Context,
    project_name: str,
    metric: str | None,
    start_date: str | None,
    end_date: str | None,
    aggregation_period: int | None,
    unit_period: int | None,
    labels: str | None,
) -> dict[str, Any]:
    project = find_project(context, project_name)
    if metric is None or start_date is None or end_date is None:
        raise invalid("The query parameters 'metric', 'start_date' and 'end_date' are required")
    start, end = parse_date("start_date", start_date), parse_date("end_date", end_date)
    period = _check_period(start, end, aggregation_period)
    intervals = _whole_periods(start, end, period)
    system = SYSTEM_METRICS.get(metric)
    found = system or _find_readable(context, project, metric)
    wanted = _check_filter(labels, found.labels)
    if unit_period is not None and unit_period < 1:
        raise invalid(f"unit_period: it must be 1 or more seconds, not {unit_period}")
    if system is not None:
        context.engine.note_instances(context.session)
        usage = Usage(context.session, [project], system.object_type, intervals, wanted.get(system.labels[0]))
        values = [usage.value(system.value, interval) for interval in intervals]
    else:
        assert isinstance(found, Metric)
        values = _own_values(context, found, wanted, intervals)
    # Only values that are added up have a rate.
    factor = unit_period / period if unit_period is not None and found.metric_type == "delta" else 1
    return {
        "metric": metric,
        "metric_type": found.metric_type,
        "unit": found.unit or None,
        "start_date": timestamp(intervals[0][0]),
        "end_date": timestamp(intervals[-1][1]),
        "aggregation_period": period,
        "labels": wanted,
        "data_points": [
            value_view(interval, float(value * factor)) for interval, value in zip(intervals, values, strict=True)
        ],
    }


def _find_readable(context: Context, project: Project, name: str) -> Metric:
    found = context.session.scalar(select(Metric).filter_by(project_id=project.id, name=name))
    if found is None:
        raise invalid(f"metric: there is no '{name}' in the project '{project.name}'; see metrics_list")
    return found


def _check_period(start: datetime, end: datetime, period: int | None) -> int:
    if end <= start:
        raise invalid("end_date: it must come after start_date")
    seconds = (end - start).total_seconds()
    if period is None:
        period = next((period for period in _PERIODS if seconds / period <= _FEW), _PERIODS[-1])
    if period not in _PERIODS:
        raise invalid(f"aggregation_period: it must be one of {', '.join(map(str, _PERIODS))}, not {period}")
    if seconds / period > MOST_INTERVALS:
        raise invalid(
            f"aggregation_period: there are more than {MOST_INTERVALS} between the dates; choose a longer one"
        )
    return period


def _whole_periods(start: datetime, end: datetime, period: int) -> list[Interval]:
    """The periods that a range touches; they are aligned with the days in UTC."""
    first = int(start.timestamp()) // period * period
    last = -(-end.timestamp() // period) * period
    bounds = range(first, int(last) + period, period)
    return list(pairwise(datetime.fromtimestamp(bound, timezone.utc) for bound in bounds))


def _check_filter(text: str | None, known: Sequence[str]) -> dict[str, str]:
    """The pairs of a filter by labels."""
    wanted = dict(parse_labels(text))
    for name in wanted:
        if name not in known:
            raise invalid(f"labels: the metric has no label '{name}'; it has {', '.join(known) or 'none'}")
    return wanted


def _own_values(
    context: Context, metric: Metric, wanted: Mapping[str, str], intervals: Sequence[Interval]
) -> list[float]:
    """The sums of a delta, or the averages of a gauge, over the matching series and the minutes of each period."""
    numbers = [series.number for series, labels in _own_series(context, metric) if wanted.items() <= labels.items()]
    starts = [_minute(start) for start, _ in intervals]
    query = select(Point.minute, Point.value).where(
        Point.series_number.in_(numbers), Point.minute >= starts[0], Point.minute < _minute(intervals[-1][1])
    )
    values: defaultdict[int, list[float]] = defaultdict(list)
    for minute, value in context.session.execute(query):
        values[bisect_right(starts, minute) - 1].append(value)
    sums = [sum(values[index]) for index in range(len(intervals))]
    if metric.metric_type == "delta":
        return sums
    return [total / max(len(values[index]), 1) for index, total in enumerate(sums)]


def _minute(moment: datetime) -> str:
    return timestamp(moment)[:_MINUTE]


def _own_series(context: Context, metric: Metric) -> Iterator[tuple[Series, dict[str, str]]]:
    query = select(Series).filter_by(metric_number=metric.number).order_by(Series.number)
    for series in context.session.scalars(query):
        yield series, dict(json.loads(series.labels))


# Writing


def time_series_data_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    metric, points = _check_points(context, project_name, data)
    # One value for each minute: a later one replaces an earlier one.
    _write(context, metric, data.get("labels") or {}, points, adds_up=False)
    return {}


def time_series_data_aggregate(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    metric, points = _check_points(context, project_name, data)
    present = datetime.now(timezone.utc)
    for moment, _ in points:
        if not present - _OLDEST <= moment <= present + _AHEAD:
            raise invalid(f"data: {timestamp(moment)} is not within the last two minutes; see time_series_data_create")
    _write(context, metric, data.get("labels") or {}, points, adds_up=metric.metric_type == "delta")
    return {}


def _check_points(
    context: Context, project_name: str, data: dict[str, Any]
) -> tuple[Metric, list[tuple[datetime, float]]]:
    metric = find_own(context, find_project(context, project_name), data["metric"])
    for name, value in (data.get("labels") or {}).items():
        if name not in metric.labels:
            raise invalid(f"labels: the metric has no label '{name}'; it has {', '.join(metric.labels) or 'none'}")
        if not value or len(value) > _LONGEST_LABEL or "," in value:
            raise invalid(f"labels: the value of '{name}' must have 1 to {_LONGEST_LABEL} characters, and no ','")
    if len(data["data"]) > _MOST_POINTS:
        raise invalid(f"data: it must have at most {_MOST_POINTS} values, not {len(data['data'])}")
    if any(abs(point["value"]) > _LARGEST_VALUE for point in data["data"]):
        raise invalid(f"data: a value must be from -{_LARGEST_VALUE:g} to {_LARGEST_VALUE:g}")
    points = [(parse_date("data.date", point["date"]), float(point["value"])) for point in data["data"]]
    return metric, sorted(points, key=lambda point: point[0])


def _write(
    context: Context,
    metric: Metric,
    labels: Mapping[str, str],
    points: Sequence[tuple[datetime, float]],
    *,
    adds_up: bool,
) -> None:
    if not points:
        return
    key = json.dumps(sorted(labels.items()))
    series = context.session.scalar(select(Series).filter_by(metric_number=metric.number, labels=key))
    if series is None:
        series = Series(metric=metric, labels=key)
        context.session.add(series)
        context.session.flush()
    statement = insert(_POINTS)
    value = _POINTS.c.value + statement.excluded.value if adds_up else statement.excluded.value
    statement = statement.on_conflict_do_update(index_elements=["series_number", "minute"], set_={"value": value})
    rows = [{"series_number": series.number, "minute": _minute(moment), "value": number} for moment, number in points]
    context.session.execute(statement, rows)


# Series


def time_series_search(
    context: Context,
    project_name: str,
    metric: str | None,
    labels: str | None,
    custom: bool | None,
    exact_match: bool | None,
    limit: int | None,
    offset: int | None,
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    wanted = dict(parse_labels(labels))
    most, skipped = _DEFAULT_LIMIT if limit is None else limit, offset or 0
    if not 1 <= most <= _DEFAULT_LIMIT or skipped < 0:
        raise invalid(f"limit: it must be from 1 to {_DEFAULT_LIMIT}, and offset 0 or more")
    found = (
        series
        for series in _all_series(context, project, custom)
        if metric in (None, series["metric"])
        and wanted.items() <= series["labels"].items()
        and not (exact_match and wanted != series["labels"])
    )
    return list(islice(found, skipped, skipped + most))


def time_series_delete(context: Context, project_name: str, time_series_id: str) -> None:
    project = find_project(context, project_name)
    number = int(time_series_id) if re.fullmatch("[0-9]{1,18}", time_series_id) else 0
    if number >= _FIRST_OF_SYSTEM and any(one["id"] == number for one in _all_series(context, project, custom=False)):
        raise invalid(
            "The time series is of one of the system's metrics; only those of the project's own can be deleted"
        )
    query = select(Series).join(Series.metric).where(Metric.project_id == project.id, Series.number == number)
    series = context.session.scalar(query)
    if series is None:
        raise not_found(f"The time series '{time_series_id}' was not found in the project '{project_name}'")
    context.session.delete(series)


def _all_series(context: Context, project: Project, custom: bool | None) -> Iterator[dict[str, Any]]:
    if custom is not True:
        for name, metric in SYSTEM_METRICS.items():
            for object_id in _measured_objects(context, project, metric):
                yield _series_view(_system_number(name, object_id), name, {metric.labels[0]: object_id})
    if custom is not False:
        query = select(Metric).filter_by(project_id=project.id).order_by(Metric.number)
        for own in context.session.scalars(query):
            for series, labels in _own_series(context, own):
                yield _series_view(series.number, own.name, labels)


def _measured_objects(context: Context, project: Project, metric: SystemMetric) -> list[str]:
    """The versions that a metric of the system has values for."""
    column: Any = Measurement.object_id
    query = select(column).filter_by(project_id=project.id, object_type=metric.object_type)
    if metric.object_type == DEPLOYMENT and metric.value in OF_INSTANCES:
        column = InstanceRun.version_id
        query = select(column).filter_by(project_id=project.id)
    return list(context.session.scalars(query.distinct().order_by(column)))


def _system_number(metric: str, object_id: str) -> int:
    return _FIRST_OF_SYSTEM + int.from_bytes(hashlib.sha256(f"{metric} {object_id}".encode()).digest()[:5], "big")


def _series_view(number: int, metric: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"id": number, "metric": metric, "labels": labels, "resolution": _RESOLUTION}
