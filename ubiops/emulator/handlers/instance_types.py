"""Listing instance types, and choosing one."""

from __future__ import annotations

from typing import Any

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.resource import page
from ubiops.emulator.instance_types import INSTANCE_TYPES, title_of

_PAGED_SINCE = (4, 5)


def instance_types_list(
    context: Context, project_name: str, cursor: str | None = None, limit: int | None = None
) -> list[dict[str, Any]] | dict[str, Any]:
    find_project(context, project_name)
    if context.generation < _PAGED_SINCE:
        return list(INSTANCE_TYPES.values())
    return page([{**kind, "display_name": title_of(kind)} for kind in INSTANCE_TYPES.values()], cursor, limit)


def name_in(data: dict[str, Any]) -> str | None:
    """The name of the type that a body asks for, by name or, in the older form, by its memory; None if it doesn't.

    Raises:
        ApiError: 400: no instance type has that name.
    """
    name: str | None = data.get("instance_type")
    if name is None and "memory_allocation" in data:
        name = f"{data['memory_allocation']}mb"
    if name is not None and name not in INSTANCE_TYPES:
        raise invalid(f"instance_type: there is no '{name}'; choose one of {', '.join(INSTANCE_TYPES)}")
    return name
