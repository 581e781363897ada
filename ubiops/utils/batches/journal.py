"""The checkpoint of a map of requests: a record, on disk, of what is sent, with which a run that died is continued."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from ubiops.exceptions import ApiFileError, ApiValueError

if TYPE_CHECKING:
    from typing_extensions import Self

    from ubiops.utils.batches.chunks import Chunk

__all__ = ["Checkpoint", "Journal", "Outcome"]

_MARK = "map_requests"
_FORMAT = 1
_START = f'{{"{_MARK}": {_FORMAT}, '.encode()


@dataclass(frozen=True)
class Outcome:
    """What became of a batch.

    Attributes:
        start: Index of its first input.
        stop: Index behind its last input.
        digest: Of its inputs.
        ids: Ids of its requests; None where none are known.
        created: When they were created, at the server.
        denied: Status, reason and body of the answer that denied the one input; None where it is in doubt.
    """

    start: int
    stop: int
    digest: str
    ids: Sequence[str] | None = None
    created: str | None = None
    denied: Mapping[str, Any] | None = None


class Journal:
    """The record of a map's batches; without a checkpoint, nothing is recorded.

    Attributes:
        unanswered: The batch that was announced last and has no outcome, once `outcomes` are read.
    """

    unanswered: Outcome | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def job(self) -> dict[str, Any] | None:
        """The job that was begun; None where this is a new one."""
        return None

    def begin(self, job: Mapping[str, Any]) -> None:
        """Note a new job."""

    def outcomes(self) -> Iterator[Outcome]:
        """What became of the batches of earlier runs, in the order of the inputs; to be read to its end."""
        return iter(())

    def announce(self, chunk: Chunk) -> None:
        """Note that a batch is about to be sent."""

    def note_sent(self, ids: Sequence[str], created: str | None) -> None:
        """Note the requests that it became."""

    def note_denied(self, answer: Mapping[str, Any]) -> None:
        """Note that no request came of it; an answer that is empty leaves its inputs to be sent again, or in parts."""

    def note_doubt(self) -> None:
        """Note that it stays in doubt."""


class Checkpoint(Journal):
    """A file of JSON lines that is only appended to. It is locked for one process until it is closed.

    The first line says which job it is of. Each batch is announced with its range and digest, and that is on disk
    before it is sent; the line that follows says what came of it. So an announcement at the end that nothing follows is
    the one batch of which nobody knows whether the server has it.

    SQLite was tried: it survives as many kills, takes four times as long for a batch, and more code, since the lines
    of earlier releases must be read all the same.

    Args:
        path: Path of the file; it is created if it doesn't exist.

    Raises:
        ApiValueError: Another process uses it, or it isn't a checkpoint.
        ApiFileError: It can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fsdecode(path)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.fdopen(os.open(self._path, flags, 0o666), "rb")
        except OSError as error:
            raise ApiFileError(str(_bad(f"can't be opened: {error.strerror} ({self._path})"))) from error
        try:
            self._take()
            self._drop_torn_line()
        except BaseException:
            self._file.close()
            raise

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _take(self) -> None:
        try:
            _lock(self._file)
        except OSError as error:
            raise _bad(f"{self._path} is in use by another run") from error

    def _drop_torn_line(self) -> None:
        """Forget a last line that was being written when the process died."""
        start = self._file.read(len(_START))
        if start != _START[: len(start)]:
            raise _bad(f"{self._path} isn't a checkpoint of map_requests")
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

    def job(self) -> dict[str, Any] | None:
        line = self._file.readline()
        return self._parse(line, 1) if line else None

    def begin(self, job: Mapping[str, Any]) -> None:
        self._append({_MARK: _FORMAT, **job})
        _sync_folder(os.path.dirname(self._path) or ".")

    def outcomes(self) -> Iterator[Outcome]:
        for number, line in enumerate(iter(self._file.readline, b""), 2):
            record = self._parse(line, number)
            try:
                if "send" in record:
                    start, stop = record["send"]
                    self.unanswered = Outcome(start, stop, record["digest"])
                    continue
                assert self.unanswered is not None
                batch, self.unanswered = self.unanswered, None
                outcome = Outcome(batch.start, batch.stop, batch.digest, **record)
            except (AssertionError, KeyError, TypeError, ValueError) as error:
                raise self._spoilt(number) from error
            if outcome.denied != {}:
                yield outcome

    def announce(self, chunk: Chunk) -> None:
        self._append({"send": [chunk.indexes.start, chunk.indexes.stop], "digest": chunk.digest})

    def note_sent(self, ids: Sequence[str], created: str | None) -> None:
        self._append({"ids": ids, "created": created})

    def note_denied(self, answer: Mapping[str, Any]) -> None:
        self._append({"denied": answer})

    def note_doubt(self) -> None:
        self._append({"ids": None})

    def _append(self, record: Mapping[str, Any]) -> None:
        descriptor, line = self._file.fileno(), json.dumps(record).encode() + b"\n"
        try:
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        except OSError as error:
            raise ApiFileError(f"The checkpoint {self._path} can't be written: {error.strerror}") from error

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise self._spoilt(number) from error
        if not isinstance(record, dict):
            raise self._spoilt(number)
        return record

    def _spoilt(self, number: int) -> ApiValueError:
        return _bad(f"{self._path} is damaged in line {number}: another program has written to it")


def _bad(problem: str) -> ApiValueError:
    return ApiValueError(f"Invalid value for `checkpoint` when calling `map_requests`, {problem}")


def _sync_folder(folder: str) -> None:
    """Make the name of a new file survive a loss of power."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: IO[bytes]) -> None:
    """Take a file for this process, until it is closed or the process ends."""
    if sys.platform == "win32":
        import msvcrt

        # Windows locks bytes for reading too: one far behind the content.
        file.seek(1 << 30)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
