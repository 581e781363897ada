"""The queue of one deployment version, and the instances that work it off."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from ubiops.deployment_package import PackageError
from ubiops.emulator.execution.instance import Instance, Process, RetiredError
from ubiops.emulator.execution.running import RunningRequest

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a request ended: ``completed``, ``failed`` or ``cancelled``; ``request`` is as read at its start."""

    status: str
    result: Any = None
    error_message: str | None = None
    memory_peak: int = 0
    request: RunningRequest | None = field(default=None, compare=False, repr=False)


_STARTING = ("pending", "initialising")

_STOPPED = -1
"""The generation of an instance that was stopped individually."""

CANCELLED = Outcome("cancelled", error_message="The request was cancelled")


class Backend(Protocol):
    """What a pool needs from the engine that owns it."""

    def new_instance(self, version_id: str, processes: int) -> Instance:
        """An instance that will run the active package of a version."""

    async def execute(self, process: Process, request_id: str, request: RunningRequest | None) -> Outcome:
        """Let a process answer a stored request, which is read unless it is passed.

        Raises:
            RetiredError: The process is retired, and the request has to run on another one.
        """

    def finish(self, request_id: str, outcome: Outcome) -> None:
        """Store how a request ended."""

    def instance_started(self, version_id: str, instance: Instance) -> None:
        """Store that an instance started, and its type."""

    def instance_stopped(self, instance: Instance) -> None:
        """Store that an instance stopped."""


class Job:
    """A queued or running request.

    Args:
        request_id: Id of the stored request.
        express: Whether someone waits for the result; such a request takes precedence over those of a batch.
        timeout: Seconds that it may take; for an express request, the time in the queue counts too.
        priority: 0 for precedence over others of its kind, else 1.
        request: The request itself, unless it is to be read when it runs.
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
        """The future of its outcome; use it before the request ends."""
        if self._done is None:
            self._done = asyncio.get_running_loop().create_future()
        return self._done

    def settle(self, outcome: Outcome) -> None:
        """Set the outcome for whoever waits for it."""
        self.settled = True
        if self.timer is not None:
            self.timer.cancel()
        if self._done is not None and not self._done.done():
            self._done.set_result(outcome)


class _Queue:
    """Waiting requests, in the order in which they are taken: express ones first, since someone waits for them."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[bool, int], deque[Job]] = {
            (express, priority): deque() for express in (True, False) for priority in (0, 1)
        }

    def append(self, job: Job) -> None:
        self._kinds[job.express, job.priority].append(job)

    def put_back(self, job: Job) -> None:
        """Put a request that was taken back at the front of its kind."""
        self._kinds[job.express, job.priority].appendleft(job)

    def remove(self, job: Job) -> None:
        """Remove a request, if it is in the queue."""
        with contextlib.suppress(ValueError):
            self._kinds[job.express, job.priority].remove(job)

    def take(self) -> Job | None:
        """Take the next request."""
        return next((jobs.popleft() for jobs in self._kinds.values() if jobs), None)

    def count(self, *, express: bool) -> int:
        return sum(len(jobs) for (kind, _), jobs in self._kinds.items() if kind == express)

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))


class _Server:
    """A running instance, and the state of its processes.

    Attributes:
        instance: The instance.
        generation: The generation of the pool when it was started.
        working: Processes that take requests, or will.
        coming: Number of these that are being started ahead of their first request.
        idle: Futures of the processes that wait for a request.
        idle_since: When the last process became idle, by the clock of the event loop.
    """

    __slots__ = ("coming", "generation", "idle", "idle_since", "instance", "working")

    def __init__(self, instance: Instance, generation: int, coming: int) -> None:
        self.instance = instance
        self.generation = generation
        self.working = len(instance.processes)
        self.coming = coming
        self.idle: list[asyncio.Future[Job | None]] = []
        self.idle_since = 0.0

    @property
    def is_idle(self) -> bool:
        return 0 < len(self.idle) == self.working

    def dismiss(self) -> None:
        """End its idle processes."""
        while self.idle:
            self.idle.pop().set_result(None)


class Pool:
    """Distributes the requests of one version to its instances, and starts and stops these as needed.

    Attributes:
        maximum_instances (int): Most instances at a time.
        minimum_instances (int): Instances that keep running when there is nothing to do.
        maximum_idle_time (float): Seconds without a request after which an instance stops.
        instance_processes (int): How many requests an instance answers at a time.
        is_gradual (bool): Whether an instance is started only when all others have been.
    """

    def __init__(self, backend: Backend, version_id: str) -> None:
        self.maximum_instances = 1
        self.minimum_instances = 0
        self.maximum_idle_time = 300.0
        self.instance_processes = 1
        self.is_gradual = False
        self._backend = backend
        self._version_id = version_id
        self._jobs: dict[str, Job] = {}
        self._queue = _Queue()
        self._servers: dict[asyncio.Task[None], _Server] = {}
        self._generation = 0
        self._closed = False

    @property
    def instances(self) -> list[Instance]:
        """The instances, oldest first."""
        return [server.instance for server in self._servers.values()]

    def queued(self, *, express: bool | None = None) -> int:
        """Number of requests, of one kind or of both, that wait for an instance."""
        return len(self._queue) if express is None else self._queue.count(express=express)

    def submit(self, *jobs: Job) -> None:
        """Queue requests."""
        for job in jobs:
            self._jobs[job.request_id] = job
            self._queue.append(job)
            if job.express:
                self._limit(job)
        self._dispatch()

    def cancel(self, request_id: str) -> None:
        """Remove a request from the queue or its instance; one that has ended is left alone."""
        if request_id in self._jobs:
            self._abort(self._jobs[request_id], CANCELLED)

    def restart(self) -> None:
        """Replace all instances, each once it has finished its requests."""
        self._generation += 1
        for server in self._servers.values():
            server.dismiss()

    def keep_minimum(self) -> None:
        """Start instances up to the minimum."""
        while len(self._servers) < min(self.minimum_instances, self.maximum_instances) and not self._closed:
            self._start(None)

    def replace_lost(self) -> None:
        """Replace the idle instances that have lost a process."""
        for server in self._servers.values():
            if server.is_idle and any(process.pid is None for process in server.instance.processes):
                server.generation = _STOPPED
                server.dismiss()

    async def stop_instance(self, instance: Instance) -> None:
        """Stop an instance at once; its requests fail, or run on another one if their version retries them."""
        for server in self._servers.values():
            if server.instance is instance:
                server.generation = _STOPPED
                server.dismiss()
        await instance.stop()

    async def close(self) -> None:
        """Stop all instances at once; the stored state of unfinished requests doesn't change."""
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
        # An instance may have taken the job without having begun; it will see that the job is settled.
        self._queue.remove(job)
        self._settle(job, outcome)

    def _settle(self, job: Job, outcome: Outcome) -> None:
        self._jobs.pop(job.request_id, None)
        self._backend.finish(job.request_id, outcome)
        job.settle(outcome)

    def _dispatch(self) -> None:
        while self._queue and not self._closed:
            idle = next((server for server in self._servers.values() if server.idle), None)
            if idle is not None:
                idle.idle.pop(0).set_result(self._queue.take())
            elif self._may_start():
                self._start(self._queue.take())
            else:
                return

    def _may_start(self) -> bool:
        """Whether the waiting requests need another instance, in addition to those that are being started."""
        starting = [server for server in self._servers.values() if server.instance.status in _STARTING]
        coming = sum(server.coming for server in self._servers.values())
        wanted = len(self._queue) > coming and not (self.is_gradual and starting)
        return wanted and len(self._servers) < self.maximum_instances

    def _start(self, job: Job | None) -> None:
        """Start an instance: for a request, or ahead of the first one."""
        instance = self._backend.new_instance(self._version_id, self.instance_processes)
        instance.ready = self._dispatch
        server = _Server(instance, self._generation, len(instance.processes) - (job is not None))
        self._servers[asyncio.ensure_future(self._serve(server, job))] = server

    async def _serve(self, server: _Server, job: Job | None) -> None:
        """Run an instance until it is idle for too long, or out of date."""
        instance = server.instance
        self._backend.instance_started(self._version_id, instance)
        first, *others = instance.processes
        failed = True
        try:
            ends = await asyncio.gather(
                self._work_off(server, first, job),
                *(self._work_off(server, process, None) for process in others),
                return_exceptions=True,
            )
            for error in ends:
                if error is not None and not isinstance(error, PackageError):
                    raise error
            failed = any(ends)
        finally:
            await instance.stop()
            self._backend.instance_stopped(instance)
            del self._servers[asyncio.current_task()]  # type: ignore[arg-type]
            self._dispatch()
            # An instance whose package can't be loaded has logged that. It isn't restarted over and over: the next
            # request tries again.
            if server.generation != self._generation and not failed:
                self.keep_minimum()

    async def _work_off(self, server: _Server, process: Process, job: Job | None) -> None:
        """Run a process of an instance."""
        try:
            if job is None:
                try:
                    await process.start()
                finally:
                    server.coming -= 1
                job = await self._next(server)
            while job is not None:
                await self._work(job, process)
                job = await self._next(server)
        except RetiredError:
            # It was settled while the process started.
            return
        finally:
            server.working -= 1
            self._dispatch()

    async def _work(self, job: Job, process: Process) -> None:
        if job.settled:
            return
        if not job.express:
            self._limit(job)
        job.attempt = asyncio.ensure_future(self._backend.execute(process, job.request_id, job.request))
        try:
            outcome = await job.attempt
        except asyncio.CancelledError:
            if job.verdict is None:
                raise
            await process.stop()
            outcome = job.verdict
        except RetiredError:
            job.attempt = None
            if not job.express and job.timer is not None:
                job.timer.cancel()
            self._queue.put_back(job)
            return
        except Exception:
            _logger.exception("Request %s failed inside the emulator", job.request_id)
            outcome = Outcome("failed", error_message="The emulator failed to run the request; its log says why")
        self._settle(job, outcome)

    async def _next(self, server: _Server) -> Job | None:
        """The next request for a process of an instance; None if the process is to end."""
        if server.generation != self._generation:
            return None
        job = self._queue.take()
        if job is not None:
            return job
        loop = asyncio.get_running_loop()
        idle: asyncio.Future[Job | None] = loop.create_future()
        server.idle.append(idle)
        server.idle_since = loop.time()
        patience = self.maximum_idle_time
        while True:
            await asyncio.wait({idle}, timeout=patience)
            if idle.done():
                return idle.result()
            patience = server.idle_since + self.maximum_idle_time - loop.time()
            if patience <= 0:
                if server.is_idle and sum(other.is_idle for other in self._servers.values()) > self.minimum_instances:
                    server.dismiss()
                    return None
                patience = self.maximum_idle_time
