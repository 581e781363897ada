"""The files of a folder that belong to a deployment package."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ubiops.package_format import leads_out
from ubiops.utils.exceptions import InvalidPackage, MissingExtra

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

    _Specs = tuple[GitIgnoreSpec, GitIgnoreSpec]
    """The rules of an ignore file for files, and for folders."""

__all__ = ["IGNORE_FILENAME", "PackageFolder"]

IGNORE_FILENAME = ".ubiops-ignore"

_NEVER = (".git", "__pycache__")


class PackageFolder:
    """The files of a folder that belong to the package, and why they can't be zipped.

    Args:
        root: The folder.
        ignore_filename: Name of the ignore files; an empty string for none.
        output: Path of the zip that is about to be written, which isn't part of itself.

    Attributes:
        root (str): The same.
        files (list[str]): Paths below the folder, sorted, with ``/`` between their parts.
        size (int): Their total size in bytes.
        skipped (list[str]): What was left out although no rule ignores it, each with the reason.
        problems (list[str]): Why the folder can't be zipped; empty if it can.

    Raises:
        InvalidPackage: An ignore file can't be parsed.
        MissingExtra: The folder has an ignore file, and pathspec isn't installed.
    """

    def __init__(self, root: str, ignore_filename: str = IGNORE_FILENAME, output: str | None = None) -> None:
        self.root = root
        self.files: list[str] = []
        self.size = 0
        self.skipped: list[str] = []
        self.problems: list[str] = []
        self._rules = _Rules(root, ignore_filename)
        self._real_root = os.path.realpath(root)
        self._output = None if output is None else _place(output)
        # The folders to read: the path in the package, and the real paths of the folder and of each folder above it,
        # which differ only if links lead there.
        self._waiting: list[tuple[str, tuple[str, ...]]] = [("", ("",))]
        while self._waiting:
            folder, way = self._waiting.pop()
            for entry in self._entries(folder):
                self._take(entry, _join(folder, entry.name), _join(way[-1], entry.name), way)
        self.files.sort()

    def path(self, name: str) -> str:
        """Where a file of the package is on disk."""
        return os.path.join(self.root, *name.split("/"))

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.path(folder)) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(f"{folder or self.root}: can't read the folder: {error.strerror}")
            return []

    def _take(self, entry: os.DirEntry[str], name: str, real: str, way: tuple[str, ...]) -> None:
        try:
            status = entry.stat()
        except OSError as error:
            if not self._rules.ignore(name, is_folder=False):
                reason = f"a link that leads nowhere: {error.strerror}" if entry.is_symlink() else error.strerror
                self.skipped.append(f"{_shown(name)}: {reason}")
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        if self._rules.ignore(name, is_folder=is_folder) or self._is_output(entry):
            return
        if entry.is_symlink():
            target = self._below_root(os.path.realpath(entry.path))
            if target is None:
                self.skipped.append(f"{_shown(name)}: a link that leads out of the folder")
                return
            if target in way:
                self.skipped.append(f"{_shown(name)}: a link to a folder that it is in")
                return
            if self._rules.ignore_with_folders(target, is_folder=is_folder):
                return
            real = target
        elif real != name and self._rules.ignore(real, is_folder=is_folder):
            return
        if problem := _problem_of(name):
            self.problems.append(f"{_shown(name)}: {problem}")
        elif is_folder and real not in way:
            self._waiting.append((name, (*way, real)))
        elif stat.S_ISREG(status.st_mode):
            self.files.append(name)
            self.size += status.st_size
            if not os.access(entry.path, os.R_OK):
                self.problems.append(f"{name}: can't read the file: Permission denied")
        elif not is_folder:
            self.skipped.append(f"{name}: a socket, a pipe or a device, not a file")

    def _is_output(self, entry: os.DirEntry[str]) -> bool:
        output = self._output
        return output is not None and entry.name == os.path.basename(output) and _place(entry.path) == output

    def _below_root(self, path: str) -> str | None:
        """A real path relative to the real root; None if it is outside."""
        if path == self._real_root:
            return ""
        above = os.path.join(self._real_root, "")
        return path.removeprefix(above).replace(os.sep, "/") if path.startswith(above) else None


class _Rules:
    """The files that are never zipped, and the rules of the ignore files in a folder and below it."""

    def __init__(self, root: str, filename: str) -> None:
        self._root = root
        self._filename = filename
        self._specs: dict[str, _Specs | None] = {}

    def ignore(self, name: str, *, is_folder: bool) -> bool:
        """Whether a file or folder is ignored, given that the folders above it aren't."""
        parts = name.split("/")
        if parts[-1] in (*_NEVER, self._filename) or parts[-1].endswith(".pyc"):
            return True
        if is_folder and os.path.lexists(os.path.join(self._root, *parts, "pyvenv.cfg")):
            return True
        # The nearest ignore file takes precedence.
        for depth in range(len(parts) - 1, -1, -1):
            specs = self._specs_in("/".join(parts[:depth]))
            if specs is not None:
                verdict = specs[is_folder].check_file("/".join(parts[depth:])).include
                if verdict is not None:
                    return verdict
        return False

    def ignore_with_folders(self, name: str, *, is_folder: bool) -> bool:
        """Whether a file or folder is ignored, or a folder above it."""
        parts = name.split("/")
        above = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return any(self.ignore(folder, is_folder=True) for folder in above) or self.ignore(name, is_folder=is_folder)

    def _specs_in(self, folder: str) -> _Specs | None:
        if folder not in self._specs:
            path = os.path.join(self._root, *folder.split("/"), self._filename)
            self._specs[folder] = _read_specs(path) if self._filename and os.path.isfile(path) else None
        return self._specs[folder]


def _read_specs(path: str) -> _Specs:
    try:
        from pathspec import GitIgnoreSpec
    except ImportError:
        raise MissingExtra("pathspec", f"Following the rules in {path}") from None
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidPackage([f"{path}: the rules can't be read: {error}"]) from error
    if problems := list(_problems_of_rules(path, lines)):
        raise InvalidPackage(problems)
    # pathspec treats paths as those of files, so a rule like ``data/`` matches only files below the folder. To check a
    # folder itself, the slash must go, or rules for files would override those for folders.
    bare = [re.sub(r"(?<=[^!/\\])/\s*$", "", line) for line in lines]
    return GitIgnoreSpec.from_lines(lines), GitIgnoreSpec.from_lines(bare)


def _problems_of_rules(path: str, lines: list[str]) -> Iterator[str]:
    from pathspec import GitIgnoreSpec

    for number, line in enumerate(lines, 1):
        try:
            GitIgnoreSpec.from_lines([line])
        except (ValueError, re.error) as error:
            yield f"{path}:{number}: {line!r} isn't a rule of a .gitignore: {error}"


def _problem_of(name: str) -> str | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "the name isn't valid UTF-8; rename it"
    return "the name would lead out of the package where it is unpacked; rename it" if leads_out(name) else None


def _shown(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _place(path: str) -> str:
    """Where a file is, whatever links lead to its folder; a link is the file itself."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)
