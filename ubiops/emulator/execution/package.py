"""The zip of a deployment package: checked and unpacked."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path

from ubiops.deployment_package import PackageError
from ubiops.package_format import MAXIMUM_UNPACKED_SIZE, leads_out

_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError)
"""What zipfile raises for zips that are damaged, encrypted, of an unknown method, or with impossible names."""


def unpack(archive: Path, directory: Path) -> None:
    """Unpack a package into a directory, which is made anew.

    Raises:
        PackageError: The zip is broken, too large when unpacked, or has entries that lead out of the directory.
    """
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
