"""A server that leaves each connection to a function of the test's: for what no well-behaved server does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any


class RawServer:
    """Accepts connections on a free loopback port until it is closed.

    Args:
        serve: Called with the server and each connection, in a thread of its own; the connection is closed after it.
        tls: A context to wrap the connections with.
        listen: Whether to accept connections from the start; else they are refused until `listen` is called.
    """

    def __init__(self, serve: Callable[[RawServer, socket.socket], None], tls: Any = None, listen: bool = True) -> None:
        self.connections = 0
        self.heads: list[str] = []
        self.closing = threading.Event()
        self._serve = serve
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/v2.1"
        if listen:
            self.listen()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def listen(self) -> None:
        self._listener.listen(64)
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._start(self._handle, connection)

    def _handle(self, connection: socket.socket) -> None:
        # The client may go away at any time, and so may the test.
        with suppress(OSError, ValueError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._serve(self, connection)

    def read_head(self, connection: socket.socket) -> str:
        """The request line and headers of the next request; the body is left unread."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = connection.recv(1)
            if not byte:
                raise ConnectionError("the client closed the connection")
            head += byte
        self.heads.append(head.decode("latin-1"))
        return self.heads[-1]

    def drip(self, connection: socket.socket, data: bytes, every: float = 0.05) -> None:
        """Send byte by byte, with a pause before each, until the server is closed."""
        for byte in data:
            if self.closing.wait(every):
                return
            connection.sendall(bytes([byte]))

    def close(self) -> None:
        self.closing.set()
        # On Linux a close alone doesn't wake the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()


def never_reading(server: RawServer, connection: socket.socket) -> None:
    """Leave the connection open, and leave it at that."""
    server.closing.wait()


def silent(server: RawServer, connection: socket.socket) -> None:
    """Read the request and never answer."""
    server.read_head(connection)
    server.closing.wait()


def writing(data: bytes) -> Callable[[RawServer, socket.socket], None]:
    """Read the request, write these bytes and close."""

    def serve(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        connection.sendall(data)

    return serve


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes from one socket to another, and its end."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
