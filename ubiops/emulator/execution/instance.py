"""Instances: the worker processes of a version, as the emulator sees them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import ubiops
from ubiops.deployment_package import PackageError, RequestError
from ubiops.emulator.dates import now
from ubiops.emulator.execution.masks import Masks
from ubiops.emulator.ids import new_id

_WORKER = (resources.files("ubiops.emulator.execution") / "worker.py").read_text(encoding="utf-8")
_LIBRARY = str(Path(ubiops.__file__).resolve().parents[1])
"""The folder or zip that contains ubiops."""

_CHUNK = 2**16
_UPDATE = b'{"update": '

LogSink = Callable[[str, list[str]], None]
"""Takes a level, ``info`` or ``error``, and lines that the user's code wrote."""

UpdateSink = Callable[[str], None]
"""Takes a text that the user's code passed to ``context["streaming_update"]``."""


def _drop(_text: str) -> None:
    """Ignore an update."""


@dataclass(frozen=True)
class Package:
    """What an instance runs.

    Attributes:
        directory: Root directory of the unpacked package.
        context: The ``context`` of the user's ``__init__``.
        environment: All variables of the process.
        secrets: Values that must not appear in a log.
        ports: The free ports that its processes listen on, by the ports that the code declares.
        interpreter: Path of the Python that runs it.
        library: The folder or zip from which that Python imports ubiops.
    """

    directory: Path
    context: dict[str, Any]
    environment: dict[str, str]
    secrets: list[str] = field(default_factory=list)
    ports: dict[int, int] = field(default_factory=dict)
    interpreter: str = sys.executable
    library: str = _LIBRARY


STATUSES = ("pending", "initialising", "running", "stopping")
"""The states of an instance, in order."""

_HAPPENED = {
    "pending": "The instance was requested",
    "initialising": "The instance was scheduled on this machine and loads its package",
    "running": "The instance takes requests",
    "stopping": "The instance is stopping",
}


@dataclass(frozen=True)
class Event:
    """Something that happened to an instance."""

    description: str
    id: str = field(default_factory=new_id)
    time_created: str = field(default_factory=now)


class Instance:
    """Processes that run one package; each answers one request at a time.

    Args:
        describe: Returns what to run; called once.
        log: Takes what the user's code writes outside of requests.
        processes: How many processes there are.

    Attributes:
        id (str): Its id.
        status (str): One of `STATUSES`.
        instance_type (str | None): Name of its type; None until it is scheduled.
        package (Package | None): What it runs; None until it is scheduled.
        processes (list[Process]): Its processes, started or not.
        events (list[Event]): What happened to it, oldest first.
        ready (Callable[[], None]): Called when it begins to take requests.
    """

    def __init__(self, describe: Callable[[], Package], log: LogSink, processes: int = 1) -> None:
        self.id = new_id()
        self.status = STATUSES[0]
        self.instance_type: str | None = None
        self.package: Package | None = None
        self.events = [Event(_HAPPENED[self.status])]
        self.ready: Callable[[], None] = lambda: None
        self.processes = [Process(self._describe_once, log, number, self.note) for number in range(processes)]
        self._describe = describe

    def _describe_once(self) -> Package:
        if self.package is None:
            self.package = self._describe()
        return self.package

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that were started and not lost."""
        return [process.pid for process in self.processes if process.pid is not None]

    @property
    def ports(self) -> dict[int, int]:
        """The ports that its processes listen on, by those that the code declares."""
        return self.package.ports if self.package is not None else {}

    def note(self, status: str) -> None:
        """Note that one of its processes reached a status; only the first one to do so counts."""
        if STATUSES.index(status) > STATUSES.index(self.status):
            self.status = status
            self.events.append(Event(_HAPPENED[status]))
            if status == "running":
                self.ready()

    async def stop(self) -> None:
        """Kill its processes, for good."""
        self.note("stopping")
        for process in self.processes:
            await process.retire()


class Process:
    """A worker process, started when it is first needed, and again after it was lost.

    Args:
        describe: Returns what to run; called at each start.
        log: Takes what the user's code writes.
        number: Its number in the instance, from 0.
        note: Called with its new status: ``initialising``, ``running``.

    Attributes:
        number (int): The same.
        memory_peak (int): Peak memory of the process in bytes, as of its last answer.
        is_retired (bool): Whether it must not run again.
    """

    def __init__(
        self, describe: Callable[[], Package], log: LogSink, number: int = 0, note: Callable[[str], None] = _drop
    ) -> None:
        self.number = number
        self.memory_peak = 0
        self.is_retired = False
        self._describe = describe
        self._log = log
        self._note = note
        self._worker: _Worker | None = None

    @property
    def pid(self) -> int | None:
        """Id of the process; None if none runs."""
        return self._worker.pid if self._worker is not None and not self._worker.has_exited else None

    async def start(self) -> dict[str, bool]:
        """Start the process and let it load the package; returns ``has_request_method``, ``has_requests_method``.

        Raises:
            PackageError: The package can't be used.
            RetiredError: It must not run again.
        """
        self._check_retired()
        package = self._describe()
        self._note("initialising")
        self._worker = worker = await _Worker.start(package, self._write)
        if self.is_retired:
            # Retired meanwhile, before there was a process to stop.
            await self.stop()
        self._check_retired()
        message = {"directory": str(package.directory), "context": package.context}
        try:
            methods: dict[str, bool] = await worker.exchange(message)
        except RequestError as error:
            self._check_retired()
            await self.stop()
            raise PackageError(str(error)) from error
        self._note("running")
        return methods

    async def run(self, data: Any, context: dict[str, Any], log: LogSink, update: UpdateSink) -> Any:
        """Let the user's code answer a request; returns what it returned. Its updates are forwarded as they come.

        Raises:
            PackageError: A new process couldn't load the package.
            RetiredError: There is no process, and must not be one again.
            RequestError: The user's code failed.
            WorkerLostError: The process ended instead.
        """
        previous, self._log = self._log, log
        try:
            if self._worker is None:
                await self.start()
            assert self._worker is not None
            answer = await self._worker.exchange({"data": data, "context": context}, update)
        except WorkerLostError:
            await self.stop()
            raise
        finally:
            self._log = previous
        self.memory_peak = answer["memory_peak"]
        return answer["result"]

    def _write(self, level: str, lines: list[str]) -> None:
        self._log(level, lines)

    async def stop(self) -> None:
        """Kill the process and what it started."""
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.kill()

    async def retire(self) -> None:
        """Stop it for good."""
        self.is_retired = True
        await self.stop()

    def _check_retired(self) -> None:
        if self.is_retired:
            raise RetiredError


class RetiredError(Exception):
    """The instance was stopped; its request may run on another one."""


class WorkerLostError(RequestError):
    """The process ended in the middle of an exchange.

    Args:
        code: Its exit code; if negative, the signal that ended it.

    Attributes:
        was_killed (bool): Whether it was killed, as by the system when memory runs out.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"The instance stopped unexpectedly ({_ending(code)})")
        self.was_killed = code == -signal.SIGKILL


class _Line(asyncio.Protocol):
    """The connection to a worker. An update is forwarded in the turn of the event loop in which it arrives."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._parts: list[bytes] = []
        self._update: UpdateSink = _drop
        self._answer: asyncio.Future[bytes | None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, message: bytes, update: UpdateSink) -> asyncio.Future[bytes | None]:
        """Send a message; returns the future of the answer, which is None if the connection was lost."""
        self._update = update
        self._answer = answer = asyncio.get_running_loop().create_future()
        if self.transport.is_closing():
            answer.set_result(None)
        self.transport.write(message + b"\n")
        return answer

    def data_received(self, data: bytes) -> None:
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._take(b"".join([*self._parts, end]))
            self._parts.clear()
        if rest:
            self._parts.append(rest)

    def _take(self, message: bytes) -> None:
        if message.startswith(_UPDATE):
            self._update(json.loads(message)["update"])
        else:
            self._settle(message)

    def connection_lost(self, _error: Exception | None) -> None:
        self._settle(None)

    def _settle(self, message: bytes | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)


class _Worker:
    """A running process: its connection, its standard streams, its end."""

    def __init__(self, process: asyncio.subprocess.Process, line: _Line, outputs: list[_Output]) -> None:
        self._process = process
        self._line = line
        self._outputs = outputs
        self._exited = asyncio.ensure_future(process.wait())
        # A process that the user's code forked may keep the socket open, so the end of the worker wouldn't close it.
        self._exited.add_done_callback(lambda _: line.transport.abort())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_exited(self) -> bool:
        return self._exited.done()

    @classmethod
    async def start(cls, package: Package, log: LogSink) -> _Worker:
        ours, theirs = socket.socketpair()
        masks = Masks(package.secrets)
        outputs = [_Output("info", log, masks), _Output("error", log, masks)]
        with theirs:
            _, line = await asyncio.get_running_loop().create_connection(_Line, sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(package.interpreter, "-X", "utf8", "-c", _WORKER, str(theirs.fileno()), package.library),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=outputs[0].writer,
                    stderr=outputs[1].writer,
                    pass_fds=[theirs.fileno()],
                    cwd=package.directory,
                    env=package.environment,
                    # Its own group, so that it can be killed together with what it starts, and Ctrl-C doesn't reach it.
                    start_new_session=True,
                )
            except BaseException:
                line.transport.close()
                for output in outputs:
                    output.close()
                raise
        for output in outputs:
            output.open()
        return cls(process, line, outputs)

    async def exchange(self, message: dict[str, Any], update: UpdateSink = _drop) -> dict[str, Any]:
        """Send a message and wait for the answer; updates may come before it.

        Raises:
            RequestError: The answer is an error.
            WorkerLostError: The process ended instead.
        """
        line = await self._line.ask(json.dumps(message).encode(), update)
        # The worker flushed its streams before it answered, so everything that it wrote has arrived.
        for output in self._outputs:
            output.finish()
        if line is None:
            self._kill_group()
            raise WorkerLostError(await self._exited)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RequestError(answer["error"])
        return answer

    async def kill(self) -> None:
        self._kill_group()
        self._line.transport.close()
        for output in self._outputs:
            output.close()
        await self._exited

    def _kill_group(self) -> None:
        # PermissionError: macOS raises it for a group that has only zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


class _Output:
    """A standard stream of the process, as lines.

    Read as it is written, and at the end of each exchange to its last byte, so that every line is attributed to the
    request that wrote it.
    """

    def __init__(self, level: str, log: LogSink, masks: Masks) -> None:
        self._log = log
        self._level = level
        self._masks = masks
        self._rest = b""
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)

    def open(self) -> None:
        """Begin to read, once the process has its end of the pipe."""
        os.close(self.writer)
        self.writer = -1
        asyncio.get_running_loop().add_reader(self._reader, self._read)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._reader, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._reader)
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._write(lines)
        return True

    def finish(self) -> None:
        """Read what is available, and treat an unfinished line as a line."""
        # A pipe contains at most one chunk, so a process that keeps writing doesn't keep us here. A process that was
        # stopped in the middle of an exchange has no pipe any more.
        if self._reader >= 0:
            self._read()
        if self._rest:
            self._write([self._rest])
            self._rest = b""

    def _write(self, lines: list[bytes]) -> None:
        if lines:
            self._log(self._level, [self._masks(line.decode(errors="replace")) for line in lines])

    def close(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
        if self._reader >= 0:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._reader)
            os.close(self._reader)
            self._reader = -1
