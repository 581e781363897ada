"""The status of the service."""

from __future__ import annotations

from typing import Any

from ubiops.emulator.context import Context


def service_status(_context: Context) -> dict[str, Any]:
    return {"status": "ok"}
