"""The record of an upload in parts: the parts that the storage has, which the API can't list."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ubiops.utils.record_file import RecordFile

if TYPE_CHECKING:
    from typing_extensions import Self

    from ubiops.utils.files.uri import UbiOpsFile

__all__ = ["Part", "UploadRecord"]


class Part(NamedTuple):
    """A part that the storage has: its length in bytes, its ETag, and the digest of the bytes sent."""

    length: int
    etag: str
    sha256: str


class UploadRecord:
    """The checkpoint of `upload_file`.

    The first line names the file. A line with the upload's id follows, and one for each part that was sent; if the
    upload starts over, the same again. The last line describes the file that the upload is about to replace.

    Args:
        path: Path of the record; it is created if it doesn't exist.
        project_name: Name of the project.
        file: The file in the bucket.

    Attributes:
        upload_id (str | None): Id of the upload; None if it hasn't started.
        size (int): Bytes of the file.
        part_size (int): Bytes of a part.
        parts (list[Part]): The parts that the storage has, in their order.
        completing (bool): Whether its completion has been requested.
        replaced (tuple | None): Size and creation date of the file that it replaces; None if there was none.

    Raises:
        ApiValueError: Another process uses it, or it belongs to another upload.
        ApiFileError: It can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str], project_name: str, file: UbiOpsFile) -> None:
        self._file = RecordFile(path, "upload_file")
        self.upload_id: str | None = None
        self.size = self.part_size = 0
        self.parts: list[Part] = []
        self.completing = False
        self.replaced: tuple[int | None, str] | None = None
        try:
            self._read({"project": project_name, "uri": str(file)})
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self, target: dict[str, str]) -> None:
        first = self._file.read()
        if first is None:
            self._file.begin(target)
            return
        recorded = {name: first.get(name) for name in target}
        if recorded != target:
            problem = f"{self._file.path} records the upload of {recorded['uri']} to the project {recorded['project']}"
            raise self._file.bad(f"{problem}: name another file, or delete it")
        for number, record in self._file.numbered(2):
            try:
                if "upload_id" in record:
                    self._begin(**record)
                elif "replaces" in record:
                    found = record["replaces"]
                    self.completing, self.replaced = True, None if found is None else (found[0], found[1])
                else:
                    self.parts.append(Part(**record))
            except (IndexError, KeyError, TypeError) as error:
                raise self._file.damaged(number) from error

    def _begin(self, upload_id: str, size: int, part_size: int) -> None:
        self.upload_id, self.size, self.part_size = upload_id, size, part_size
        self.parts, self.completing, self.replaced = [], False, None

    def start(self, upload_id: str, size: int, part_size: int) -> None:
        """Note that an upload has started."""
        self._file.append({"upload_id": upload_id, "size": size, "part_size": part_size})
        self._begin(upload_id, size, part_size)

    def note_part(self, part: Part) -> None:
        """Note that the storage has a part."""
        self._file.append(part._asdict())
        self.parts.append(part)

    def note_completion(self, replaced: Sequence[object] | None) -> None:
        """Note that the completion is about to be requested, and which file it replaces."""
        self._file.append({"replaces": replaced})

    def delete(self) -> None:
        """Delete the record: the upload has ended."""
        self._file.close()
        with suppress(OSError):
            os.unlink(self._file.path)
