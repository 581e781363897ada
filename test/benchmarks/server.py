"""A server in a process of its own that answers as fast as Python can: ready answers, each in one write."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from test.benchmarks.data import (
    BLOB_PATH,
    BLOBS_PATH,
    DEPLOYMENT,
    DEPLOYMENT_PATH,
    FILES_PATH,
    REQUESTS_PATH,
    REVISIONS_PATH,
    STORAGE_PATH,
)
from test.benchmarks.data import request_records as _request_records

SIZE = 1 << 30
_BLOCK = bytes(1 << 20)
_CONNECTIONS = "/connections"


@contextmanager
def serving(latency: float = 0) -> Iterator[str]:
    """A running server's URL; it waits for so many seconds before each answer."""
    command = [sys.executable, "-m", "test.benchmarks.server", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v2.1"
        finally:
            process.kill()


def connections(url: str) -> int:
    """Number of connections that the server has accepted before this one."""
    import urllib3

    with urllib3.PoolManager() as http:
        answer: int = http.request("GET", url + _CONNECTIONS).json()
        return answer - 1


def _answer(value: Any) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


_DOWNLOAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    f'Content-Disposition: attachment; filename="blob.bin"\r\nContent-Length: {SIZE}\r\n\r\n'
).encode()
_ANSWERS = {
    f"GET /v2.1{DEPLOYMENT_PATH}": _answer(DEPLOYMENT),
    f"GET /v2.1{REQUESTS_PATH}": _answer(_request_records(50)),
    f"POST /v2.1{BLOBS_PATH}": _answer({"id": "blob", "filename": "blob.bin", "size": SIZE}),
    f"POST /v2.1{REVISIONS_PATH}": _answer({"revision": "revision", "build": "build"}),
    f"PUT /v2.1{STORAGE_PATH}": _answer({}),
    # What the reference sends.
    f"POST /v2.1{STORAGE_PATH}": _answer({}),
}
_DOWNLOADS = (f"GET /v2.1{BLOB_PATH}", f"GET /v2.1{STORAGE_PATH}")


def _serve(connection: socket.socket, number: int, latency: float) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waste = bytearray(_BLOCK)
    received = b""
    while data := connection.recv(65536):
        received += data
        head, end, rest = received.partition(b"\r\n\r\n")
        if not end:
            continue
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        left = (int(length[1]) if length else 0) - len(rest)
        while left > 0:
            left -= connection.recv_into(waste)
        request = head.decode("latin-1").partition(" HTTP/")[0]
        time.sleep(latency)
        if request in _DOWNLOADS:
            connection.sendall(_DOWNLOAD)
            for _ in range(SIZE // len(_BLOCK)):
                connection.sendall(_BLOCK)
        elif request == f"GET /v2.1{_CONNECTIONS}":
            connection.sendall(_answer(number))
        elif FILES_PATH in request:
            host, port = connection.getsockname()
            connection.sendall(_answer({"url": f"http://{host}:{port}/v2.1{STORAGE_PATH}", "provider": "ubiops"}))
        else:
            connection.sendall(_ANSWERS[request])
        received = b""


def main() -> None:
    """Serve on a free port, which is printed first, until killed."""
    latency = float(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        number = 0
        while True:
            connection, _ = listener.accept()
            number += 1
            threading.Thread(target=_serve, args=(connection, number, latency), daemon=True).start()


if __name__ == "__main__":
    main()
