"""WebSockets between callers and instances: each message is forwarded unchanged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from starlette.types import Receive, Send
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.http11 import Request
from websockets.uri import WebSocketURI

from ubiops.emulator.execution.listeners import Listener
from ubiops.emulator.services.headers import Headers
from ubiops.emulator.services.upstream import InstanceLostError, connect

LARGEST_MESSAGE = 64 * 2**20
"""Largest message, in bytes."""

_HANDSHAKE_TIMEOUT = 30.0
_OF_HANDSHAKE = b"sec-websocket-"
_CLOSED_BY_NOBODY = {1005: 1000, 1006: 1011, 1015: 1011}
"""Close codes that must not be sent, and the code to send instead."""


class _Protocol(ClientProtocol):
    """The client's side of a handshake, with the path and the headers of the caller's handshake."""

    def __init__(self, listener: Listener, target: bytes, headers: Headers, subprotocols: Iterable[Any]) -> None:
        path, _, query = target.decode("ascii").partition("?")
        uri = WebSocketURI(False, listener.host, listener.port, path, query)
        super().__init__(uri, subprotocols=list(subprotocols) or None, max_size=LARGEST_MESSAGE)
        self._headers = headers

    def connect(self) -> Request:
        request = super().connect()
        del request.headers["Host"]
        for name, value in self._headers:
            if not name.lower().startswith(_OF_HANDSHAKE):
                request.headers[name.decode("latin-1")] = value.decode("latin-1")
        return request


class Tunnel:
    """A WebSocket to an instance.

    Use it as an asynchronous context manager, which opens it and closes it.

    Args:
        listener: Where the instance listens.
        is_still: Whether the instance still listens there; asked once connected.
        target: Path and query.
        headers: Headers of the handshake.
        subprotocols: What the caller offers.

    Attributes:
        subprotocol (str | None): What the instance has chosen.
    """

    def __init__(
        self,
        listener: Listener,
        is_still: Callable[[], bool],
        target: bytes,
        headers: Headers,
        subprotocols: Iterable[str],
    ) -> None:
        self._listener = listener
        self._is_still = is_still
        self._protocol = _Protocol(listener, target, headers, subprotocols)
        self._connection: ClientConnection

    async def __aenter__(self) -> Tunnel:
        """Open it.

        Raises:
            InvalidStatus: The instance refused it with a status.
            InstanceLostError: The instance didn't answer, or its answer doesn't open a WebSocket.
        """
        # A busy instance may leave pings unanswered; its end is noticed without them.
        connection = ClientConnection(self._protocol, ping_interval=None)
        await connect(self._listener, self._is_still, lambda: connection)
        self._connection = connection
        try:
            await asyncio.wait_for(connection.handshake(user_agent_header=None), _HANDSHAKE_TIMEOUT)
        except InvalidStatus:
            raise
        except (InvalidHandshake, OSError, EOFError, asyncio.TimeoutError) as error:
            connection.transport.abort()
            raise InstanceLostError(f"The instance doesn't open a WebSocket: {error}") from error
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._connection.transport.abort()

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    @property
    def cookies(self) -> Headers:
        """The cookies that the instance sets in its answer."""
        response = self._connection.response
        values = response.headers.get_all("Set-Cookie") if response is not None else []
        return [(b"set-cookie", value.encode("latin-1")) for value in values]

    async def relay(self, receive: Receive, send: Send) -> None:
        """Forward messages both ways, until one side closes it."""
        from_caller = asyncio.ensure_future(self._from_caller(receive))
        try:
            await self._from_instance(send)
        finally:
            from_caller.cancel()
            await asyncio.gather(from_caller, return_exceptions=True)

    async def _from_caller(self, receive: Receive) -> None:
        with contextlib.suppress(ConnectionClosed):
            while (message := await receive())["type"] == "websocket.receive":
                text = message.get("text")
                await self._connection.send(text if text is not None else message["bytes"])
            await self._connection.close(_sendable(message.get("code")), message.get("reason") or "")

    async def _from_instance(self, send: Send) -> None:
        # The caller's side may be closed already.
        with contextlib.suppress(RuntimeError):
            try:
                while True:
                    message = await self._connection.recv()
                    kind = "text" if isinstance(message, str) else "bytes"
                    await send({"type": "websocket.send", kind: message})
            except ConnectionClosed:
                code, reason = self._connection.close_code, self._connection.close_reason
                await send({"type": "websocket.close", "code": _sendable(code), "reason": reason or ""})


def _sendable(code: int | None) -> int:
    return _CLOSED_BY_NOBODY.get(code or 1005, code or 1000)
