"""The checkpoint of a map of requests: a record, on disk, of what is sent, with which a run that died is continued."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ubiops.utils.record_file import RecordFile

if TYPE_CHECKING:
    from typing_extensions import Self

    from ubiops.utils.batches.chunks import Chunk

__all__ = ["Checkpoint", "Journal", "Outcome"]


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
    """A journal on disk.

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
        self._file = RecordFile(path, "map_requests")

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def job(self) -> dict[str, Any] | None:
        return self._file.read()

    def begin(self, job: Mapping[str, Any]) -> None:
        self._file.begin(job)

    def outcomes(self) -> Iterator[Outcome]:
        for number, record in self._file.numbered(2):
            try:
                if "send" in record:
                    start, stop = record["send"]
                    self.unanswered = Outcome(start, stop, record["digest"])
                    continue
                assert self.unanswered is not None
                batch, self.unanswered = self.unanswered, None
                outcome = Outcome(batch.start, batch.stop, batch.digest, **record)
            except (AssertionError, KeyError, TypeError, ValueError) as error:
                raise self._file.damaged(number) from error
            if outcome.denied != {}:
                yield outcome

    def announce(self, chunk: Chunk) -> None:
        self._file.append({"send": [chunk.indexes.start, chunk.indexes.stop], "digest": chunk.digest})

    def note_sent(self, ids: Sequence[str], created: str | None) -> None:
        self._file.append({"ids": ids, "created": created})

    def note_denied(self, answer: Mapping[str, Any]) -> None:
        self._file.append({"denied": answer})

    def note_doubt(self) -> None:
        self._file.append({"ids": None})
