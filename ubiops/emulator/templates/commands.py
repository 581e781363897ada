"""Deployments without the request format: where the service runs an image, the emulator runs the image's command.

The command runs on this machine, in the environment of its version. A version must name a command.
"""

from __future__ import annotations

import json
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

from ubiops.emulator.errors import invalid
from ubiops.emulator.tables import Deployment, Version


def check_command(deployment: Deployment, data: dict[str, Any]) -> None:
    """Check the command in the body of a version.

    Raises:
        ApiError: 400: its deployment takes requests, or it isn't a list of strings.
    """
    for name in ("command", "args"):
        value = data.get(name)
        if value is None:
            continue
        if deployment.supports_request_format:
            raise invalid(f"{name}: only for deployments with supports_request_format false; leave it out")
        if not isinstance(value, list) or not all(isinstance(part, str) and "\0" not in part for part in value):
            raise invalid(f"{name}: it must be a list of strings")


def command_of(version: Version) -> list[str]:
    """The command of a version; empty if it names none, since the emulator can't read that of an image."""
    return [*version.command, *(version.args or [])] if version.command else []


def write_package(path: Path, command: list[str]) -> None:
    """Write a package that runs a command, as a zip."""
    code = resources.files(__package__).joinpath("command_template.py").read_text(encoding="utf-8")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("deployment_package/deployment.py", code)
        package.writestr("deployment_package/command.json", json.dumps(command))
