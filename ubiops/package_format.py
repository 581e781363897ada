"""The format of a deployment package: its zip, and its files other than code.

Shared by the helpers, which check a package before it is uploaded, and the emulator, which builds it. It uses only the
standard library; pyyaml is imported to read a ``ubiops.yaml``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ubiops.deployment_package import PackageError

__all__ = [
    "FIELD_NAME",
    "MAXIMUM_UNPACKED_SIZE",
    "MAXIMUM_ZIP_SIZE",
    "REQUIREMENTS_FILE",
    "SETTINGS_FILE",
    "VARIABLE_NAME",
    "leads_out",
    "read_settings",
    "read_text",
    "read_variables",
    "requirement_lines",
]

MAXIMUM_ZIP_SIZE = 2 * 2**30
"""Largest zip, in bytes."""

MAXIMUM_UNPACKED_SIZE = 8 * 2**30
"""Largest unpacked package, in bytes: a zip of 2 GB with more than this is a zip bomb."""

FIELD_NAME = (r"[A-Za-z0-9_-]+", "letters, digits, underscores and dashes")
"""What the name of an input or output field may consist of: as a pattern, and in words."""

VARIABLE_NAME = (r"[A-Za-z0-9_]+", "letters, digits and underscores")
"""The same, of the name of an environment variable."""

REQUIREMENTS_FILE = "requirements.txt"
SETTINGS_FILE = "ubiops.yaml"

_VARIABLE = r"[A-Z_][A-Z0-9_]*"


def leads_out(name: str) -> bool:
    """Whether an entry of that name would be unpacked outside the directory that the zip is unpacked to."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark, as PowerShell writes files.

    Raises:
        UnicodeDecodeError: It is neither.
    """
    content = file.read_bytes()
    return content.decode("utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


def requirement_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a ``requirements.txt`` that contain something, each with its number.

    Continued lines are joined; comments are left out, and so are options after a requirement, such as ``--hash``.
    """
    number, joined = 1, ""
    for index, line in enumerate([*text.splitlines(), ""], 1):
        if not joined:
            number = index
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1] + " "
            continue
        stripped = re.sub(r"(^|\s)#.*|(?<=\S)\s+--[a-z].*", "", joined + line).strip()
        joined = ""
        if stripped:
            yield number, stripped


def read_variables(root: Path) -> dict[str, str]:
    """The environment variables that the ``ubiops.yaml`` of a package sets.

    Raises:
        PackageError: The file isn't valid.
        ImportError: The package has one, and pyyaml isn't installed.
    """
    variables, problems = read_settings(root / SETTINGS_FILE)
    if problems:
        raise PackageError(problems[0])
    return variables


def read_settings(file: Path) -> tuple[dict[str, str], list[str]]:
    """The environment variables that a ``ubiops.yaml`` sets, and everything that is wrong with it.

    Raises:
        ImportError: The package has one, and pyyaml isn't installed.
    """
    if not file.is_file():
        return {}, []
    import yaml

    try:
        settings: Any = yaml.safe_load(read_text(file)) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return {}, [f"{SETTINGS_FILE} can't be read: {error}"]
    lines = (settings.get("environment_variables") or []) if isinstance(settings, dict) else None
    if not isinstance(lines, list):
        return {}, [f"{SETTINGS_FILE} must be a dictionary in which environment_variables is a list of NAME=value"]
    variables, problems = {}, []
    for line in lines:
        name, equals, value = str(line).partition("=")
        if equals and re.fullmatch(_VARIABLE, name):
            variables[name] = value
        else:
            problems.append(
                f"{SETTINGS_FILE}: the environment variable '{line}' must be NAME=value, the name in upper case "
                "letters, digits and underscores"
            )
    apt = settings.get("apt")
    if apt is not None and not (isinstance(apt, dict) and isinstance(apt.get("packages"), list)):
        problems.append(f"{SETTINGS_FILE}: apt must be a dictionary with packages, a list of names")
    return variables, problems
