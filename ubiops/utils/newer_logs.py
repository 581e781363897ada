"""Reads the log of newer services, by GET, in the form of the older ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ubiops.utils.answers import check_list

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.models import Logs

__all__ = ["newer_lines"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def newer_lines(api: CoreApi, project_name: str, query: Mapping[str, Any], timeout: float | None) -> list[Logs]:
    """Read lines like `projects_log_list`, from a service that has `logs_list` instead.

    Args:
        api: The operations to use.
        project_name: Name of the project.
        query: The query of `projects_log_list`: ``filters``, ``date`` or ``id``, ``date_range`` and ``limit``.
        timeout: Seconds for the call; None for the default.
    """
    # The ids are ours: the moment of a line, and a digest of the line.
    start = int(query["id"].partition("-")[0]) if "id" in query else _nanoseconds(datetime.fromisoformat(query["date"]))
    end = start + query["date_range"] * 10**9
    found = api.logs_list(
        project_name,
        query=_query(query["filters"]),
        start=str(start),
        end=str(end),
        limit=query["limit"],
        _request_timeout=timeout,
    )
    return [_line(line) for line in check_list("logs_list", found, "timestamp", "log", "metadata")]


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND * 1000


def _query(filters: Mapping[str, str]) -> str | None:
    """The filters in the query language of the log (LogQL): labels and their values, in backticks."""
    labels = " and ".join(f"{name} = `{value.replace('`', '')}`" for name, value in filters.items())
    return f"| {labels}" if labels else None


def _line(line: Any) -> Logs:
    from ubiops.models import Logs

    metadata = line.metadata.to_dict() if line.metadata is not None else {}
    digest = hashlib.sha256(f"{line.log}{sorted(metadata.items(), key=str)}".encode(errors="replace")).hexdigest()[:16]
    date = _EPOCH + line.timestamp // 1000 * _MICROSECOND
    fields = {name: value for name, value in metadata.items() if name in Logs.fields and value is not None}
    return Logs.from_dict({**fields, "id": f"{line.timestamp}-{digest}", "date": date.isoformat(), "log": line.log})
