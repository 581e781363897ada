"""Shared by requests to deployments and to pipelines: bounds, and the filters of their lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from starlette.responses import Response

from ubiops.emulator.dates import parse_moment
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.tables import DeploymentRequest, OperatorRequest, PipelineRequest

_SHORTEST_TIMEOUT = 10
DEFAULT_LIMIT = 50
_MOST_CANCELLED = 250
_STATUSES = ("pending", "processing", "failed", "completed", "cancelled", "cancelled_pending")


def check_timeout(name: str, timeout: int | None, default: int, longest: int) -> int:
    """A timeout in seconds, or the default."""
    if timeout is None:
        return default
    if not _SHORTEST_TIMEOUT <= timeout <= longest:
        raise invalid(f"{name}: it must be from {_SHORTEST_TIMEOUT} to {longest} seconds, not {timeout}")
    return timeout


def check_priority(priority: int | None) -> int:
    """A priority: 0 for high, 1 (the default) for standard."""
    if priority not in (None, 0, 1):
        raise invalid(f"priority: it must be 0 (high) or 1 (standard), not {priority}")
    return 1 if priority is None else priority


def check_size(items: Sequence[Any], most: int, kind: str) -> None:
    """Refuse a batch that is empty or too large."""
    if not 1 <= len(items) <= most:
        raise invalid(f"A batch must have from 1 to {most} {kind}, not {len(items)}")


def filtered(
    query: Select[Any],
    table: type[DeploymentRequest] | type[PipelineRequest],
    *,
    status: str | None,
    success: bool | None = None,
    limit: int | None,
    offset: int | None,
    sort: str | None = None,
    start_date: str | None,
    end_date: str | None,
    search_id: str | None,
    pipeline: bool | None = None,
) -> Select[Any]:
    """A query of requests with the filters, the order and the page of a list operation."""
    if status is not None:
        query = query.where(table.status == _one_of("status", status, _STATUSES))
    if success is not None:
        query = query.where(table.success == success)
    if start_date is not None:
        query = query.where(table.time_created >= parse_moment("start_date", start_date))
    if end_date is not None:
        query = query.where(table.time_created <= parse_moment("end_date", end_date))
    if search_id is not None:
        query = query.where(table.id.contains(search_id, autoescape=True))
    if pipeline is not None and table is DeploymentRequest:
        query = query.where(table.pipeline_request_id.is_not(None) == pipeline)
    ascending = _one_of("sort", sort or "desc", ("asc", "desc")) == "asc"
    order = table.number.asc() if ascending else table.number.desc()
    # The page is found in the index alone, so that skipped requests aren't read.
    page = query.with_only_columns(table.number, maintain_column_froms=True).order_by(order)
    page = page.limit(_not_negative("limit", limit, DEFAULT_LIMIT)).offset(_not_negative("offset", offset, 0))
    return select(table).where(table.number.in_(page)).order_by(order)


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise invalid(f"{name}: it must be one of {', '.join(allowed)}, not '{value}'")
    return value


def _not_negative(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 0:
        raise invalid(f"{name}: it must not be negative, as {value} is")
    return value


def check_cancelled(ids: Sequence[str], status: str | None) -> str | None:
    """Check what to cancel: some requests, or all with a status; returns that status."""
    if ids:
        check_size(ids, _MOST_CANCELLED, "ids")
        return None
    if status is None:
        raise invalid("Pass the ids of the requests, or an empty list and a status: pending or processing")
    return _one_of("status", status, ("pending", "processing"))


def content_of(request: DeploymentRequest | PipelineRequest | OperatorRequest, side: str) -> Response:
    """The input or the output of a request as a file: JSON, or text if it is plain.

    Raises:
        ApiError: 404: it is not stored, or not yet available.
    """
    data = request.data if side == "input" else request.result
    if data is None:
        raise not_found(f"The request '{request.id}' has no stored {side}")
    content = data if isinstance(data, str) else json.dumps(data)
    name = f"{request.id}_{side}.{'txt' if data is content else 'json'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content.encode(errors="replace"), media_type="application/octet-stream", headers=headers)
