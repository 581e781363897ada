"""Measurements of what runs, summed up per minute as it ends, so that metrics outlive the requests."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func
from sqlalchemy.dialects.sqlite import Insert, insert

from ubiops.emulator.execution.running import RunningRequest
from ubiops.emulator.tables import Measurement

_TABLE: Any = Measurement.__table__
_KEY = {column.name for column in _TABLE.primary_key}
VALUES = [column.name for column in _TABLE.columns if column.name not in _KEY]
"""Columns that are measured."""


def _add_up() -> Insert:
    statement = insert(_TABLE)
    sums = {name: _TABLE.c[name] + statement.excluded[name] for name in VALUES}
    sums["memory_peak"] = func.max(_TABLE.c.memory_peak, statement.excluded.memory_peak)
    return statement.on_conflict_do_update(index_elements=sorted(_KEY), set_=sums)


_ADD = _add_up()
_ZERO = dict.fromkeys(VALUES, 0)


def add_measurement(
    connection: Connection,
    *,
    project_id: str,
    object_type: str,
    object_id: str,
    user: str,
    moment: str,
    **values: float,
) -> None:
    """Add values to those of a minute.

    Args:
        connection: The connection to write them with.
        project_id: Project that it ran in.
        object_type: ``deployment_version`` or ``pipeline_version``.
        object_id: Id of the version.
        user: Email address of the user that made the request.
        moment: When it ended.
        **values: Columns of `Measurement`; all are summed up except ``memory_peak``, of which the largest is kept.
    """
    key = {"project_id": project_id, "object_type": object_type, "object_id": object_id, "user": user}
    connection.execute(_ADD, {**key, "minute": moment[: len("2022-11-03T09:30")], **_ZERO, **values})


def measure_request(connection: Connection, request: RunningRequest, ended: dict[str, Any], memory_peak: int) -> None:
    """Add a deployment request that has ended to the measurements of its version.

    Args:
        connection: The connection to write them with.
        request: The request.
        ended: How it ended: ``status``, ``result`` and ``time_completed``.
        memory_peak: Peak memory of the instance in bytes.
    """
    kind = "express" if request.express else "batch"
    completed, result = ended["time_completed"], ended["result"]
    started = request.time_started or completed
    outputs = len(result) if isinstance(result, list) else 1
    add_measurement(
        connection,
        project_id=request.version.deployment.project_id,
        object_type="deployment_version",
        object_id=request.version.id,
        user=request.created_by,
        moment=completed,
        memory_peak=memory_peak,
        requests=1,
        failed_requests=int(ended["status"] == "failed"),
        input_volume=volume(request.data),
        output_volume=volume(result),
        outputs=outputs if ended["status"] == "completed" else 0,
        seconds=seconds_between(started, completed),
        **{f"{kind}_requests": 1, f"{kind}_wait": seconds_between(request.time_created, started)},
    )


def volume(data: Any) -> int:
    """Size of data as JSON in bytes; 0 for None."""
    return 0 if data is None else len(json.dumps(data))


def size_of(data: Any) -> int | None:
    """Size of data as a file in bytes, as JSON or the text itself; None if it is None."""
    if data is None:
        return None
    return len(data.encode(errors="replace") if isinstance(data, str) else json.dumps(data))


def seconds_between(start: str, end: str) -> float:
    """Seconds from one moment to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
