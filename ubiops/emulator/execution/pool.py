"""The queue of one deployment version, and the instances that work on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from ubiops.deployment_package import PackageError
from ubiops.emulator.execution.instance import Instance
from ubiops.emulator.execution.running import RunningRequest

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a request ended: ``completed``, ``failed`` or ``cancelled``; ``request`` is what was read when it began."""

    status: str
    result: Any = None
    error_message: str | None = None
    memory_peak: int = 0
    request: RunningRequest | None = field(default=None, compare=False, repr=False)


CANCELLED = Outcome("cancelled", error_message="The request was cancelled")


class Backend(Protocol):
    """What a pool needs of the engine that owns it."""

    def new_instance(self, version_id: str) -> Instance:
        """An instance that will run the active package of a version."""

    async def execute(self, instance: Instance, request_id: str, request: RunningRequest | None) -> Outcome:
        """Let an instance answer a stored request, which is read where it isn't at hand."""

    def finish(self, request_id: str, outcome: Outcome) -> None:
        """Store how a request ended."""

    def instance_started(self, version_id: str) -> str | None:
        """Note that an instance came to life; gives what `instance_stopped` takes."""

    def instance_stopped(self, run_id: str | None) -> None:
        """Note its end."""


class Job:
    """A request on its way.

    Args:
        request_id: Id of the stored request.
        express: Whether someone waits for the result; such a request goes before those of a batch.
        timeout: Seconds that it may take: with the time in the queue if it is express, without otherwise.
        priority: 0 for one that goes before the others of its kind, else 1.
        request: The request itself, if it needn't be read again when it runs.
    """

    __slots__ = (
        *("_done", "attempt", "express", "priority", "request", "request_id", "settled", "timeout", "timer"),
        "verdict",
    )

    def __init__(
        self,
        request_id: str,
        *,
        express: bool,
        timeout: float,
        priority: int = 1,
        request: RunningRequest | None = None,
    ) -> None:
        self.request_id = request_id
        self.priority = priority
        self.request = request
        self.express = express
        self.timeout = timeout
        self.attempt: asyncio.Task[Outcome] | None = None
        self.verdict: Outcome | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.settled = False
        self._done: asyncio.Future[Outcome] | None = None

    @property
    def done(self) -> asyncio.Future[Outcome]:
        """Tells whoever waits how it ends; to be asked for before it does."""
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        return self._done

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever waits."""
        self.settled = True
        if self.timer is not None:
            self.timer.cancel()
        if self._done is not None and not self._done.done():
            self._done.set_result(outcome)


class _Queue:
    """Requests that wait, in the order in which they are taken: someone waits for the express ones."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[bool, int], deque[Job]] = {
            (express, priority): deque() for express in (True, False) for priority in (0, 1)
        }

    def append(self, job: Job) -> None:
        self._kinds[job.express, job.priority].append(job)

    def remove(self, job: Job) -> None:
        """Take one out, if it is there."""
        with contextlib.suppress(ValueError):
            self._kinds[job.express, job.priority].remove(job)

    def take(self) -> Job | None:
        """The next one."""
        return next((jobs.popleft() for jobs in self._kinds.values() if jobs), None)

    def count(self, *, express: bool) -> int:
        return sum(len(jobs) for (kind, _), jobs in self._kinds.items() if kind == express)

    def __bool__(self) -> bool:
        return any(self._kinds.values())


class Pool:
    """Hands the requests of one version to its instances, and starts and stops these as needed.

    Attributes:
        maximum_instances (int): Most instances at a time.
        minimum_instances (int): Instances that stay when there is nothing to do.
        maximum_idle_time (float): Seconds without a request after which an instance stops.
    """

    def __init__(self, backend: Backend, version_id: str) -> None:
        self.maximum_instances = 1
        self.minimum_instances = 0
        self.maximum_idle_time = 300.0
        self._backend = backend
        self._version_id = version_id
        self._jobs: dict[str, Job] = {}
        self._queue = _Queue()
        self._idle: deque[asyncio.Future[Job | None]] = deque()
        self._servers: set[asyncio.Task[None]] = set()
        self._generation = 0
        self._closed = False

    def queued(self, *, express: bool) -> int:
        """How many requests of a kind wait for an instance."""
        return self._queue.count(express=express)

    def submit(self, *jobs: Job) -> None:
        """Queue requests."""
        for job in jobs:
            self._jobs[job.request_id] = job
            self._queue.append(job)
            if job.express:
                self._limit(job)
        self._dispatch()

    def cancel(self, request_id: str) -> None:
        """Take a request out of the queue, or off its instance; one that has ended is left alone."""
        if request_id in self._jobs:
            self._abort(self._jobs[request_id], CANCELLED)

    def restart(self) -> None:
        """Let new instances take the place of those there are, each once it has finished its request."""
        self._generation += 1
        while self._idle:
            self._idle.popleft().set_result(None)

    def keep_minimum(self) -> None:
        """Start as many instances as are to stay."""
        while len(self._servers) < min(self.minimum_instances, self.maximum_instances) and not self._closed:
            self._servers.add(asyncio.ensure_future(self._serve(None)))

    async def close(self) -> None:
        """Stop all instances at once; what isn't finished stays as it is stored."""
        self._closed = True
        self._generation += 1
        servers = list(self._servers)
        for server in servers:
            server.cancel()
        await asyncio.gather(*servers, return_exceptions=True)
        for job in self._jobs.values():
            job.settle(Outcome("failed", error_message="The instances of this version were stopped"))

    def _limit(self, job: Job) -> None:
        outcome = Outcome("failed", error_message=f"The request timed out after {job.timeout:g} seconds")
        job.timer = asyncio.get_running_loop().call_later(job.timeout, self._abort, job, outcome)

    def _abort(self, job: Job, outcome: Outcome) -> None:
        if job.attempt is not None:
            job.verdict = outcome
            job.attempt.cancel()
            return
        # An instance may have taken the job and not begun; it will see that it is settled.
        self._queue.remove(job)
        self._settle(job, outcome)

    def _settle(self, job: Job, outcome: Outcome) -> None:
        self._jobs.pop(job.request_id, None)
        self._backend.finish(job.request_id, outcome)
        job.settle(outcome)

    def _dispatch(self) -> None:
        while self._queue and not self._closed:
            if self._idle:
                self._idle.popleft().set_result(self._queue.take())
            elif len(self._servers) < self.maximum_instances:
                self._servers.add(asyncio.ensure_future(self._serve(self._queue.take())))
            else:
                return

    async def _serve(self, job: Job | None) -> None:
        """The life of an instance: from its first request until it is idle for too long, or out of date.

        Without a request, it is started ahead of the first.
        """
        generation = self._generation
        instance = self._backend.new_instance(self._version_id)
        run_id = self._backend.instance_started(self._version_id)
        try:
            if job is None:
                await instance.start()
                job = await self._next_or_idle() if generation == self._generation else None
            while job is not None:
                await self._work(job, instance)
                job = await self._next_or_idle() if generation == self._generation else None
        except PackageError:
            # Its traceback is in the log. It is not started again and again: the next request tries it again.
            generation = self._generation
        finally:
            await instance.stop()
            self._backend.instance_stopped(run_id)
            self._servers.remove(asyncio.current_task())  # type: ignore[arg-type]
            self._dispatch()
            if generation != self._generation:
                self.keep_minimum()

    async def _work(self, job: Job, instance: Instance) -> None:
        if job.settled:
            return
        if not job.express:
            self._limit(job)
        job.attempt = asyncio.ensure_future(self._backend.execute(instance, job.request_id, job.request))
        try:
            outcome = await job.attempt
        except asyncio.CancelledError:
            if job.verdict is None:
                raise
            await instance.stop()
            outcome = job.verdict
        except Exception:
            _logger.exception("Request %s failed inside the emulator", job.request_id)
            outcome = Outcome("failed", error_message="The emulator failed to run the request; its log says why")
        self._settle(job, outcome)

    async def _next_or_idle(self) -> Job | None:
        job = self._queue.take()
        if job is not None:
            return job
        idle: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        while True:
            await asyncio.wait({idle}, timeout=self.maximum_idle_time)
            if idle.done():
                return idle.result()
            if len(self._idle) > self.minimum_instances:
                self._idle.remove(idle)
                return None
