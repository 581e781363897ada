"""The name of a local file in a bucket, and the path of a bucket's file on disk."""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ubiops.exceptions import ApiFileError, ApiValueError
from ubiops.files import Upload
from ubiops.utils.arguments import wrong_type
from ubiops.utils.files.parallel import Transfer, incomplete

if TYPE_CHECKING:
    from ubiops.models import FileItem

__all__ = ["prefixed", "to_download", "to_upload"]

_LONGEST_PART = 255
_NOT_ON_WINDOWS = re.compile(r'[\x00-\x1f<>:"|?*]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


# Uploads


def prefixed(prefix: str | None, name: str) -> str:
    """A name in a folder of a bucket; the prefix may have slashes around it."""
    folder = (prefix or "").strip("/")
    return f"{folder}/{name}" if folder else name


def to_upload(file_paths: Any, prefix: str | None) -> list[Transfer]:
    """The files to upload, in the order of the paths; those of a folder sorted by their names.

    Raises:
        ApiFileError: Something doesn't exist, can't be read or isn't a file, a folder contains no files, or two files
            would get the same name.
    """
    found = [
        Transfer(path, prefixed(prefix, name), size)
        for given in _listed(file_paths)
        for path, name, size in _files_at(given)
    ]
    if not found:
        raise ApiFileError("must contain one path or more")
    taken: dict[str, str] = {}
    for transfer in found:
        _check_unicode(transfer)
        if transfer.target in taken:
            raise ApiFileError(
                f"{taken[transfer.target]!r} and {transfer.source!r} would both be named {transfer.target!r} in the "
                "bucket: upload them separately, each with a `file_prefix`"
            )
        taken[transfer.target] = transfer.source
    return found


def _listed(file_paths: Any) -> list[str]:
    if isinstance(file_paths, (str, bytes, os.PathLike)):
        file_paths = [file_paths]
    if not isinstance(file_paths, Iterable) or hasattr(file_paths, "read"):
        raise wrong_type("file_paths", "upload_files", "a path or a list of paths", file_paths)
    return [_path(index, path) for index, path in enumerate(file_paths)]


def _path(index: int, given: Any) -> str:
    try:
        return os.fsdecode(given)
    except TypeError:
        raise wrong_type(f"file_paths[{index}]", "upload_files", "a path", given) from None


_Found = tuple[str, str, int]
"""The path of a local file, its name in the bucket and its size in bytes."""


def _files_at(path: str) -> list[_Found]:
    if not os.path.isdir(path):
        return [_file(path, os.path.basename(path))]
    found = sorted(_walk(path, "", ()), key=lambda file: file[1])
    if not found:
        raise ApiFileError(f"the folder {path!r} contains no files")
    return found


def _walk(folder: str, name: str, above: tuple[str, ...]) -> Iterator[_Found]:
    real = os.path.realpath(folder)
    if real in above:
        raise ApiFileError(f"the link {folder!r} leads back to a folder that it is in")
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError as error:
        raise ApiFileError.of(f"can't read the folder {folder!r}: {error.strerror}", error) from error
    for entry in found:
        if entry.is_dir():
            yield from _walk(entry.path, f"{name}{entry.name}/", (*above, real))
        else:
            yield _file(entry.path, name + entry.name)


def _file(path: str, name: str) -> _Found:
    try:
        size = Upload(path).length
    except ApiFileError as error:
        if os.path.islink(path) and not os.path.exists(path):
            text = f"the link {path!r} leads to {os.readlink(path)!r}, which doesn't exist"
            raise ApiFileError.of(text, error) from error
        raise
    if size is None:
        raise ApiFileError(f"must be files and folders, but {path!r} is neither")
    return path, name, size


def _check_unicode(transfer: Transfer) -> None:
    if not _is_unicode(transfer.target):
        raise ApiFileError(f"the name {transfer.source!r} isn't valid UTF-8: rename it")


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


# Downloads


def to_download(listed: Iterable[FileItem], folder: str) -> list[Transfer]:
    """The files to download into a folder, each below it at the path that its name spells.

    An empty file whose name ends with a slash, which the consoles of some storages create for an empty folder, is
    skipped.

    Args:
        listed: The files of the bucket.
        folder: Where to write them; it must exist.

    Raises:
        IncompleteTransfer: A name can't be a path below the folder, or two can't be there together; nothing is written.
    """
    sizes = {str(item.file): item.size if isinstance(item.size, int) else None for item in listed}
    names = [name for name in sizes if not (name.endswith("/") and not sizes[name])]
    places = _Places(folder, names)
    transfers = [Transfer(name, os.path.join(folder, *name.split("/")), sizes[name]) for name in names]
    refused: dict[Transfer, BaseException] = {}
    for transfer in transfers:
        problem = _problem_of(transfer.source) or places.problem_of(transfer)
        if problem is not None:
            refused[transfer] = ApiValueError(f"it {problem}: download it alone, to a path of your choice")
    if refused:
        raise incomplete("download", transfers, {}, refused)
    return transfers


def _problem_of(name: str) -> str | None:
    """Why a name can't be a path below any folder; the same on all systems, except for what only Windows refuses."""
    if not _is_unicode(name):
        return "isn't valid Unicode"
    parts = name.split("/")
    if "\0" in name or "\\" in name:
        return "contains a backslash or NUL"
    if re.match(r"[A-Za-z]:", name):
        return "begins with the letter of a drive"
    if {"", ".", ".."} & {*parts}:
        return "has an empty part, '.' or '..' between its slashes"
    if any(len(part.encode()) > _LONGEST_PART for part in parts):
        return f"has a part of more than {_LONGEST_PART} bytes"
    if os.name == "nt" and any(map(_NOT_ON_WINDOWS.search, parts)):
        return "has a part that Windows doesn't take for a name"
    return None


class _Places:
    """Conflicts of paths below a folder: with other files to download, and with files on disk."""

    def __init__(self, folder: str, names: list[str]) -> None:
        self._root = os.path.realpath(folder)
        self._key = _plain
        folded = {_folded(name) for name in names}
        if len(folded) < len(names) and _ignores_case(folder):
            self._key = _folded
        self._taken: dict[str, str] = {}
        self._folders = {self._key(above): name for name in names for above in _folders_of(name)}
        self._parents: dict[str, str | None] = {}

    def problem_of(self, transfer: Transfer) -> str | None:
        """Why a file can't be written to its path."""
        key = self._key(transfer.source)
        other = self._taken.setdefault(key, transfer.source)
        if other != transfer.source:
            return f"is the same as {other!r} on this disk"
        if key in self._folders:
            return f"is a folder of {self._folders[key]!r}"
        if os.path.isdir(transfer.target):
            return f"is a folder on disk, {transfer.target!r}"
        parent = os.path.dirname(transfer.target)
        if parent not in self._parents:
            self._parents[parent] = self._problem_of_folder(parent)
        return self._parents[parent]

    def _problem_of_folder(self, path: str) -> str | None:
        real = os.path.realpath(path)
        if real != self._root and not real.startswith(os.path.join(self._root, "")):
            return f"leads out of {self._root!r} through a link, to {real!r}"
        while not os.path.lexists(real):
            real = os.path.dirname(real)
        return None if os.path.isdir(real) else f"is below {real!r}, which is a file on disk"


def _folders_of(name: str) -> Iterator[str]:
    """The folders that a name leads through: a and a/b, for a/b/c."""
    end = name.find("/")
    while end >= 0:
        yield name[:end]
        end = name.find("/", end + 1)


def _plain(name: str) -> str:
    return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _ignores_case(folder: str) -> bool:
    with tempfile.NamedTemporaryFile(prefix=".ubiops-", dir=folder) as probe:
        return os.path.exists(os.path.join(folder, os.path.basename(probe.name).upper()))
