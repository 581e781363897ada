"""Zips that are written while they are sent or saved."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ubiops.exceptions import ApiFileError
from ubiops.files import BLOCK
from ubiops.package_format import MAXIMUM_ZIP_SIZE
from ubiops.utils.exceptions import InvalidPackage
from ubiops.utils.packages.folder import PackageFolder
from ubiops.utils.progress_bar import Progress

if TYPE_CHECKING:
    from io import FileIO

__all__ = ["PACKAGE_DIRECTORY", "name_of", "zipped"]

PACKAGE_DIRECTORY = "deployment_package"
"""Name of the top-level folder in the zip of a package."""

_LINUX = 3


def name_of(root: str) -> str:
    """The name of a folder, for its zip."""
    return os.path.basename(root) or "package"


def zipped(
    folder: PackageFolder, inner: str = PACKAGE_DIRECTORY, *, quiet: bool = False
) -> Generator[bytes, None, None]:
    """The zip of a folder, block by block.

    Args:
        folder: What to zip.
        inner: Name of the top-level folder in the zip; an empty string for none.
        quiet: Whether to show no progress.

    Raises:
        ApiFileError: A file can't be read to its end.
        InvalidPackage: The zip is larger than a package may be.
    """
    output: Any = _Output()
    buffer = memoryview(bytearray(BLOCK))
    with (
        Progress(f"Zipping {name_of(folder.root)}", folder.size, "B", shown=not quiet) as progress,
        zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in folder.files:
            path = folder.path(name)
            try:
                with open(path, "rb", buffering=0) as file, archive.open(_entry(file, inner, name), "w") as entry:
                    while count := file.readinto(buffer):
                        entry.write(buffer[:count])
                        progress.advance(count)
                        yield from output.take()
            except OSError as error:
                raise ApiFileError(f"The file {path!r} could not be read to its end: {error.strerror}") from error
    yield from output.take()


def _entry(file: FileIO, inner: str, name: str) -> zipfile.ZipInfo:
    # The earliest time that a zip can represent.
    entry = zipfile.ZipInfo(f"{inner}/{name}" if inner else name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = _LINUX
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    # Decides whether the entry has fields for the size of a large file.
    entry.file_size = os.fstat(file.fileno()).st_size
    return entry


class _Output:
    """A non-seekable output for a zip: nothing is changed afterwards, so blocks can be sent or hashed at once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAXIMUM_ZIP_SIZE:
            limit = MAXIMUM_ZIP_SIZE // 2**30
            raise InvalidPackage([f"the zip would be larger than {limit} GB: ignore what the deployment doesn't need"])
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def take(self) -> list[bytes]:
        """The blocks that were written since the last call."""
        parts, self._parts = self._parts, []
        return [part for part in parts if part]
