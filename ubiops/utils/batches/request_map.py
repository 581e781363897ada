"""What runs behind `map_requests`: it reads inputs, sends them in batches, and collects what became of them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ubiops.exceptions import (
    ApiConnectionError,
    ApiException,
    ApiValueError,
    BadRequestError,
    ForbiddenError,
    NotFoundError,
    OpenApiException,
    PayloadTooLargeError,
    ServerError,
    TooManyRequestsError,
    UnprocessableEntityError,
)
from ubiops.schema import Invalid, write_json
from ubiops.utils.batches.journal import Journal, Outcome
from ubiops.utils.batches.target import Target
from ubiops.utils.exceptions import InvalidInput, RequestFailed, RequestsInDoubt, WaitTimeout
from ubiops.utils.polling import Backoff
from ubiops.utils.progress_bar import Progress

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.models import DeploymentRequestBatchDetail, PipelineRequestDetail

__all__ = ["MappedRequest", "RequestMap", "Settings"]

T = TypeVar("T")

_logger = logging.getLogger("ubiops.utils")

# What a checkpoint belongs to.
_PLACE = ("project", "deployment", "pipeline", "version")
_FINISHED = frozenset({"completed", "failed", "cancelled"})
# What a question is asked again after.
_PASSING = (ApiConnectionError, ServerError, TooManyRequestsError)
# Seconds for which the server may go on answering so.
_PATIENCE = 300.0
# Seconds that the server gets to show what it has taken.
_SETTLING = 10.0
# Seconds, and calls at once, to stop what is outstanding.
_CANCELLING = 10.0
_CANCELLERS = 16


@dataclass(frozen=True)
class MappedRequest:
    """What became of one input of `map_requests`.

    Attributes:
        index (int): Index of the input, from 0.
        input (dict | str): The input.
        request (DeploymentRequestBatchDetail | PipelineRequestDetail | None): The finished request, with its id, times
            and result; None where none was made, or where it is gone.
        error (OpenApiException | None): What went wrong, where something did: `RequestFailed`, `InvalidInput` or
            `RequestsInDoubt`.
    """

    index: int
    input: Any
    request: DeploymentRequestBatchDetail | PipelineRequestDetail | None = None
    error: OpenApiException | None = None

    @property
    def result(self) -> Any:
        """What the deployment or pipeline returned; None where something went wrong."""
        return None if self.request is None else self.request.result


@dataclass(frozen=True)
class Settings:
    """What `map_requests` was called with, checked."""

    project: str
    kind: str
    name: str
    version: str | None
    chunk_size: int
    max_in_flight: int
    timeout: float | None
    tolerant: bool
    ordered: bool
    checkpoint: str | os.PathLike[str] | None
    skip: int
    request_timeout: int | None


@dataclass
class _Input:
    """An input on its way.

    Attributes:
        index: Its index.
        data: As it was given.
        json: As it is sent.
        missing_since: When the server first had no request of it any more, on the monotonic clock.
    """

    index: int
    data: Any
    json: bytes
    missing_since: float | None = None


class _Chunk:
    """Inputs that are sent together.

    Args:
        inputs: The inputs.
        whole: Whether it is as it was read, no part of one.

    Attributes:
        faulty: Whether it is known that the server denies it.
        other_half: The chunk that is faulty if this one is not.
    """

    def __init__(self, inputs: Sequence[_Input], *, whole: bool = True) -> None:
        self.inputs = inputs
        self.whole = whole
        self.faulty = False
        self.other_half: _Chunk | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def __str__(self) -> str:
        return _place(self.indexes)

    @property
    def indexes(self) -> range:
        return range(self.inputs[0].index, self.inputs[-1].index + 1)

    @property
    def digest(self) -> str:
        digest = hashlib.sha256()
        for one in self.inputs:
            digest.update(one.json + b"\n")
        return digest.hexdigest()

    def split(self, size: int) -> tuple[_Chunk, _Chunk]:
        return _Chunk(self.inputs[:size], whole=False), _Chunk(self.inputs[size:], whole=False)


def _place(indexes: range) -> str:
    return f"inputs[{indexes.start}]" if len(indexes) == 1 else f"inputs[{indexes.start}:{indexes.stop}]"


class RequestMap:
    """One run of `map_requests`. It works while its user waits for the next result, in their thread."""

    def __init__(self, api: CoreApi, inputs: Iterable[Any], settings: Settings) -> None:
        self._api = api
        self._settings = settings
        self._count = len(inputs) if isinstance(inputs, Sized) else None
        self._inputs = enumerate(inputs)
        self._pid = os.getpid()
        self._journal: Journal | None = None
        # Most requests that may be outstanding: ever, and now, fewer while the queue is full.
        self._capacity = self._most = settings.max_in_flight
        self._chunk_size = settings.chunk_size
        # What was read and is to be sent, the next one last.
        self._chunks: list[_Chunk] = []
        self._exhausted = False
        # What was sent and not answered.
        self._unanswered: _Chunk | None = None
        # By the ids of their requests, in the order in which they were sent.
        self._outstanding: dict[str, _Input] = {}
        self._done: dict[int, MappedRequest] = {}
        self._next = settings.skip
        self._finished = 0
        # How many inputs are read whose results haven't been given.
        self._open = 0
        # What ends the map once all that was sent before has been given.
        self._failure: OpenApiException | None = None
        # When the last batch that was answered came into being, at the server, and its ids.
        self._since: str | None = None
        self._known: frozenset[str] = frozenset()
        # Whether the next look waits, and whether it goes over all that is outstanding.
        self._wait = False
        self._thorough = False

    # The loop

    def run(self) -> Generator[MappedRequest, None, None]:
        settings = self._settings
        self._clock = Backoff(settings.timeout)
        total = None if self._count is None else max(0, self._count - settings.skip)
        with ExitStack() as resources:
            if settings.checkpoint is not None:
                self._journal = resources.enter_context(Journal(settings.checkpoint))
            self._bar = resources.enter_context(Progress(f"Requests to {settings.name}", total, "requests"))
            self._begin()
            earlier = self._take_over()
            resources.callback(self._give_up)
            while True:
                self._fill(earlier)
                yield from self._ready()
                if self._outstanding:
                    self._look()
                elif self._chunks:
                    self._pause()
                elif self._exhausted:
                    break
            if self._failure is not None:
                raise self._failure

    def _begin(self) -> None:
        """Find the version that the requests go to, and see that it is of use."""
        settings = self._settings
        job = self._journal.job() if self._journal is not None else None
        version = settings.version or (job or {}).get("version")
        self._target = Target.of(self._api, settings.project, settings.kind, settings.name, version)
        place = {"project": settings.project, settings.kind: settings.name, "version": self._target.version}
        if job is not None and place != {name: job[name] for name in job if name in _PLACE}:
            raise self._no_checkpoint(f"it is of another job: {job}")
        details = self._target.details(**self._options())
        mode = getattr(details, "request_retention_mode", "full")
        if mode != "full":
            raise ApiValueError(
                f"`map_requests` can't collect the results of {self._target}, whose request_retention_mode is "
                f"{mode!r}: set it to 'full'"
            )
        queue = getattr(details, "maximum_queue_size_batch", None)
        self._capacity = self._most = min(settings.max_in_flight, queue or settings.max_in_flight)
        if job is not None:
            self._since = job.get("since")
            return
        self._note_newest()
        if self._journal is not None:
            self._journal.begin({**place, "since": self._since})

    def _note_newest(self) -> None:
        """Remember the newest request that there is: all that this map makes are newer."""
        try:
            newest = self._target.list(limit=1, sort="desc", **self._options())
        except ForbiddenError:
            return
        if newest:
            self._since, self._known = _text(newest[0].time_created), frozenset([newest[0].id])

    def _options(self) -> dict[str, Any]:
        """The options of a call, which may take no longer than the map."""
        remaining = self._clock.remaining
        if remaining == 0:
            raise self._timed_out()
        return {} if remaining is None else {"_request_timeout": remaining}

    def _pause(self) -> None:
        if not self._clock.pause():
            raise self._timed_out()

    def _timed_out(self) -> WaitTimeout:
        return WaitTimeout(
            f"The timeout of {self._settings.timeout} s was over when {self._finished} requests to {self._target} had "
            f"finished and {len(self._outstanding)} were outstanding"
        )

    def _patiently(self, question: Callable[[], T]) -> T:
        """Ask something that changes nothing, again while the server is in trouble."""
        remaining = self._clock.remaining
        trouble = Backoff(_PATIENCE if remaining is None else min(_PATIENCE, remaining))
        while True:
            try:
                return question()
            except _PASSING as error:
                if not trouble.pause():
                    if self._clock.remaining == 0:
                        raise self._timed_out() from error
                    raise

    # Giving

    def _ready(self) -> Iterator[MappedRequest]:
        """What can be given now."""
        for item in self._in_order() if self._settings.ordered else self._as_completed():
            if item.error is not None and not self._settings.tolerant:
                raise item.error
            self._open -= 1
            yield item

    def _in_order(self) -> Iterator[MappedRequest]:
        while item := self._done.pop(self._next, None):
            self._next += 1
            yield item

    def _as_completed(self) -> Iterator[MappedRequest]:
        done, self._done = self._done, {}
        yield from done.values()

    def _finish(self, one: _Input, request: Any, error: OpenApiException | None = None) -> None:
        self._done[one.index] = MappedRequest(one.index, one.data, request, error)
        self._finished += 1
        self._bar.advance()

    def _refuse(self, index: int, data: Any, error: OpenApiException) -> None:
        """Note that no request is made of an input."""
        if self._settings.tolerant:
            self._done[index] = MappedRequest(index, data, None, error)
            self._bar.advance()
        elif self._failure is None:
            self._failure = error

    # Reading

    def _read(self) -> _Input | None:
        """The next input; None where there is none, or it can't be sent."""
        try:
            index, data = next(self._inputs)
        except StopIteration:
            self._exhausted = True
            return None
        if index >= self._settings.skip:
            self._open += 1
        try:
            if not isinstance(data, (str, Mapping)):
                raise Invalid(f"must be a dict or str, not {type(data).__name__}")
            return _Input(index, data, write_json(data))
        except Invalid as error:
            place = error.under(index).under("inputs").place()
            problem = f"Invalid value for `{place}` when calling `map_requests`, {error.problem}"
            if index >= self._settings.skip:
                self._refuse(index, data, InvalidInput(problem, index))
            return None

    def _read_chunk(self, size: int) -> None:
        inputs: list[_Input] = []
        for _ in range(size):
            one = self._read()
            if self._exhausted or self._failure is not None:
                break
            if one is not None and one.index >= self._settings.skip:
                inputs.append(one)
        if inputs and self._failure is None:
            self._chunks.append(_Chunk(inputs))

    # Sending

    def _fill(self, earlier: Iterator[_Chunk]) -> None:
        """Take over from earlier runs, then send, while there is room."""
        while self._failure is None:
            if self._may_read() and next(earlier, None) is not None:
                continue
            chunk = self._next_chunk()
            if chunk is None or not self._send(chunk):
                break
        if self._failure is not None:
            self._chunks.clear()
            self._exhausted = True

    def _may_read(self) -> bool:
        settings = self._settings
        return self._open + settings.chunk_size <= 2 * settings.max_in_flight

    def _next_chunk(self) -> _Chunk | None:
        """What to send now; None where there is nothing, or no room for it."""
        size = min(self._chunk_size, self._most)
        room = self._most - len(self._outstanding)
        while not self._chunks:
            if self._exhausted or self._failure is not None or room < size or not self._may_read():
                return None
            self._read_chunk(size)
        chunk = self._chunks.pop()
        while len(chunk) > 1 and chunk.faulty:
            chunk = self._halve(chunk)
        if len(chunk) > size:
            chunk, rest = chunk.split(size)
            self._chunks.append(rest)
        if len(chunk) <= room:
            return chunk
        self._chunks.append(chunk)
        return None

    def _halve(self, chunk: _Chunk) -> _Chunk:
        """Put a chunk that is denied back in halves; gives the first of them."""
        first, second = chunk.split(len(chunk) // 2)
        first.other_half = second
        self._chunks.append(second)
        return first

    def _send(self, chunk: _Chunk) -> bool:
        """Send a chunk; gives whether there may be room for more."""
        options = self._options()
        if self._journal is not None:
            self._journal.announce(chunk.indexes.start, chunk.indexes.stop, chunk.digest)
        self._unanswered = chunk
        try:
            created = self._target.create(
                data=[one.data for one in chunk.inputs], timeout=self._settings.request_timeout, **options
            )
        except TooManyRequestsError:
            self._note_denial()
            self._most = max(1, (len(self._outstanding) + len(chunk)) // 2)
            self._chunks.append(chunk)
            return False
        except PayloadTooLargeError as error:
            self._shrink(chunk, error)
        except (BadRequestError, UnprocessableEntityError) as error:
            self._deny(chunk, error)
        except ApiException as error:
            if not _leaves_in_doubt(error):
                self._note_denial()
                raise
            self._settle(chunk, error)
        else:
            if len(created) != len(chunk):
                raise self._doubt(chunk, f"the server made {len(created)} requests of its {len(chunk)} inputs")
            self._accept(chunk, [request.id for request in created], _text(created[0].time_created))
        return True

    def _accept(self, chunk: _Chunk, ids: Sequence[str], created: str | None) -> None:
        if self._journal is not None:
            self._journal.note_sent(ids, created)
        self._hold(chunk, ids, created)
        if chunk.other_half is not None:
            chunk.other_half.faulty = True
        self._most = min(self._capacity, self._most + max(1, len(chunk) // 10))
        self._wait = True
        self._clock.restart()
        self._bar.step(f"{chunk} sent")

    def _hold(self, chunk: _Chunk, ids: Sequence[str], created: str | None) -> None:
        wanted = zip(ids, chunk.inputs, strict=True)
        self._outstanding.update((id, one) for id, one in wanted if one.index >= self._settings.skip)
        self._since, self._known = created, frozenset(ids)
        self._unanswered = None

    def _note_denial(self, error: ApiException | None = None) -> None:
        """Note that no request came of what was sent; with an error, that none will."""
        if self._journal is not None:
            answer = {} if error is None else {"status": error.status, "reason": error.reason, "body": error.body}
            self._journal.note_denied(answer)
        self._unanswered = None

    def _shrink(self, chunk: _Chunk, error: ApiException) -> None:
        if len(chunk) == 1:
            self._deny(chunk, error)
            return
        self._note_denial()
        self._chunk_size = len(chunk) // 2
        self._chunks.append(chunk)

    def _deny(self, chunk: _Chunk, error: ApiException) -> None:
        self._unanswered = None
        if chunk.whole and getattr(self._target.details(**self._options()), "status", "available") != "available":
            # No input is at fault.
            self._note_denial()
            raise error
        if len(chunk) > 1:
            self._note_denial()
            self._chunks.append(self._halve(chunk))
        else:
            self._note_denial(error)
            self._refuse_denied(chunk.inputs[0], error)

    def _refuse_denied(self, one: _Input, error: ApiException) -> None:
        answer = " ".join(str(error).split())
        problem = f"Invalid value for `inputs[{one.index}]` when calling `map_requests`, the server denied it: {answer}"
        denied = InvalidInput(problem, one.index)
        denied.__cause__ = error
        self._refuse(one.index, one.data, denied)

    # Batches whose answer was lost

    def _settle(self, chunk: _Chunk, error: ApiException | None) -> None:
        """Find out what became of a batch whose answer was lost."""
        try:
            found = self._find_lost(chunk)
        except (*_PASSING, ForbiddenError) as problem:
            raise self._doubt(chunk, f"the server can't be asked: {' '.join(str(problem).split())}") from error
        except RequestsInDoubt as doubt:
            if self._settings.tolerant and self._journal is not None:
                self._journal.note_doubt()
            self._refuse_doubtful(chunk, doubt)
        else:
            if found:
                self._accept(chunk, [request.id for request in found], _text(found[0].time_created))
            else:
                self._note_denial()
                self._chunks.append(chunk)

    def _refuse_doubtful(self, chunk: _Chunk, doubt: RequestsInDoubt) -> None:
        self._unanswered = None
        for one in chunk.inputs:
            if one.index >= self._settings.skip:
                self._refuse(one.index, one.data, doubt)

    def _find_lost(self, chunk: _Chunk) -> list[Any]:
        """The requests of a batch, in the order of its inputs; none where the server hasn't carried it out."""
        remaining = self._clock.remaining
        looks = Backoff(_SETTLING if remaining is None else min(_SETTLING, remaining))
        while True:
            found = self._patiently(partial(self._matching, chunk))
            if found or not looks.pause():
                # Raises where it was the map's time that was over, and not the server's.
                self._options()
                return found

    def _matching(self, chunk: _Chunk) -> list[Any]:
        """The requests that have come since the last answer and have the data of a batch, which comes whole or not."""
        strangers = self._strangers()
        if len(strangers) < len(chunk):
            return []
        by_data: defaultdict[Any, deque[Any]] = defaultdict(deque)
        for start in range(0, len(strangers), self._target.limit):
            for request in self._collect(strangers[start : start + self._target.limit]):
                by_data[_frozen(request.request_data)].append(request)
        keys = [_frozen(json.loads(one.json)) for one in chunk.inputs]
        wanted = Counter(keys)
        if any(len(by_data[key]) < count for key, count in wanted.items()):
            if None in by_data:
                raise self._doubt(chunk, "the data of requests made since then isn't kept")
            return []
        if any(len(by_data[key]) > count for key, count in wanted.items()):
            raise self._doubt(chunk, "others have made requests with the same data since then")
        return [by_data[key].popleft() for key in keys]

    def _strangers(self) -> list[str]:
        """The ids of the requests that have come since the last answer, and that this map doesn't know."""
        strangers: list[str] = []
        offset = 0
        filters = {"sort": "asc", "limit": self._target.limit}
        if self._since is not None:
            filters["start_date"] = self._since
        while page := self._target.list(offset=offset, **filters, **self._options()):
            ids = [request.id for request in page]
            strangers += [id for id in ids if id not in self._known and id not in self._outstanding]
            offset += len(page)
        return strangers

    def _doubt(self, chunk: _Chunk, why: str) -> RequestsInDoubt:
        return RequestsInDoubt(
            f"Nobody knows whether the server has the requests of {chunk}: the answer to their batch was lost, and "
            f"{why}. Look at the requests to {self._target} since {self._since}",
            chunk.indexes,
        )

    # Going on where an earlier run ended

    def _take_over(self) -> Iterator[_Chunk]:
        """Take over the batches of earlier runs, one by one."""
        if self._journal is None:
            return
        for outcome in self._journal.outcomes():
            chunk = self._chunk_of(outcome)
            self._take(chunk, outcome)
            yield chunk
        if self._journal.unanswered is not None:
            chunk = self._chunk_of(self._journal.unanswered)
            self._unanswered = chunk
            self._settle(chunk, None)
            yield chunk

    def _take(self, chunk: _Chunk, outcome: Outcome) -> None:
        if outcome.ids is not None:
            self._hold(chunk, outcome.ids, outcome.created)
        elif outcome.denied is None:
            self._refuse_doubtful(chunk, self._doubt(chunk, "it wasn't found by an earlier run"))
        elif chunk.indexes.start >= self._settings.skip:
            status, reason, body = (outcome.denied[name] for name in ("status", "reason", "body"))
            self._refuse_denied(chunk.inputs[0], ApiException.class_for(status)(status, reason, body=body))

    def _chunk_of(self, outcome: Outcome) -> _Chunk:
        """Read the inputs of a batch that an earlier run sent."""
        inputs: list[_Input] = []
        while not inputs or inputs[-1].index < outcome.stop - 1:
            one = self._read()
            if self._exhausted:
                raise self._no_checkpoint(f"it knows {outcome.stop} inputs, and there are fewer")
            if one is not None and one.index >= outcome.start:
                inputs.append(one)
            elif one is not None and one.index >= self._settings.skip:
                raise self._no_checkpoint(f"it is of a job that left inputs out: give skip={outcome.start}")
        chunk = _Chunk(inputs)
        sizes = {len(chunk), len(chunk if outcome.ids is None else outcome.ids)}
        if chunk.indexes.stop != outcome.stop or chunk.digest != outcome.digest or len(sizes) > 1:
            raise self._no_checkpoint(f"{chunk} aren't those that it was made with")
        return chunk

    def _no_checkpoint(self, problem: str) -> ApiValueError:
        return ApiValueError(f"Invalid value for `checkpoint` when calling `map_requests`, {problem}")

    # Collecting

    def _look(self) -> None:
        """Collect what has finished: the oldest first, as far as all of a page has, or all if the last look had none.

        Servers begin with the oldest too, so that a page behind one that is unfinished has little to give.
        """
        if self._wait:
            self._pause()
        self._wait = moved = False
        ids = list(self._outstanding)
        for start in range(0, len(ids), self._target.limit):
            page = ids[start : start + self._target.limit]
            finished = self._take_finished(page)
            moved = moved or finished > 0
            self._wait = self._wait or finished < len(page)
            if self._wait and not self._thorough:
                break
        self._thorough = not moved
        if moved:
            self._clock.restart()

    def _take_finished(self, page: list[str]) -> int:
        """Collect a page; gives how many of its requests are over."""
        missing = set(page)
        finished = 0
        for request in self._patiently(partial(self._collect, page)):
            missing.discard(request.id)
            if request.status in _FINISHED:
                self._take_result(self._outstanding.pop(request.id), request)
                finished += 1
        if missing:
            # Where the version itself is gone, this says so.
            self._patiently(lambda: self._target.details(**self._options()))
        for id in missing:
            finished += self._take_missing(id)
        return finished

    def _take_result(self, one: _Input, request: Any) -> None:
        if request.status != "completed":
            problem = f"failed: {request.error_message or f'it was {request.status}'}"
        elif request.result is None and request.request_data is None:
            problem = f"has no result: {self._target} has another request_retention_mode than 'full'"
        else:
            self._finish(one, request)
            return
        message = f"The request {request.id} of inputs[{one.index}] {problem}"
        self._finish(one, request, RequestFailed(message, request, index=one.index))

    def _take_missing(self, id: str) -> bool:
        """Note that the server has no such request; it is gone where that stays so."""
        one = self._outstanding[id]
        one.missing_since = one.missing_since or time.monotonic()
        if time.monotonic() - one.missing_since < _SETTLING:
            return False
        del self._outstanding[id]
        problem = f"The request {id} of inputs[{one.index}] is gone: it was deleted, or its time to be kept was over"
        self._finish(one, None, RequestFailed(problem, index=one.index))
        return True

    def _collect(self, ids: list[str]) -> list[Any]:
        """Those of some requests that are there: the server denies all where one isn't."""
        try:
            return self._target.collect(data=ids, **self._options())
        except NotFoundError:
            if len(ids) == 1:
                return []
        half = len(ids) // 2
        return self._collect(ids[:half]) + self._collect(ids[half:])

    # Leaving

    def _give_up(self) -> None:
        """See to what is outstanding, if anything is."""
        # A forked process leaves it to its parent.
        if (not self._outstanding and self._unanswered is None) or self._pid != os.getpid():
            return
        if self._journal is not None:
            _logger.warning(
                "%d requests to %s are left to the next run with the checkpoint, which collects them",
                len(self._outstanding),
                self._target,
            )
            return
        self._clock = Backoff(_CANCELLING)
        left = self._cancel([*self._outstanding])
        if self._unanswered is not None:
            try:
                left += self._cancel([request.id for request in self._find_lost(self._unanswered)])
            except OpenApiException:
                _logger.warning("%s may run at %s: the answer was lost", self._unanswered, self._target)
        if left:
            _logger.warning("%d requests to %s couldn't be cancelled: %s", len(left), self._target, ", ".join(left))

    def _cancel(self, ids: list[str]) -> list[str]:
        """Cancel requests; gives the ids of those that may go on."""
        # The newest first: they are the last to be begun.
        waiting = deque(ids)
        left: list[str] = []

        def work() -> None:
            with suppress(IndexError):
                while True:
                    id = waiting.pop()
                    try:
                        self._target.cancel(request_id=id, **self._options())
                    except (BadRequestError, NotFoundError):
                        # It has finished.
                        pass
                    except OpenApiException:
                        left.append(id)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_CANCELLERS, len(ids)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self._clock.remaining)
        return left + list(waiting)


def _leaves_in_doubt(error: ApiException) -> bool:
    """Whether the server may have done what it was asked: it gave no answer, failed, or what it said can't be read."""
    return not error.status or error.status < 300 or error.status >= 500 or error.status == 408


def _text(moment: Any) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment


def _frozen(value: Any) -> Any:
    """A JSON value that can be a key, equal where the value is."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return value
