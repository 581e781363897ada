"""Limits of what a project may hold: there are none here, where nothing is billed."""

from __future__ import annotations

from typing import Any

from ubiops.emulator.context import Context
from ubiops.emulator.errors import not_found
from ubiops.emulator.handlers.find import find_project

_RESOURCES = ("projects", "users", "deployments", "deployment_versions", "pipelines", "pipeline_versions", "gpus")


def quotas_list(context: Context, project_name: str) -> list[dict[str, Any]]:
    find_project(context, project_name)
    return [{"resource": name, "quota": None} for name in _RESOURCES]


VOUCHERS = {"emulator": "A subscription of the emulator, which bills nothing"}
"""What vouchers are worth, by their codes."""


def vouchers_get(_context: Context, code: str) -> dict[str, Any]:
    if code not in VOUCHERS:
        raise not_found(f"The voucher '{code}' was not found; there is {', '.join(VOUCHERS)}")
    return {"description": VOUCHERS[code]}
