"""The settings of versions for the ports and the health check of their instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.tables import Version

LARGEST_PORT = 2**16 - 1

_SECONDS = 3600
_MOST_FAILURES = 1000


def check_ports(context: Context, data: Mapping[str, Any], version: Version | None = None) -> None:
    """Check the ports and the health check in a body.

    Args:
        context: Of the request.
        data: The body.
        version: The version to change; None for a new one.

    Raises:
        ApiError: 400: a value is out of bounds, or not supported by the emulator.
    """
    if data.get("ports"):
        others = select(Version).where(Version.id != (version.id if version is not None else ""))
        taken = {port["public_port"] for other in context.session.scalars(others) for port in other.ports}
        for port in data["ports"]:
            _check_port(port, taken)
            taken.add(port["public_port"])
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
    _check_path(check.get("path"))


def _check_port(port: Mapping[str, Any], taken: set[int]) -> None:
    if port["protocol"].lower() != "tcp":
        raise invalid(f"ports: the emulator opens ports for tcp only, not for {port['protocol']}")
    for name in ("public_port", "deployment_port"):
        if not 1 <= port[name] <= LARGEST_PORT:
            raise invalid(f"ports.{name}: it must be from 1 to {LARGEST_PORT}, not {port[name]}")
    if port["public_port"] in taken:
        raise invalid(f"ports: the public port {port['public_port']} is taken; choose another one")


def _check_path(path: str | None) -> None:
    if path is not None and not (path.startswith("/") and path.isascii() and path.isprintable() and " " not in path):
        raise invalid(f"health_check.path: it must be a path that begins with a slash, not '{path}'")
