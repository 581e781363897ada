"""The loop of `map_requests`: reads inputs, sends them in batches, and collects the results."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Iterator, Sized
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ubiops.exceptions import ApiValueError, OpenApiException
from ubiops.frames import one_frame
from ubiops.utils.arguments import invalid
from ubiops.utils.batches.collector import Collector
from ubiops.utils.batches.journal import Checkpoint, Journal
from ubiops.utils.batches.lost import LostBatches
from ubiops.utils.batches.patience import Patience
from ubiops.utils.batches.results import MappedRequest, Results
from ubiops.utils.batches.sender import Sender
from ubiops.utils.batches.source import Source
from ubiops.utils.batches.target import Target
from ubiops.utils.progress_bar import Progress

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.utils.batches.settings import Settings

__all__ = ["RequestMap"]

_logger = logging.getLogger("ubiops.utils")

# What identifies the job of a checkpoint.
_PLACE = ("project", "deployment", "pipeline", "version")
# Seconds for cancelling outstanding requests.
_CANCELLING = 10.0


class RequestMap:
    """One run of `map_requests`. It works in the caller's thread, while the caller waits for the next result."""

    def __init__(self, api: CoreApi, inputs: Iterable[Any], settings: Settings) -> None:
        self.api_client = api.api_client
        self._api = api
        self._inputs = inputs
        self._settings = settings
        self._pid = os.getpid()

    @one_frame
    def run(self) -> Generator[MappedRequest, None, None]:
        with ExitStack() as resources:
            self._begin(resources)
            earlier = self._take_over()
            resources.callback(self._give_up)
            while True:
                self._fill(earlier)
                yield from self._results.ready()
                if self._collector.outstanding:
                    self._collector.look()
                elif self._sender.waiting:
                    self._patience.pause()
                elif self._source.exhausted:
                    break
            if self._results.failure is not None:
                raise self._results.failure

    def _begin(self, resources: ExitStack) -> None:
        """Find and check the version that the requests go to, and create the parts."""
        settings = self._settings
        self._patience = Patience(settings.timeout)
        self._journal = Journal() if settings.checkpoint is None else Checkpoint(settings.checkpoint)
        resources.enter_context(self._journal)
        total = max(0, len(self._inputs) - settings.skip) if isinstance(self._inputs, Sized) else None
        bar = resources.enter_context(
            Progress(f"Requests to {settings.name}", total, "requests", shown=not settings.quiet)
        )
        job = self._journal.job()
        version = settings.version or (job or {}).get("version")
        target = Target(self._api, settings.project, settings.kind, settings.name, version, self._patience)
        place = {"project": settings.project, settings.kind: settings.name, "version": target.version}
        if job is not None and place != {name: job[name] for name in job if name in _PLACE}:
            raise invalid("checkpoint", "map_requests", f"it belongs to another job: {job}")
        details = target.details()
        mode = getattr(details, "request_retention_mode", "full")
        if mode != "full":
            raise ApiValueError(
                f"`map_requests` can't collect the results of {target}, whose request_retention_mode is {mode!r}: "
                f"set it to 'full'"
            )
        self._target = target
        self._lost = LostBatches(target, self._patience)
        if job is None:
            self._lost.begin()
            self._journal.begin({**place, "since": self._lost.since})
        else:
            self._lost.since = job.get("since")
        self._results = Results(ordered=settings.ordered, tolerant=settings.tolerant, skip=settings.skip, bar=bar)
        self._source = Source(self._inputs, settings.skip, self._results)
        self._collector = Collector(target, self._results, self._patience, settings.skip)
        self._patience.state = self._state
        queue = getattr(details, "maximum_queue_size_batch", None)
        self._sender = Sender(
            *(settings, self._source, target, self._collector, self._results, self._journal, self._lost, queue)
        )

    def _state(self) -> str:
        finished, outstanding = self._results.finished, len(self._collector.outstanding)
        return f"{finished} requests to {self._target} were finished and {outstanding} were outstanding"

    def _fill(self, earlier: Iterator[object]) -> None:
        """While there is room, take over from earlier runs, then send."""
        while self._results.failure is None:
            if self._sender.may_read and next(earlier, None) is not None:
                continue
            if not self._sender.send():
                return
        self._sender.stop()

    def _take_over(self) -> Iterator[object]:
        """Take over the batches of earlier runs, one by one."""
        for outcome in self._journal.outcomes():
            chunk = self._source.read_again(outcome)
            if outcome.ids is None:
                self._sender.take_over_failed(chunk, outcome)
            else:
                self._sender.take_over(chunk, outcome.ids, outcome.created)
            yield chunk
        if self._journal.unanswered is not None:
            chunk = self._source.read_again(self._journal.unanswered)
            self._sender.settle(chunk, None)
            yield chunk

    def _give_up(self) -> None:
        """Cancel the outstanding requests, or leave them to the next run with the checkpoint."""
        outstanding, unanswered = self._collector.outstanding, self._sender.unanswered
        # A forked process leaves it to its parent.
        if (not outstanding and unanswered is None) or self._pid != os.getpid():
            return
        if self._settings.checkpoint is not None:
            _logger.warning(
                "%d requests to %s are left to the next run with the checkpoint, which collects them",
                len(outstanding),
                self._target,
            )
            return
        self._patience.end_in(_CANCELLING)
        left = self._collector.cancel([*outstanding])
        if unanswered is not None:
            try:
                found = self._lost.find(unanswered, outstanding)
                left += self._collector.cancel([request.id for request in found])
            except OpenApiException:
                _logger.warning("%s may run at %s: the answer was lost", unanswered, self._target)
        if left:
            _logger.warning("%d requests to %s couldn't be cancelled: %s", len(left), self._target, ", ".join(left))
