"""Finds the instances of a version that serve a port: they listen on it, and pass the version's health check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import h11

from ubiops.clock import monotonic
from ubiops.emulator.execution.instance import Instance
from ubiops.emulator.execution.listeners import Listener, Listeners, is_taken
from ubiops.emulator.tables import Version

_INTERVAL, _TIMEOUT, _THRESHOLD = 10, 5, 3
"""Defaults of a health check: seconds between checks, seconds for an answer, and failures in a row."""

_WATCHED = 1.0
"""Seconds between two rounds of checks."""

_BLOCK = 2**16


@dataclass(frozen=True)
class Server:
    """An instance that serves a port.

    Attributes:
        version_id: Id of the version.
        instance: The instance.
        declared: The port that a service leads to.
        listener: Where the instance listens.
        find: Finds the present listener of the instance for a port.
    """

    version_id: str
    instance: Instance
    declared: int
    listener: Listener
    find: Callable[[int], Listener | None]

    def is_still(self) -> bool:
        """Whether the instance, and no other process, still listens there."""
        return self.find(self.declared) == self.listener


@dataclass
class _Health:
    """The results of the last checks of an instance."""

    checked: float
    failures: int
    passed: bool


class Readiness:
    """Finds the instances that serve a port.

    Args:
        instances: Returns the instances of a version, given its id.
        log: Takes a line for the log of a version, given its id.
    """

    def __init__(self, instances: Callable[[str], Collection[Instance]], log: Callable[[str, str], None]) -> None:
        self._instances = instances
        self._log = log
        self._health: WeakKeyDictionary[Instance, _Health] = WeakKeyDictionary()
        self._listeners: WeakKeyDictionary[Instance, Listeners] = WeakKeyDictionary()
        self._blocked: WeakKeyDictionary[Instance, set[int]] = WeakKeyDictionary()

    async def watch(self, versions: Callable[[], Iterable[tuple[Version, int]]]) -> None:
        """Check the health of instances at their intervals, whether or not they are used.

        Args:
            versions: Returns the versions that have a health check, each with a port that it serves.
        """
        while True:
            await asyncio.gather(*(self.ready(version, port) for version, port in versions()))
            await asyncio.sleep(_WATCHED)

    async def ready(self, version: Version, port: int) -> list[Server]:
        """The instances of a version that serve a port."""
        found = []
        for instance in self._instances(version.id):
            find = partial(self._find, instance)
            listener = find(port)
            if listener is not None:
                found.append(Server(version.id, instance, port, listener, find))
            elif instance.ports.get(port) is not None and is_taken(port):
                self._tell_blocked(version, instance, port)
        healthy = await asyncio.gather(*(self._is_healthy(server, version.health_check) for server in found))
        return [server for server, is_healthy in zip(found, healthy, strict=True) if is_healthy]

    def _find(self, instance: Instance, declared: int) -> Listener | None:
        own = instance.ports.get(declared)
        if own is None or not instance.pids:
            return None
        return self._listeners.setdefault(instance, Listeners()).find(declared, own, instance.pids)

    def _tell_blocked(self, version: Version, instance: Instance, port: int) -> None:
        told = self._blocked.setdefault(instance, set())
        if port not in told:
            told.add(port)
            self._log(
                version.id,
                f"Another process of this machine listens on the port {port}. An instance listens on one of its own"
                " in its place where Python's socket module opens it; a server that opens it otherwise (uvloop, or in"
                " another language) needs the declared port free",
            )

    async def _is_healthy(self, server: Server, check: dict[str, Any] | None) -> bool:
        if check is None:
            return True
        health = self._health.get(server.instance)
        interval = check.get("interval") or _INTERVAL
        threshold = check.get("failure_threshold") or _THRESHOLD
        if health is None or not health.passed or monotonic() - health.checked >= interval:
            passed = await self._passes(server, check)
            if health is not None and health.passed and not passed:
                self._log(server.version_id, f"An instance failed its health check on the port {server.declared}")
            failures = 0 if passed else (health.failures if health else 0) + 1
            # An instance isn't ready until it has passed once.
            stays = health is not None and health.passed and failures < threshold
            health = self._health[server.instance] = _Health(monotonic(), failures, passed or stays)
        return health.passed

    async def _passes(self, server: Server, check: dict[str, Any]) -> bool:
        port = check.get("port") or server.declared
        listener = server.find(port)
        if listener is None:
            return False
        asked = partial(_ask, listener, check["path"]) if check.get("path") else partial(_open, listener)
        try:
            return await asyncio.wait_for(asked(), check.get("timeout") or _TIMEOUT)
        except (OSError, asyncio.TimeoutError, h11.RemoteProtocolError):
            return False


async def _open(listener: Listener) -> bool:
    _, writer = await asyncio.open_connection(listener.host, listener.port)
    writer.transport.abort()
    return True


async def _ask(listener: Listener, path: str) -> bool:
    """Whether a GET is answered with a success status."""
    connection = h11.Connection(h11.CLIENT)
    reader, writer = await asyncio.open_connection(listener.host, listener.port)
    try:
        headers = [("Host", f"localhost:{listener.port}"), ("Connection", "close"), ("User-Agent", "ubiops-emulator")]
        writer.write(connection.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        while not isinstance(event := connection.next_event(), h11.Response):
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(_BLOCK))
            elif not isinstance(event, h11.InformationalResponse):
                return False
        return 200 <= event.status_code < 400
    finally:
        writer.transport.abort()
