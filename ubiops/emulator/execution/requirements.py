"""The requirements in the ``requirements.txt`` of a folder."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ubiops.deployment_package import PackageError
from ubiops.emulator.execution.instance import LogSink
from ubiops.emulator.interpreters import Interpreter
from ubiops.package_format import REQUIREMENTS_FILE, read_text, requirement_lines

CLIENT = "ubiops"
"""This package. The one of this name on the package index is another one, so it is never installed from there."""

CLIENT_NEEDS = ("certifi", "python-dateutil", "six", "urllib3")
"""The packages that this package needs at run time."""

_LIST_INSTALLED = """
import json
from importlib import metadata
found = {item.metadata["Name"]: item.version for item in metadata.distributions()}
print(json.dumps({name: version for name, version in found.items() if name}))
"""
_INCLUDING = re.compile(r"(-r|--requirement|-c|--constraint)[\s=]*(\S+)")
_ABOUT_THE_INDEX = re.compile(
    r"(-i|--index-url|--extra-index-url|--no-index|--pre|--prefer-binary|--no-binary|--only-binary|--trusted-host)\b"
)


async def check_installed(root: Path, interpreter: Interpreter, log: LogSink) -> None:
    """Check that the requirements of a folder are installed in an interpreter.

    Options, paths and links in its ``requirements.txt`` are skipped, since only pip understands them.

    Args:
        root: The folder.
        interpreter: The interpreter that is to run its code.
        log: Takes remarks for the build's log.

    Raises:
        PackageError: Something is missing.
    """
    if not (root / REQUIREMENTS_FILE).is_file():
        return
    missing = []
    version_of = await _versions(interpreter)
    for requirement in _read(root / REQUIREMENTS_FILE, interpreter):
        if canonicalize_name(requirement.name) == CLIENT:
            missing += [name for name in CLIENT_NEEDS if version_of(name) is None]
            continue
        version = version_of(requirement.name)
        if version is None:
            missing.append(requirement.name)
        elif not requirement.specifier.contains(version, prereleases=True):
            log("info", [f"requirements.txt asks for {requirement}, and {requirement.name} {version} is used"])
    if missing:
        where = "the environment of the emulator" if interpreter.is_running else interpreter.path
        raise PackageError(
            f"requirements.txt asks for {', '.join(missing)}, not installed here: install it into {where}, or start "
            "the emulator with --install-requirements"
        )


async def _versions(interpreter: Interpreter) -> Callable[[str], str | None]:
    """A function that returns the version of a package in an interpreter; None if it isn't installed there."""
    if interpreter.is_running:
        return _version
    process = await asyncio.create_subprocess_exec(
        *(interpreter.path, "-I", "-c", _LIST_INSTALLED),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    found = {canonicalize_name(name): version for name, version in json.loads(output or b"{}").items()}
    return lambda name: found.get(canonicalize_name(name))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _read(file: Path, interpreter: Interpreter) -> Iterator[Requirement]:
    """The requirements that apply to an interpreter."""
    python = {} if interpreter.is_running else {"python_version": interpreter.version}
    for _, line in requirement_lines(read_requirements(file)):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate(python):
            yield requirement


def read_requirements(file: Path) -> str:
    """Read a file of requirements.

    Raises:
        PackageError: It isn't text.
    """
    try:
        return read_text(file)
    except UnicodeDecodeError as error:
        raise PackageError(f"{file.name} can't be read: {error}") from error


def stands_alone(file: Path) -> bool:
    """Whether a file of requirements is self-contained: it names no other file or folder."""
    for _, line in requirement_lines(read_requirements(file)):
        try:
            if Requirement(line).url is not None:
                return False
        except InvalidRequirement:
            if not _ABOUT_THE_INDEX.match(line):
                return False
    return True


def without_version_of_client(root: Path, name: str = REQUIREMENTS_FILE) -> str:
    """Write a copy of a file of requirements, and of those that it names, that accepts any version of this package.

    Args:
        root: The folder that contains them.
        name: Path of the file in it.

    Returns:
        Path of the new file, in the same folder.
    """
    path = PurePosixPath(name)
    copy = str(path.with_name(f".any-{path.name}"))
    if not (root / copy).is_file():
        # Created before it is complete, for files that name each other.
        (root / copy).touch()
        lines = [_rewritten(root, path, line) for line in _joined_lines(read_requirements(root / name))]
        (root / copy).write_text("\n".join([*lines, ""]), encoding="utf-8")
    return copy


def asks_for_client(root: Path) -> bool:
    """Whether the files that `without_version_of_client` wrote require this package."""
    return any(CLIENT in file.read_text(encoding="utf-8").splitlines() for file in root.rglob(".any-*"))


def _joined_lines(text: str) -> Iterator[str]:
    """The logical lines: each line joined with those that continue it."""
    joined: list[str] = []
    for line in text.splitlines():
        joined.append(line)
        if not line.endswith("\\"):
            yield "\n".join(joined)
            joined = []
    if joined:
        yield "\n".join(joined)


def _rewritten(root: Path, file: PurePosixPath, line: str) -> str:
    if (found := _INCLUDING.match(line.strip())) is not None:
        option, name = found.groups()
        included = str(file.parent / name)
        if ":" not in name and _is_inside(root, included):
            # pip resolves it from the folder of the file that names it.
            return f"{option} {os.path.relpath(without_version_of_client(root, included), file.parent)}"
        return line
    name = re.match(r"\s*([A-Za-z0-9._-]+)", line)
    if name is None or canonicalize_name(name[1]) != CLIENT:
        return line
    return CLIENT


def _is_inside(root: Path, name: str) -> bool:
    path = (root / name).resolve()
    return path.is_relative_to(root.resolve()) and path.is_file()
