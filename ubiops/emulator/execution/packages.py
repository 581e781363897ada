"""Deployment packages on disk: the zip of each revision, and the folder that it is unpacked to."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.orm import Session

from ubiops.deployment_package import PackageError
from ubiops.package_format import MAXIMUM_UNPACKED_SIZE, leads_out

_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError)
"""What zipfile raises for zips that are damaged, encrypted, of an unknown method, or with impossible names."""


class Packages:
    """The zips and unpacked folders of revisions; the zips of exports and imports lie with them.

    Args:
        directory: Where they are kept; it must be there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def archive(self, id: str) -> Path:
        """Where the zip of a revision, an export or an import is kept."""
        return self._directory / f"{id}.zip"

    def unpacked(self, revision_id: str) -> Path:
        """Where the package of a revision is unpacked to."""
        return self._directory / revision_id

    def unpack(self, revision_id: str) -> None:
        """Unpack the zip of a revision.

        Raises:
            PackageError: The zip is broken, too large when unpacked, or has entries that lead out of the directory.
        """
        _unpack(self.archive(revision_id), self.unpacked(revision_id))

    def remove(self, ids: Iterable[str]) -> None:
        """Delete what there is of revisions, exports and imports."""
        for id in ids:
            self.archive(id).unlink(missing_ok=True)
            shutil.rmtree(self.unpacked(id), ignore_errors=True)

    def remove_later(self, session: Session, ids: Iterable[str]) -> None:
        """Delete them once the present transaction is committed."""
        if removed := list(ids):
            event.listen(session, "after_commit", lambda _: self.remove(removed), once=True)

    def sweep(self, known: set[str]) -> None:
        """Delete all that isn't of these ids: what an earlier process left behind when it was killed."""
        self.remove({path.stem for path in self._directory.iterdir()} - known)

    def clear(self) -> None:
        """Delete everything."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir()


def _unpack(archive: Path, directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    try:
        with zipfile.ZipFile(archive) as package:
            _check(package.infolist())
            package.extractall(directory)
    except _BROKEN as error:
        raise PackageError(f"The package can't be unpacked: {error}") from error


def _check(entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        if leads_out(entry.filename):
            raise PackageError(f"The package has an entry that leads out of it: {entry.filename}")
    if sum(entry.file_size for entry in entries) > MAXIMUM_UNPACKED_SIZE:
        raise PackageError(f"The package takes more than {MAXIMUM_UNPACKED_SIZE // 2**30} GiB when unpacked")
