"""Deployment packages on disk: the zip of each revision, and the folder that it is unpacked to."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.orm import Session

from ubiops.deployment_package import PackageError
from ubiops.package_format import MAXIMUM_UNPACKED_SIZE, leads_out

_MOST_ENTRIES = 100_000
"""The most files and folders that a zip may have."""

_DEEPEST = 200
"""The deepest nesting of folders: Python can't even delete what is much deeper."""

BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError)
"""What zipfile raises for zips that are damaged, encrypted, use an unknown method, or have impossible names."""


class Packages:
    """The zips and unpacked folders of revisions, with the zips of exports and imports.

    Args:
        directory: Where they are kept; it must exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def archive(self, id: str) -> Path:
        """The path of the zip of a revision, an export or an import."""
        return self._directory / f"{id}.zip"

    def unpacked(self, revision_id: str) -> Path:
        """The folder that the package of a revision is unpacked to."""
        return self._directory / revision_id

    def unpack(self, revision_id: str) -> None:
        """Unpack the zip of a revision.

        Raises:
            PackageError: The zip is damaged, too large when unpacked, or has entries that lead out of the directory.
        """
        _unpack(self.archive(revision_id), self.unpacked(revision_id))

    def remove(self, ids: Iterable[str]) -> None:
        """Delete the files of revisions, exports and imports."""
        for id in ids:
            self.archive(id).unlink(missing_ok=True)
            shutil.rmtree(self.unpacked(id), ignore_errors=True)

    def remove_later(self, session: Session, ids: Iterable[str]) -> None:
        """Delete them once the current transaction is committed."""
        if removed := list(ids):
            event.listen(session, "after_commit", lambda _: self.remove(removed), once=True)

    def sweep(self, known: set[str]) -> None:
        """Delete everything that doesn't belong to these ids, left behind by an earlier process that was killed."""
        self.remove({path.stem for path in self._directory.iterdir()} - known)

    def clear(self) -> None:
        """Delete everything."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir()


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Delete a file or directory that couldn't be written completely."""
    try:
        yield
    except BaseException:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        raise


def find_bomb(entries: Sequence[zipfile.ZipInfo]) -> str | None:
    """Why a zip may take too much disk, memory or time to unpack, as the end of a sentence; None if it doesn't."""
    if len(entries) > _MOST_ENTRIES:
        return f"has more than {_MOST_ENTRIES} entries"
    size = 0
    for entry in entries:
        if entry.filename.replace("\\", "/").count("/") > _DEEPEST:
            return f"has an entry below more than {_DEEPEST} folders: {entry.filename[:100]}..."
        # With the other methods, zipfile unpacks whatever it reads in one go: gigabytes from a few KB.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return f"has {entry.filename} compressed by another method than deflate"
        size += entry.file_size
    if size > MAXIMUM_UNPACKED_SIZE:
        return f"takes more than {MAXIMUM_UNPACKED_SIZE // 2**30} GiB when unpacked"
    return None


def _unpack(archive: Path, directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    try:
        with whole(directory), zipfile.ZipFile(archive) as package:
            _check(package.infolist())
            package.extractall(directory)
    except BROKEN as error:
        raise PackageError(f"The package can't be unpacked: {error}") from error


def _check(entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        if not entry.filename:
            raise PackageError("The package has an entry without a name")
        if leads_out(entry.filename):
            raise PackageError(f"The package has an entry that leads out of it: {entry.filename}")
    if bomb := find_bomb(entries):
        raise PackageError(f"The package {bomb}")
