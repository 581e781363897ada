"""Ready-made deployments."""

from __future__ import annotations

from typing import Any

from ubiops.emulator.context import Context
from ubiops.emulator.templates.training import DETAILS, TEMPLATE_ID


def template_deployments_list(_context: Context) -> list[dict[str, Any]]:
    return [{"id": TEMPLATE_ID, "details": DETAILS}]
