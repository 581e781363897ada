"""A file of JSON lines on disk, from which an interrupted call is continued."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from ubiops.exceptions import ApiFileError
from ubiops.utils.arguments import invalid

if TYPE_CHECKING:
    from ubiops.exceptions import ApiValueError

__all__ = ["RecordFile"]

_FORMAT = 1


class RecordFile:
    """Records that are only appended, each on disk before the call returns.

    The file is locked for one process until it is closed. A last line that was being written when a process died is
    dropped.

    Args:
        path: Path of the file; it is created if it doesn't exist.
        function: The function that uses it; its first record begins with that name.

    Raises:
        ApiValueError: Another process uses it, or it isn't a file of that function.
        ApiFileError: It can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str], function: str) -> None:
        self.path = os.fsdecode(path)
        self._function = function
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.fdopen(os.open(self.path, flags, 0o666), "rb")
        except OSError as error:
            raise ApiFileError(str(self.bad(f"can't be opened: {error.strerror} ({self.path})"))) from error
        try:
            self._take()
            self._drop_torn_line()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file, so that other processes can use it."""
        self._file.close()

    def _take(self) -> None:
        try:
            _lock(self._file)
        except OSError as error:
            raise self.bad(f"{self.path} is in use by another run") from error

    def _drop_torn_line(self) -> None:
        first = f'{{"{self._function}": {_FORMAT}, '.encode()
        start = self._file.read(len(first))
        if start != first[: len(start)]:
            raise self.bad(f"{self.path} isn't a checkpoint of {self._function}")
        size = end = self._file.seek(0, os.SEEK_END)
        while end > 0:
            block = min(end, 1 << 16)
            self._file.seek(end - block)
            newline = self._file.read(block).rfind(b"\n")
            if newline >= 0:
                end += newline + 1 - block
                break
            end -= block
        if end < size:
            os.truncate(self._file.fileno(), end)
        self._file.seek(0)

    def read(self) -> dict[str, Any] | None:
        """The next record; None at the end."""
        line = self._file.readline()
        return self._parse(line, 1) if line else None

    def numbered(self, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The records that follow, each with the number of its line."""
        for number, line in enumerate(iter(self._file.readline, b""), first):
            yield number, self._parse(line, number)

    def begin(self, record: Mapping[str, Any]) -> None:
        """Write the first record; from here on, the file's name survives a power failure."""
        self.append({self._function: _FORMAT, **record})
        _sync_folder(os.path.dirname(self.path) or ".")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record.

        Raises:
            ApiFileError: It can't be written.
        """
        descriptor, line = self._file.fileno(), json.dumps(record).encode() + b"\n"
        try:
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        except OSError as error:
            raise ApiFileError(f"The checkpoint {self.path} can't be written: {error.strerror}") from error

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise self.damaged(number) from error
        if not isinstance(record, dict):
            raise self.damaged(number)
        return record

    def damaged(self, number: int) -> ApiValueError:
        """The error for a line that this client didn't write."""
        return self.bad(f"{self.path} is damaged in line {number}: another program has written to it")

    def bad(self, problem: str) -> ApiValueError:
        """The error for a file that can't be used."""
        return invalid("checkpoint", self._function, problem)


def _sync_folder(folder: str) -> None:
    """Make the name of a new file survive a power failure."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: IO[bytes]) -> None:
    """Lock a file for this process, until it is closed or the process ends."""
    if sys.platform == "win32":
        import msvcrt

        # Windows locks bytes for reading too, so lock one far beyond the content.
        file.seek(1 << 30)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
