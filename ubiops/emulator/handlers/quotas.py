"""Quotas of projects, and vouchers."""

from __future__ import annotations

from typing import Any

from ubiops.emulator.context import Context
from ubiops.emulator.errors import not_found
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.quotas import LIMITED

_UNLIMITED = ("projects", "users", "gpus")


def quotas_list(context: Context, project_name: str) -> list[dict[str, Any]]:
    find_project(context, project_name)
    return [{"resource": name, "quota": context.engine.quotas.get(name)} for name in (*LIMITED, *_UNLIMITED)]


VOUCHERS = {"emulator": "A subscription of the emulator, which bills nothing"}
"""Descriptions of vouchers, by their codes."""


def vouchers_get(_context: Context, code: str) -> dict[str, Any]:
    if code not in VOUCHERS:
        raise not_found(f"The voucher '{code}' was not found; choose one of {', '.join(VOUCHERS)}")
    return {"description": VOUCHERS[code]}
