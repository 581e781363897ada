"""Checks whether pip would understand the ``requirements.txt`` of a deployment package."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from ubiops.package_format import read_text, requirement_lines
from ubiops.utils.exceptions import MissingExtra

__all__ = ["RequirementsFile"]

_REQUIREMENTS = ("-r", "--requirement")
_CONSTRAINTS = ("-c", "--constraint")
_EDITABLE = ("-e", "--editable")
_OPTIONS = frozenset(
    (
        *("-i", "--index-url", "--extra-index-url", "--no-index", "-f", "--find-links", "--no-binary", "--only-binary"),
        *("--prefer-binary", "--require-hashes", "--pre", "--trusted-host", "--use-feature"),
        *(*_REQUIREMENTS, *_CONSTRAINTS, *_EDITABLE),
    )
)
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")


class RequirementsFile:
    """A file of requirements, and those that it names with ``-r`` and ``-c``.

    Args:
        folder: The folder that paths in it are relative to.
        name: Path of the file below the folder.
        exists: Whether a file or folder exists at a path below the folder; by default, whether it is on disk.

    Attributes:
        requirements (list[str]): Its requirements, URLs and paths, without options (``-e`` included) and comments.
        problems (list[str]): Lines that pip wouldn't understand, as ``file:line: what is wrong``.

    Raises:
        MissingExtra: packaging isn't installed.
    """

    def __init__(self, folder: str, name: str, exists: Callable[[str], bool] | None = None) -> None:
        try:
            import packaging.requirements  # noqa: F401
        except ImportError:
            raise MissingExtra("packaging", f"Checking {name}") from None
        self.requirements: list[str] = []
        self.problems: list[str] = []
        self._folder = folder
        self._exists = exists or (lambda path: os.path.exists(os.path.join(folder, path)))
        self._read: set[str] = set()
        self._check(name, constraints=False)

    def _check(self, name: str, *, constraints: bool) -> None:
        self._read.add(name)
        try:
            text = read_text(Path(self._folder, name))
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(f"{name}: can't be read: {getattr(error, 'strerror', None) or error}")
            return
        for number, line in requirement_lines(text):
            problem = self._check_option(line, name) if line.startswith("-") else self._check_requirement(line)
            if problem:
                self.problems.append(f"{name}:{number}: {problem}")
            elif not line.startswith("-") and not constraints:
                self.requirements.append(line)

    def _check_option(self, line: str, name: str) -> str | None:
        found = re.match(r"(--[\w-]+|-\w)[\s=]*(.*)", line)
        option, value = found.groups() if found else (line, "")
        if option not in _OPTIONS:
            return f"pip has no option {option} for such a file"
        if option in _EDITABLE and not _is_url(value):
            return self._check_path(value)
        if option in (*_REQUIREMENTS, *_CONSTRAINTS) and not _is_url(value):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), value))
            if not value or not self._exists(path):
                return f"the file {value!r} doesn't exist"
            if path not in self._read:
                self._check(path, constraints=option in _CONSTRAINTS)
        return None

    def _check_requirement(self, line: str) -> str | None:
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            # pip replaces these by environment variables.
            Requirement(re.sub(r"\$\{[A-Z0-9_]+\}", "x", line))
        except InvalidRequirement as error:
            if _is_url(line):
                return None
            if "/" in line or line.startswith(".") or line.endswith(_ARCHIVES):
                return self._check_path(line)
            return f"{line!r} isn't a valid requirement: {str(error).splitlines()[0]}"
        return None

    def _check_path(self, text: str) -> str | None:
        # Extras and a condition may follow it.
        path = re.sub(r"(\[[^]]*\])?(\s*;.*)?$", "", text)
        return None if path and self._exists(posixpath.normpath(path)) else f"the file or folder {path!r} doesn't exist"


def _is_url(text: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text) is not None
