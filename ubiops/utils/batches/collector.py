"""Collects the outstanding requests, or cancels them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ubiops.exceptions import BadRequestError, NotFoundError, OpenApiException
from ubiops.utils.exceptions import RequestFailed
from ubiops.utils.polling import Backoff

if TYPE_CHECKING:
    from ubiops.utils.batches.chunks import Chunk, Input
    from ubiops.utils.batches.patience import Patience
    from ubiops.utils.batches.results import Results
    from ubiops.utils.batches.target import Target

__all__ = ["Collector"]

_FINISHED = ("completed", "failed", "cancelled")
# Seconds to wait for a request that the server doesn't find yet.
_SETTLING = 10.0
# Number of concurrent calls that cancel the outstanding requests.
_CANCELLERS = 16


class Collector:
    """Polls the outstanding requests.

    Args:
        target: What they were sent to.
        results: Takes their results.
        patience: The time limit of the map.
        skip: Number of inputs at the front whose requests are ignored.

    Attributes:
        outstanding: The inputs by the ids of their requests, in the order in which they were sent.
    """

    def __init__(self, target: Target, results: Results, patience: Patience, skip: int) -> None:
        self._target = target
        self._results = results
        self._patience = patience
        self._skip = skip
        self.outstanding: dict[str, Input] = {}
        # How long to wait for requests that the server doesn't find.
        self._missing: dict[str, Backoff] = {}
        # Whether the next `look` waits, and whether it goes through all outstanding requests.
        self._wait = False
        self._thorough = False

    def hold(self, chunk: Chunk, ids: Sequence[str]) -> None:
        """Take over the requests that were made from a chunk."""
        wanted = zip(ids, chunk.inputs, strict=True)
        self.outstanding.update((id, one) for id, one in wanted if one.index >= self._skip)
        self._wait = True
        self._patience.restart()

    def look(self) -> None:
        """Collect finished requests: pages from the oldest on, up to one with unfinished requests, or all pages if the
        last look found nothing.

        Servers begin with the oldest requests too, so pages after an unfinished one rarely have results.
        """
        if self._wait:
            self._patience.pause()
        self._wait = moved = False
        ids = list(self.outstanding)
        for start in range(0, len(ids), self._target.limit):
            page = ids[start : start + self._target.limit]
            finished = self._take_finished(page)
            moved = moved or finished > 0
            self._wait = self._wait or finished < len(page)
            if self._wait and not self._thorough:
                break
        self._thorough = not moved
        if moved:
            self._patience.restart()

    def _take_finished(self, page: list[str]) -> int:
        """Collect a page; returns how many of its requests have ended."""
        missing = set(page)
        finished = 0
        for request in self._target.collect(page):
            missing.discard(request.id)
            self._missing.pop(request.id, None)
            if request.status in _FINISHED:
                self._take_result(self.outstanding.pop(request.id), request)
                finished += 1
        if missing:
            # Raises if the version itself was deleted.
            self._target.details()
        return finished + sum(self._take_missing(id) for id in missing)

    def _take_result(self, one: Input, request: Any) -> None:
        if request.status == "completed" and request.result is None:
            request.result = self._target.large(request, "output")
        if request.status != "completed":
            problem = f"failed: {request.error_message or f'it was {request.status}'}"
        elif request.result is None and request.request_data is None:
            problem = f"has no result: set the request_retention_mode of {self._target} to 'full'"
        else:
            self._results.finish(one, request)
            return
        message = f"The request {request.id} for inputs[{one.index}] {problem}"
        self._results.finish(one, request, RequestFailed(message, request, index=one.index))

    def _take_missing(self, id: str) -> bool:
        """Note that the server doesn't find a request; if that lasts, the request is gone."""
        if self._missing.setdefault(id, Backoff(_SETTLING)).remaining:
            return False
        del self._missing[id]
        one = self.outstanding.pop(id)
        problem = f"The request {id} for inputs[{one.index}] is gone: it was deleted, or its retention time is over"
        self._results.finish(one, None, RequestFailed(problem, index=one.index))
        return True

    def cancel(self, ids: Sequence[str]) -> list[str]:
        """Cancel as many requests as there is time for; returns the ids of those that may still run."""
        # The newest first: they are the last to start.
        waiting = deque(ids)
        left: list[str] = []

        def work() -> None:
            with suppress(IndexError):
                while True:
                    id = waiting.pop()
                    try:
                        self._target.cancel(id)
                    except (BadRequestError, NotFoundError):
                        # It has finished.
                        pass
                    except OpenApiException:
                        left.append(id)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_CANCELLERS, len(ids)))]
        try:
            for thread in threads:
                thread.start()
        except RuntimeError:
            # At the end of a program, Python 3.12 starts no threads.
            threads = [thread for thread in threads if thread.is_alive()]
            work()
        for thread in threads:
            thread.join(self._patience.remaining)
        return left + list(waiting)
