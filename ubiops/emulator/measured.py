"""What ran, as values over time: the only source of metrics, time series and usage."""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.orm import Session

from ubiops.emulator.dates import timestamp
from ubiops.emulator.errors import invalid
from ubiops.emulator.execution.measure import VALUES
from ubiops.emulator.instance_types import INSTANCE_TYPES
from ubiops.emulator.tables import InstanceRun, Measurement, Project

MOST_INTERVALS = 50_000
DEPLOYMENT, PIPELINE = "deployment_version", "pipeline_version"
"""What is measured."""

Interval = tuple[datetime, datetime]
Row = dict[str, float]
Part = tuple[float, float]
"""The seconds that an instance ran in an interval, and its credits per hour."""


# Intervals


def whole_intervals(start: datetime, end: datetime, interval: str) -> list[Interval]:
    """The whole minutes, hours, days or months that a range touches."""
    if interval not in STARTS:
        raise invalid(f"interval: it must be one of {', '.join(STARTS)}, not '{interval}'")
    return divide(STARTS[interval](start), end, interval)


def divide(start: datetime, end: datetime, interval: str) -> list[Interval]:
    """The intervals from a start up to the one that contains an end.

    Raises:
        ApiError: 400: the end isn't after the start, or there are too many.
    """
    if end <= start:
        raise invalid("end_date: it must come after start_date")
    bounds = [start]
    while bounds[-1] < end:
        if len(bounds) > MOST_INTERVALS:
            raise invalid(f"interval: there are more than {MOST_INTERVALS} between the dates; choose a longer one")
        bounds.append(after(start, interval, len(bounds)))
    return list(pairwise(bounds))


STARTS: dict[str, Callable[[datetime], datetime]] = {
    "minute": lambda moment: moment.replace(second=0, microsecond=0),
    "hour": lambda moment: moment.replace(minute=0, second=0, microsecond=0),
    "day": lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0),
    "month": lambda moment: moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0),
}


def after(start: datetime, interval: str, number: int) -> datetime:
    """The moment that is a number of intervals after a start."""
    if interval != "month":
        return start + timedelta(**{f"{interval}s": number})
    months = start.year * 12 + start.month - 1 + number
    year, month = divmod(months, 12)
    # A period that began on the 31st begins on the 30th in a month without a 31st.
    return start.replace(year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1]))


# Values


class Usage:
    """What ran in some projects, by interval."""

    def __init__(
        self,
        session: Session,
        projects: Sequence[Project],
        object_type: str,
        intervals: Sequence[Interval],
        object_id: str | None = None,
        user: str | None = None,
    ) -> None:
        self._ids = [project.id for project in projects]
        self._first, self._last = intervals[0][0], intervals[-1][1]
        self._starts = [start for start, _ in intervals]
        self._rows = self._add_up(self._measurements(session, object_type, object_id, user))
        self._parts: defaultdict[datetime, list[Part]] = defaultdict(list)
        if object_type == DEPLOYMENT:
            for run in self._instances(session, object_id):
                self._divide_up(run, intervals)

    def _measurements(
        self, session: Session, object_type: str, object_id: str | None, user: str | None
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
        return session.scalars(query).all()

    def _instances(self, session: Session, object_id: str | None) -> Iterable[InstanceRun]:
        query = select(InstanceRun).where(
            InstanceRun.project_id.in_(self._ids),
            InstanceRun.ended > timestamp(self._first),
            InstanceRun.started < timestamp(self._last),
        )
        if object_id is not None:
            query = query.where(InstanceRun.version_id == object_id)
        return session.scalars(query)

    def _divide_up(self, run: InstanceRun, intervals: Sequence[Interval]) -> None:
        started, ended = datetime.fromisoformat(run.started), datetime.fromisoformat(run.ended)
        rate = _credit_rate(run.instance_type)
        for start, end in intervals[self._index(started) :]:
            if start >= ended:
                return
            self._parts[start].append(((min(ended, end) - max(started, start)).total_seconds(), rate))

    def _index(self, moment: datetime) -> int:
        """The number of the interval that contains a moment; that of the first one for an earlier moment."""
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
        if metric in OF_INSTANCES:
            return OF_INSTANCES[metric](self._parts[period[0]], _seconds(period))
        row = self._rows.get(period[0])
        return 0 if row is None else _OF_REQUESTS[metric](row, _seconds(period))


_MINUTE_LENGTH = len("2022-11-03T09:30")


def _seconds(period: Interval) -> float:
    return (period[1] - period[0]).total_seconds()


def _credit_rate(instance_type: str) -> float:
    """Credits that an instance costs in an hour: one for each GiB of memory, ten for a GPU."""
    return float(INSTANCE_TYPES[instance_type]["credit_rate"])


def _ratio(value: float, number: float) -> float:
    return value / number if number else 0


def _sum(name: str) -> Callable[[Row, float], float]:
    return lambda row, _seconds: row[name]


def _average(value: str, number: str) -> Callable[[Row, float], float]:
    return lambda row, _seconds: _ratio(row[value], row[number])


def _queue(kind: str) -> dict[str, Callable[[Row, float], float]]:
    # The time that all requests waited, divided by the length of the interval, is how many waited on average.
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
    "queue_size": lambda row, seconds: (row["express_wait"] + row["batch_wait"]) / seconds,
    "queue_time": lambda row, _seconds: _ratio(
        row["express_wait"] + row["batch_wait"], row["express_requests"] + row["batch_requests"]
    ),
}
OF_INSTANCES: dict[str, Callable[[list[Part], float], float]] = {
    "instances": lambda parts, seconds: sum(lived for lived, _ in parts) / seconds,
    "credits": lambda parts, _seconds: sum(lived * rate for lived, rate in parts) / 3600,
    "active_time": lambda parts, _seconds: sum(lived for lived, _ in parts),
}
