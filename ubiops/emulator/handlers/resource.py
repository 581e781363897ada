"""What handlers do with every kind of resource: find it, name it, record what is done with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, TypeVar

from sqlalchemy import Select, bindparam, select

from ubiops.emulator.audit import record as record_event
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid, not_found, taken
from ubiops.emulator.quotas import check_quota
from ubiops.emulator.tables import (
    Base,
    Blob,
    Bucket,
    Deployment,
    Environment,
    InstanceTypeGroup,
    NotificationGroup,
    Pipeline,
    PipelineVersion,
    Project,
    Role,
    Schedule,
    Service,
    Transfer,
    Version,
    Webhook,
)

Table = TypeVar("Table", bound=Base)
R = TypeVar("R")

_PLACE = ("project_name", "deployment_name", "pipeline_name", "version", "environment_name", "tag_name")


def serves(find: Callable[..., Any], *operations: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Let one function serve several operations that differ in what their paths name.

    Args:
        find: Finds the resource by the names in the path; the function takes it in place of the names.
        *operations: The operations.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        @wraps(function)
        def handler(context: Context, **arguments: Any) -> R:
            place = {name: arguments.pop(name) for name in _PLACE if name in arguments}
            return function(context, find(context, **place), **arguments)

        handler.operations = operations  # type: ignore[attr-defined]
        return handler

    return decorate


def find(context: Context, table: type[Table], what: str, where: str = "", **columns: Any) -> Table:
    """The row with the given values.

    Raises:
        ApiError: 404: `what` was not found `where`.
    """
    found: Table | None = context.session.scalar(_rows(table, *columns), columns)
    if found is None:
        raise not_found(f"{what} was not found{where}")
    return found


@cache
def _rows(table: type[Base], *names: str) -> Select[Any]:
    """A query of the rows with given values, made once: each request finds what its path names, level by level."""
    return select(table).where(*(getattr(table, name).is_not_distinct_from(bindparam(name)) for name in names))


def free_name(context: Context, table: type[Table], kind: str, name: str, where: str = "", **columns: Any) -> str:
    """Check that a name is free among the rows with the given values, and return it.

    Raises:
        ApiError: 409: it is taken.
    """
    if context.session.scalar(_rows(table, "name", *columns).limit(1), {"name": name, **columns}) is not None:
        raise taken(kind, name, where)
    return name


_PAGE = 50
_LARGEST_PAGE = 500


def page(items: Sequence[Any], cursor: str | None, limit: int | None) -> dict[str, Any]:
    """A page of a list with cursors; a cursor says where its page begins.

    Raises:
        ApiError: 400: the limit is out of bounds, or the cursor isn't valid.
    """
    size = _PAGE if limit is None else limit
    if not 1 <= size <= _LARGEST_PAGE:
        raise invalid(f"limit: it must be from 1 to {_LARGEST_PAGE}, not {limit}")
    if cursor is not None and not re.fullmatch("[0-9]{1,9}", cursor):
        raise invalid(f"cursor: '{cursor}' is not a cursor that a page returned")
    start = int(cursor or 0)
    return {
        "next": str(start + size) if start + size < len(items) else None,
        "previous": str(max(start - size, 0)) if start else None,
        "results": list(items[start : start + size]),
    }


Recorded = (
    Project
    | Deployment
    | Version
    | Pipeline
    | PipelineVersion
    | Bucket
    | Environment
    | Blob
    | NotificationGroup
    | Role
    | Schedule
    | Service
    | Transfer
    | InstanceTypeGroup
    | Webhook
)


def record(context: Context, resource: Recorded, action: str, event: str) -> None:
    """Write an audit event about a resource; events about a version belong to its deployment or pipeline.

    Raises:
        ApiError: 400: it was created, and exceeds a quota.
    """
    created = resource if action == "create" else None
    if isinstance(resource, Version):
        resource = resource.deployment
    if isinstance(resource, PipelineVersion):
        resource = resource.pipeline
    project = resource if isinstance(resource, Project) else resource.project
    # Resources of the system, which have no project, aren't changed.
    assert project is not None
    if created is not None:
        check_quota(context.session, context.engine.quotas, project, created)
    kind = resource.kind if isinstance(resource, Transfer) else resource.__tablename__
    record_event(
        context,
        project,
        action,
        event,
        object_type=kind,
        object_name=resource.id if isinstance(resource, (Blob, Transfer)) else resource.name,
        deployment=resource if isinstance(resource, Deployment) else None,
        pipeline=resource if isinstance(resource, Pipeline) else None,
    )
