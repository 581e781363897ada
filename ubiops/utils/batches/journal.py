"""The checkpoint of a map: a record on disk of what is sent, from which an interrupted run is continued."""

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
    """The outcome of a batch.

    Attributes:
        start: Index of its first input.
        stop: Index after its last input.
        digest: Digest of its inputs.
        ids: Ids of its requests; None if none are known.
        created: When the server created them.
        denied: Status, reason and body of the answer that refused the only input; None if it is in doubt.
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
        unanswered: The last announced batch, if it has no outcome; known once `outcomes` were read.
    """

    unanswered: Outcome | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def job(self) -> dict[str, Any] | None:
        """The recorded job; None for a new one."""
        return None

    def begin(self, job: Mapping[str, Any]) -> None:
        """Record a new job."""

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes of the batches of earlier runs, in the order of the inputs; must be read to the end."""
        return iter(())

    def announce(self, chunk: Chunk) -> None:
        """Record that a batch is about to be sent."""

    def note_sent(self, ids: Sequence[str], created: str | None) -> None:
        """Record the requests that were made from it."""

    def note_denied(self, answer: Mapping[str, Any]) -> None:
        """Record that it was refused; with an empty answer, its inputs are to be sent again, perhaps in parts."""

    def note_doubt(self) -> None:
        """Record that it stays in doubt."""


class Checkpoint(Journal):
    """A journal on disk.

    The first line names the job. Each batch is announced with its range and digest, and the announcement is on disk
    before the batch is sent; the next line is its outcome. So only of a batch whose announcement is the last line is it
    unknown whether the server has it.

    SQLite was tried: it survives as many kills, but takes four times as long for a batch, and more code, since the
    lines of earlier releases must be read in any case.

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
