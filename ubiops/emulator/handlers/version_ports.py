"""What versions say of the ports of their instances, and how these are asked whether they can serve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ubiops.emulator.errors import invalid

LARGEST_PORT = 2**16 - 1

_SECONDS = 3600
_MOST_FAILURES = 1000

UNUSED: dict[str, Any] = {"ports": [], "command": None, "args": None}
"""What versions have nowhere but at the service: ports to the outside, and what images run."""


def check_ports(data: Mapping[str, Any]) -> None:
    """Check what a body says of ports and of the health check.

    Raises:
        ApiError: 400: a value is out of bounds, or is none that the emulator can follow.
    """
    if data.get("ports"):
        raise invalid("ports: the emulator opens no ports to the outside; create a service for the deployment's port")
    for name in ("command", "args"):
        if data.get(name) is not None:
            raise invalid(f"{name}: only deployments that run an image have one, and the emulator runs no images")
    check = data.get("health_check") or {}
    bounds = {
        "interval": _SECONDS,
        "timeout": _SECONDS,
        "failure_threshold": _MOST_FAILURES,
        "port": LARGEST_PORT,
    }
    for name, most in bounds.items():
        if check.get(name) is not None and not 1 <= check[name] <= most:
            raise invalid(f"health_check.{name}: it must be from 1 to {most}, not {check[name]}")
    path = check.get("path")
    if path is not None and not (path.startswith("/") and path.isascii() and path.isprintable() and " " not in path):
        raise invalid(f"health_check.path: it must be a path that begins with a slash, not '{path}'")
