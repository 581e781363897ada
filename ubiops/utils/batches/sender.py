"""Sends inputs in batches, and in parts if the server refuses a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ubiops.exceptions import (
    ApiException,
    BadRequestError,
    PayloadTooLargeError,
    TooManyRequestsError,
    UnprocessableEntityError,
)
from ubiops.utils.arguments import invalid
from ubiops.utils.batches.target import created_at
from ubiops.utils.exceptions import InvalidInput, RequestsInDoubt
from ubiops.utils.polling import Outage

if TYPE_CHECKING:
    from ubiops.utils.batches.chunks import Chunk, Input
    from ubiops.utils.batches.collector import Collector
    from ubiops.utils.batches.journal import Journal, Outcome
    from ubiops.utils.batches.lost import LostBatches
    from ubiops.utils.batches.results import Results
    from ubiops.utils.batches.settings import Settings
    from ubiops.utils.batches.source import Source
    from ubiops.utils.batches.target import Target

__all__ = ["Sender"]


class Sender:
    """Sends inputs as long as there is room, and handles what the server refuses.

    Args:
        settings: The arguments of `map_requests`.
        source: Reads the inputs.
        target: What they are sent to.
        collector: Collects their requests.
        results: Takes the inputs that are refused.
        journal: Records what is sent.
        lost: Finds batches whose answers were lost.
        queue: Size of the target's queue in requests; None if unknown.

    Attributes:
        waiting: The chunks that were read but not yet sent, the next one last.
        unanswered: The chunk that was sent but not answered.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        target: Target,
        collector: Collector,
        results: Results,
        journal: Journal,
        lost: LostBatches,
        queue: int | None,
    ) -> None:
        self._settings = settings
        self._source = source
        self._target = target
        self._collector = collector
        self._results = results
        self._journal = journal
        self._lost = lost
        # The most outstanding requests: ever, and now (fewer while the queue is full).
        self._capacity = self._most = min(settings.max_in_flight, queue or settings.max_in_flight)
        self._chunk_size = settings.chunk_size
        self.waiting: list[Chunk] = []
        self.unanswered: Chunk | None = None
        # For batches in a row that were lost and not found. The version's details were read before the first one.
        self._outage = Outage()
        self._outage.end()

    def send(self) -> bool:
        """Send the next chunk, if there is one and room for it; returns whether there may be room for more."""
        chunk = self._next()
        if chunk is None:
            return False
        self._journal.announce(chunk)
        self.unanswered = chunk
        try:
            created = self._target.create(
                [one.data for one in chunk.inputs], self._settings.request_timeout, known=self._collector.outstanding
            )
        except ApiException as error:
            if _leaves_in_doubt(error):
                self.settle(chunk, error)
                return True
            self._outage.end()
            return self._take_denial(chunk, error)
        self._outage.end()
        if len(created) != len(chunk):
            raise self._lost.doubt(chunk, f"the server made {len(created)} requests for its {len(chunk)} inputs")
        self._accept(chunk, [request.id for request in created], created_at(created[0]))
        return True

    def stop(self) -> None:
        """Send nothing more."""
        self.waiting.clear()
        self._source.exhausted = True

    # What to send

    def _next(self) -> Chunk | None:
        size = min(self._chunk_size, self._most)
        room = self._most - len(self._collector.outstanding)
        while not self.waiting:
            if self._source.exhausted or self._results.failure is not None or room < size or not self.may_read:
                return None
            read = self._source.read(size)
            if read is not None:
                self.waiting.append(read)
        chunk = self.waiting.pop()
        while len(chunk) > 1 and chunk.faulty:
            chunk = self._halve(chunk)
        if len(chunk) > size:
            chunk, rest = chunk.split(size)
            self.waiting.append(rest)
        if len(chunk) <= room:
            return chunk
        self.waiting.append(chunk)
        return None

    @property
    def may_read(self) -> bool:
        """Whether another chunk may be read: neither all inputs nor all results are ever in memory."""
        return self._results.open + self._settings.chunk_size <= 2 * self._settings.max_in_flight

    def _halve(self, chunk: Chunk) -> Chunk:
        """Put a refused chunk back in two halves; returns the first one."""
        first, second = chunk.split(len(chunk) // 2)
        first.other_half = second
        self.waiting.append(second)
        return first

    # Outcomes

    def _accept(self, chunk: Chunk, ids: Sequence[str], created: str | None) -> None:
        self._journal.note_sent(ids, created)
        self.take_over(chunk, ids, created)
        if chunk.other_half is not None:
            chunk.other_half.faulty = True
        self._most = min(self._capacity, self._most + max(1, len(chunk) // 10))
        self._results.bar.step(f"{chunk} sent")

    def take_over(self, chunk: Chunk, ids: Sequence[str], created: str | None) -> None:
        """Note the requests that were made from a chunk, by this run or an earlier one."""
        self._collector.hold(chunk, ids)
        self._lost.note(ids, created)
        self.unanswered = None

    def take_over_failed(self, chunk: Chunk, outcome: Outcome) -> None:
        """Refuse the inputs of an earlier run's chunk that has no requests."""
        if outcome.denied is None:
            self._refuse_doubtful(chunk, self._lost.doubt(chunk, "an earlier run didn't find it"))
        else:
            status, reason, body = (outcome.denied[name] for name in ("status", "reason", "body"))
            self._refuse_denied(chunk.inputs[0], ApiException.class_for(status)(status, reason, body=body))

    def settle(self, chunk: Chunk, error: ApiException | None) -> None:
        """Find out whether the server has a chunk whose answer was lost, and send it again if not.

        Args:
            chunk: The chunk.
            error: The error in place of the answer; None if an earlier run sent the chunk.

        Raises:
            RequestsInDoubt: The server can't be asked.
            ApiException: `error`, if chunks in a row have been lost for 5 minutes.
        """
        self.unanswered = chunk
        try:
            found = self._lost.find(chunk, self._collector.outstanding)
        except ApiException as problem:
            why = f"the server can't be asked: {' '.join(str(problem).split())}"
            raise self._lost.doubt(chunk, why) from error
        except RequestsInDoubt as doubt:
            if self._settings.tolerant:
                self._journal.note_doubt()
            self._refuse_doubtful(chunk, doubt)
            return
        if found:
            self._outage.end()
            self._accept(chunk, [request.id for request in found], created_at(found[0]))
            return
        self._put_back(chunk)
        if error is not None:
            self._outage.bear(error)

    def _take_denial(self, chunk: Chunk, error: ApiException) -> bool:
        """Handle a chunk that the server refused; returns whether there may be room for more."""
        if isinstance(error, TooManyRequestsError):
            self._most = max(1, (len(self._collector.outstanding) + len(chunk)) // 2)
            self._put_back(chunk)
            return False
        if isinstance(error, PayloadTooLargeError) and len(chunk) > 1:
            self._chunk_size = len(chunk) // 2
            self._put_back(chunk)
        elif isinstance(error, (BadRequestError, PayloadTooLargeError, UnprocessableEntityError)):
            self._deny(chunk, error)
        else:
            self._note_denial()
            raise error
        return True

    def _deny(self, chunk: Chunk, error: ApiException) -> None:
        """Narrow down the input that the server refuses."""
        self.unanswered = None
        if chunk.whole and getattr(self._target.details(), "status", "available") != "available":
            # No input is at fault.
            self._note_denial()
            raise error
        if len(chunk) > 1:
            self._put_back(self._halve(chunk))
        else:
            self._journal.note_denied({"status": error.status, "reason": error.reason, "body": error.body})
            self._refuse_denied(chunk.inputs[0], error)

    def _put_back(self, chunk: Chunk) -> None:
        """Put a chunk back, to be sent later."""
        self._note_denial()
        self.waiting.append(chunk)

    def _note_denial(self) -> None:
        self._journal.note_denied({})
        self.unanswered = None

    def _refuse_denied(self, one: Input, error: ApiException) -> None:
        answer = " ".join(str(error).split())
        problem = invalid(f"inputs[{one.index}]", "map_requests", f"the server refused it: {answer}")
        denied = InvalidInput(str(problem), one.index)
        denied.__cause__ = error
        self._results.refuse(one.index, one.data, denied)

    def _refuse_doubtful(self, chunk: Chunk, doubt: RequestsInDoubt) -> None:
        self.unanswered = None
        for one in chunk.inputs:
            self._results.refuse(one.index, one.data, doubt)


def _leaves_in_doubt(error: ApiException) -> bool:
    """Whether the server may have carried out a call: it didn't answer, failed, or its answer can't be read."""
    return not error.status or error.status < 300 or error.status >= 500 or error.status == 408
