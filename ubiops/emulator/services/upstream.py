"""The side of the proxy that talks to an instance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import h11

from ubiops.emulator.errors import ApiError
from ubiops.emulator.execution.listeners import Listener
from ubiops.emulator.services.headers import Headers, end_to_end, framing

Protocol = TypeVar("Protocol", bound=asyncio.Protocol)

Receive = Callable[[], Awaitable[bytes | None]]
"""Returns the next block of a request's body; None at its end."""

_BLOCK = 2**16
_LARGEST_HEAD = 2**18
_CONNECT_TIMEOUT = 5.0


class InstanceLostError(ApiError):
    """502: the instance took the request, but its answer is missing or incomplete."""

    def __init__(self, message: str) -> None:
        super().__init__(502, message)


class Exchange:
    """A request to an instance, and its answer.

    Use it as an asynchronous context manager, which opens the connection and closes it.

    Args:
        listener: Where the instance listens.
        is_still: Whether the instance still listens there; asked once connected.
    """

    def __init__(self, listener: Listener, is_still: Callable[[], bool]) -> None:
        self._listener = listener
        self._is_still = is_still
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Exchange:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        transport, protocol = await connect(
            self._listener, self._is_still, lambda: asyncio.StreamReaderProtocol(reader, loop=loop)
        )
        self._reader, self._writer = reader, asyncio.StreamWriter(transport, protocol, reader, loop)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._writer.transport.abort()

    async def send(self, method: str, target: bytes, headers: Headers, given: Headers, body: Receive) -> None:
        """Send the whole request, unless the instance stops reading it.

        Args:
            method: Its method.
            target: Path and query.
            headers: Headers for the instance.
            given: Headers as received, which state the length of the body.
            body: The body.
        """
        own = [(b"connection", b"close"), *framing(given)]
        with contextlib.suppress(OSError, h11.LocalProtocolError):
            await self._send(h11.Request(method=method, target=target, headers=[*headers, *own]))
            while (block := await body()) is not None:
                await self._send(h11.Data(data=block))
            await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Event) -> None:
        data = self._connection.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def head(self) -> tuple[int, Headers]:
        """The status and the headers of the answer.

        Raises:
            InstanceLostError: The instance didn't answer.
        """
        while not isinstance(event := await self._next(), h11.Response):
            # Informational answers, such as 100 and 103, come before it.
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise InstanceLostError("The instance closed the connection without an answer")
        return event.status_code, end_to_end(event.headers)

    async def block(self) -> bytes | None:
        """The next part of the body; None at its end.

        Raises:
            InstanceLostError: The end is missing.
        """
        event = await self._next()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return None
        raise InstanceLostError("The instance closed the connection before the end of its answer")

    async def _next(self) -> object:
        while True:
            try:
                event = self._connection.next_event()
                if event is not h11.NEED_DATA:
                    return event
                self._connection.receive_data(await self._reader.read(_BLOCK))
            except (OSError, h11.RemoteProtocolError) as error:
                raise InstanceLostError(f"The instance's answer can't be read: {error}") from error


async def connect(
    listener: Listener, is_still: Callable[[], bool], protocol: Callable[[], Protocol]
) -> tuple[asyncio.WriteTransport, Protocol]:
    """Connect to an instance.

    Raises:
        InstanceLostError: It refuses the connection, or the port is no longer the instance's.
    """
    opened = asyncio.get_running_loop().create_connection(protocol, listener.host, listener.port)
    try:
        transport, connected = await asyncio.wait_for(opened, _CONNECT_TIMEOUT)
    except (OSError, asyncio.TimeoutError) as error:
        raise InstanceLostError(f"The instance refuses the connection: {error}") from error
    # Another process may have taken the port since its owner was looked up: if the same socket listened before and
    # after, it is the one that accepted the connection.
    if not is_still():
        transport.abort()
        raise InstanceLostError("The instance has closed its port")
    return transport, connected
