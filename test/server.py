"""A server of the tests' own, over real sockets: it records what arrives and answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote


class Recorded(NamedTuple):
    """A request as it came over the wire."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def path(self) -> str:
        """The path, still encoded."""
        return self.target.partition("?")[0]

    @property
    def segments(self) -> list[str]:
        """The parts of the path below the version, decoded."""
        return [unquote(part) for part in self.path.split("/")[2:]]

    @property
    def query(self) -> dict[str, str]:
        query = self.target.partition("?")[2]
        return dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    """What to answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Answer:
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    def raw(self) -> bytes:
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        lines = [
            f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Status')}",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


_REASONS = {status: phrase for status, (phrase, _) in BaseHTTPRequestHandler.responses.items()}
Behaviour = Callable[[Recorded], "Answer | bytes | None"]


class Server:
    """Serves on a free loopback port until it is closed.

    `answers` are given in turn, then `default` again and again; each is an `Answer`, a function of the request that
    returns one, or `bytes`: these are written as they are and the connection is closed. None closes it at once.
    """

    def __init__(self, tls: Any = None) -> None:
        self.renew()
        self.connections = 0
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                with server._lock:
                    server.connections += 1
                    self.number = server.connections
                super().setup()

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, ValueError):
                    # The client went away, perhaps amid a chunk.
                    self.close_connection = True

            def _handle(self) -> None:
                request = Recorded(self.command, self.path, self.headers, self._read_body(), self.number)  # type: ignore[arg-type]
                with server._lock:
                    server.requests.append(request)
                    answer = server.answers.pop(0) if server.answers else server.default
                if callable(answer):
                    answer = answer(request)
                if isinstance(answer, Answer):
                    self.wfile.write(answer.raw() if self.command != "HEAD" else answer._replace(body=b"").raw())
                    return
                if answer is not None:
                    self.wfile.write(answer)
                self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle

            def _read_body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                    return body
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self._listener = Listener(("127.0.0.1", 0), Handler)
        self.port = self._listener.server_address[1]
        if tls is not None:
            self._listener.socket = tls.wrap_socket(self._listener.socket, server_side=True)
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/v2.1"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.002,), daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Forgets what came and what it was to answer."""
        self.requests: list[Recorded] = []
        self.answers: list[Answer | bytes | Behaviour | None] = []
        self.default: Answer | bytes | Behaviour | None = Answer.json({})

    @property
    def last(self) -> Recorded:
        return self.requests[-1]

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
