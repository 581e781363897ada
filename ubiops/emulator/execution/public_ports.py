"""Public ports: TCP ports of this machine that lead to ports of versions; the predecessors of services."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

from ubiops.emulator.execution.ports import with_ports
from ubiops.emulator.execution.readiness import Server
from ubiops.emulator.store import Store
from ubiops.emulator.tables import Version

_HOST = "127.0.0.1"
_BLOCK = 2**16

Place = tuple[Version, int]
"""A version, and the port on which its code listens."""


class PublicPorts:
    """Keeps the public ports of versions open, on the loopback address only.

    Args:
        store: The database.
        ready: Returns the instances of a version that serve a port.
        log: Takes a line for the log of a version, given its id.
    """

    def __init__(
        self,
        store: Store,
        ready: Callable[[Version, int], Awaitable[list[Server]]],
        log: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._ready = ready
        self._log = log
        self._places: dict[int, Place] = {}
        self._servers: dict[int, asyncio.Server] = {}
        self._turn = asyncio.Lock()

    async def follow(self) -> None:
        """Open the ports that versions ask for, and close those that none asks for any more."""
        async with self._turn:
            with self._store.session() as session:
                self._places = {
                    port["public_port"]: (version, port["deployment_port"])
                    for version in session.scalars(with_ports())
                    for port in version.ports
                }
            for port in self._servers.keys() - self._places.keys():
                self._servers.pop(port).close()
            for port in self._places.keys() - self._servers.keys():
                await self._open(port)

    async def _open(self, port: int) -> None:
        try:
            self._servers[port] = await asyncio.start_server(partial(self._connect, port), _HOST, port)
        except OSError as error:
            version, _ = self._places[port]
            self._log(version.id, f"The public port {port} can't be opened: {error}")

    async def _connect(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward bytes both ways, until the instance has ended."""
        with contextlib.closing(writer), contextlib.suppress(OSError):
            for server in (await self._ready(*self._places[port]))[:1]:
                own_reader, own_writer = await asyncio.open_connection(server.listener.host, server.listener.port)
                with contextlib.closing(own_writer):
                    if server.is_still():
                        await _relay((reader, writer), (own_reader, own_writer))

    def close(self) -> None:
        """Close all."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        # A lock belongs to the event loop in which it was awaited.
        self._turn = asyncio.Lock()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _relay(caller: Stream, instance: Stream) -> None:
    asking = asyncio.ensure_future(_copy(caller[0], instance[1]))
    try:
        await _copy(instance[0], caller[1])
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(_BLOCK):
        writer.write(block)
        await writer.drain()
    writer.write_eof()
