"""The record of an upload in parts: what the storage has already, since the API can't list it."""

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
    """A part that the storage has: its length in bytes, its ETag there and the digest of what was sent."""

    length: int
    etag: str
    sha256: str


class UploadRecord:
    """The checkpoint of `upload_file`.

    The first line says which file it is of. A line with an upload's id follows, and one for each part that was sent;
    when the upload starts over, the same again. The last one says which file the upload is about to replace.

    Args:
        path: Path of the record; it is created if it doesn't exist.
        project_name: Name of the project.
        file: What is uploaded.

    Attributes:
        upload_id (str | None): Id of the upload; None if it hasn't started.
        size (int): Bytes of the file.
        part_size (int): Bytes of a part.
        parts (list[Part]): The parts that the storage has, in their order.
        completing (bool): Whether its completion has been asked for.
        replaced (tuple | None): Size and creation of the file that was there before; None if there was none.

    Raises:
        ApiValueError: Another process uses it, or it is of another upload.
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
            problem = f"{self._file.path} is of the upload of {recorded['uri']} to the project {recorded['project']}"
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
        """Note that the completion is about to be asked for, and which file is there until then."""
        self._file.append({"replaces": replaced})

    def delete(self) -> None:
        """Delete it: the upload has ended."""
        self._file.close()
        with suppress(OSError):
            os.unlink(self._file.path)
