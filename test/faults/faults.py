"""The faults of a server: each takes the right answer to a request, and does something else with it."""

from __future__ import annotations

import gzip
import json
import re
import socket
import ssl
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from test.server import Answer
from test.unit.raw_server import RawServer

Behaviour = Callable[[RawServer, socket.socket, bytes], None]
"""Called with the server, the connection and the right answer, once the request has been read."""

TOKEN = "t0ken-0f-the-tests"


class Fault(NamedTuple):
    """A way to misbehave.

    Attributes:
        behave: What is done in place of answering; the connection is closed after it unless `keeps`.
        harmless: Whether the answer is still the right one, so that no call may fail.
        before_request: Whether the request is left unread.
        surely_undone: Whether the server says that it did nothing, so that a create may be sent again.
        keeps: Whether the connection serves the next request too.
        tls: Returns the server's side of TLS, None where it speaks none; by itself None for HTTP without TLS.
        proxy: How the proxy on the way misbehaves; None for no proxy.
    """

    behave: Behaviour
    harmless: bool = False
    before_request: bool = False
    surely_undone: bool = False
    keeps: bool = False
    tls: Callable[[], ssl.SSLContext | None] | None = None
    proxy: Callable[[RawServer, socket.socket, str, int], None] | None = None


def _head_and_body(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # With a linger of no seconds a close is a reset.
    connection.close()


def changed(change: Callable[[bytes, bytes], bytes], **options: Any) -> Fault:
    """Head and body of the right answer, changed."""

    def behave(server: RawServer, connection: socket.socket, answer: bytes) -> None:
        connection.sendall(change(*_head_and_body(answer)))

    return Fault(behave, **options)


def instead(answer: Answer | bytes, **options: Any) -> Fault:
    """Always this answer."""
    raw = answer.raw() if isinstance(answer, Answer) else answer
    return Fault(lambda server, connection, right: connection.sendall(raw), **options)


def cut(part: float, reset: bool = False) -> Fault:
    """The right answer, cut off after a part of it."""

    def behave(server: RawServer, connection: socket.socket, answer: bytes) -> None:
        connection.sendall(answer[: int(len(answer) * part)])
        if reset:
            _reset(connection)

    return Fault(behave)


def _wait(server: RawServer, connection: socket.socket, answer: bytes) -> None:
    server.closing.wait()


def _wait_amid(server: RawServer, connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer[:-1])
    server.closing.wait()


def _drip(server: RawServer, connection: socket.socket, answer: bytes) -> None:
    server.drip(connection, answer, 1.0)


def _close(server: RawServer, connection: socket.socket, answer: bytes) -> None:
    """Nothing: the connection is closed after it."""


def _endless(line: bytes) -> Behaviour:
    def behave(server: RawServer, connection: socket.socket, answer: bytes) -> None:
        head, _, _ = answer.partition(b"\r\n")
        connection.sendall(head + b"\r\n" if line.startswith(b"X-") else b"")
        while not server.closing.is_set():
            connection.sendall(line * 1000)

    return behave


def framed(headers: bytes, body: Callable[[bytes], bytes] = lambda body: body, **options: Any) -> Fault:
    """The right body, in another frame."""
    return changed(lambda head, right: b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n" + body(right), **options)


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def _bomb() -> bytes:
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()


def _packed(body: bytes) -> bytes:
    return gzip.compress(body)


def json_body(text: bytes) -> Fault:
    """Another body than the right one, in a right frame."""
    return instead(Answer(200, text, {"Content-Type": "application/json"}), keeps=True)


def redirect(target: str) -> Fault:
    """A redirect; ``{other}`` and ``{own}`` are ports: of a server that must hear nothing, and of this one."""

    def behave(server: RawServer, connection: socket.socket, answer: bytes) -> None:
        other = getattr(server, "other_port", 1)
        location = target.format(other=other, own=server.port)
        connection.sendall(Answer(302, b"moved", {"Location": location}).raw())

    return Fault(behave, keeps=True)


def status(code: int, **headers: str) -> Fault:
    """An error of the server's that repeats the request, with what is secret in it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def behave(server: RawServer, connection: socket.socket, answer: bytes) -> None:
        body = json.dumps({"error": f"can't do {server.heads[-1]}"}).encode()
        connection.sendall(Answer(code, body, named).raw())

    return Fault(behave, keeps=True, surely_undone=code == 429)


CHUNKED = b"Transfer-Encoding: chunked"
FAULTS: dict[str, Fault] = {
    "nothing wrong": changed(lambda head, body: head + b"\r\n\r\n" + body, harmless=True, keeps=True),
    # Connections
    "closed before the request": Fault(_close, before_request=True),
    "reset before the request": Fault(lambda server, connection, answer: _reset(connection), before_request=True),
    "closed after the request": Fault(_close),
    "reset after the request": Fault(lambda server, connection, answer: _reset(connection)),
    "silence": Fault(_wait),
    "silence before the request": Fault(_wait, before_request=True),
    "silence amid the body": Fault(_wait_amid),
    "one byte a second": Fault(_drip),
    **{f"closed after {part:.0%} of the answer": cut(part) for part in (0.02, 0.1, 0.3, 0.6, 0.98)},
    **{f"reset after {part:.0%} of the answer": cut(part, reset=True) for part in (0.1, 0.6, 0.98)},
    # Heads
    "no HTTP": instead(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "a status of letters": instead(b"HTTP/1.1 abc OK\r\n\r\n"),
    "HTTP/2 of a sort": instead(b"HTTP/2 200\r\n\r\n{}"),
    "NUL in a header": changed(lambda head, body: head + b"\r\nX-A: \0\r\n\r\n" + body),
    "a carriage return in a header": changed(lambda head, body: head + b"\r\nX-A: 1\rX-B: 2\r\n\r\n" + body),
    "a cookie": changed(lambda head, body: head + b"\r\nSet-Cookie: a=b\r\n\r\n" + body, harmless=True, keeps=True),
    "a header without a colon": changed(lambda head, body: head + b"\r\nX-A\r\n\r\n" + body),
    "a header that is not ASCII": changed(
        lambda head, body: head + b"\r\nX-A: \xff\xfe\r\n\r\n" + body, harmless=True, keeps=True
    ),
    "100,000 headers": changed(lambda head, body: head + b"\r\nX-A: 1" * 100_000 + b"\r\n\r\n" + body),
    "headers without end": Fault(_endless(b"X-A: 1\r\n")),
    "a header of 10 MB": changed(lambda head, body: head + b"\r\nX-A: " + b"x" * 10_000_000 + b"\r\n\r\n" + body),
    # Lengths
    "no length": framed(b"Connection: close", harmless=True),
    "a length too long": framed(b"Content-Length: 1000000"),
    "a length of letters": framed(b"Content-Length: abc"),
    "a negative length": framed(b"Content-Length: -5"),
    "a length of 18 digits": framed(b"Content-Length: " + b"9" * 18),
    "a length of 30 digits": framed(b"Content-Length: " + b"9" * 30),
    "a length of 5,000 digits": framed(b"Content-Length: " + b"9" * 5000),
    "two lengths": framed(b"Content-Length: 1\r\nContent-Length: 2"),
    "a length twice": changed(
        lambda head, body: head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body, harmless=True, keeps=True
    ),
    "chunked": framed(CHUNKED, lambda body: _chunk(body) + b"0\r\n\r\n", harmless=True, keeps=True),
    "chunked, and a length": framed(
        CHUNKED + b"\r\nContent-Length: 1", lambda body: _chunk(body) + b"0\r\n\r\n", harmless=True
    ),
    "a chunk longer than its size": framed(
        CHUNKED, lambda body: b"%x\r\n%s\r\n0\r\n\r\n" % (max(len(body) - 2, 0), body)
    ),
    "chunks cut short": framed(CHUNKED, lambda body: _chunk(body)[:-3]),
    "chunks without an end": framed(CHUNKED, _chunk),
    "a negative chunk": framed(CHUNKED, lambda body: b"-5\r\n" + body + b"\r\n0\r\n\r\n"),
    "a chunk of 40 digits": framed(CHUNKED, lambda body: b"9" * 40 + b"\r\n" + body + b"\r\n0\r\n\r\n"),
    "a chunk size with a sign": framed(CHUNKED, lambda body: b"+" + _chunk(body) + b"0\r\n\r\n"),
    "chunks that are none": framed(CHUNKED, lambda body: b"xyz\r\n" + body),
    "an unknown transfer encoding": framed(b"Transfer-Encoding: gzip, chunked", _chunk),
    "trailers without end": framed(CHUNKED, lambda body: _chunk(body) + b"0\r\n" + b"X: 1\r\n" * 400_000),
    # More, and less, than one answer
    **{
        f"{code} first": changed(
            lambda head, body, code=code: b"HTTP/1.1 %d So\r\nX-A: 1\r\n\r\n" % code + head + b"\r\n\r\n" + body,  # type: ignore[misc]
            harmless=True,
            keeps=True,
        )
        for code in (100, 102, 103)
    },
    "informational answers without end": Fault(_endless(b"HTTP/1.1 102 So\r\n\r\n")),
    "101": instead(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"),
    "204 with a body": instead(b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n{}", keeps=True),
    "304 with a body": instead(b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n{}", keeps=True),
    "206": instead(Answer(206, b"{}", {"Content-Range": "bytes 0-1/100"}), keeps=True),
    "surplus bytes": changed(lambda head, body: head + b"\r\n\r\n" + body + b"xyz", harmless=True, keeps=True),
    "a second answer": changed(
        lambda head, body: head + b"\r\n\r\n" + body + Answer(200, b'{"forged": true}').raw(),
        harmless=True,
        keeps=True,
    ),
    # Encodings
    "gzip": framed(b"Content-Encoding: gzip", _packed, harmless=True),
    "gzip cut in the middle": framed(b"Content-Encoding: gzip", lambda body: _packed(body)[: len(_packed(body)) // 2]),
    "gzip without its end": framed(b"Content-Encoding: gzip", lambda body: _packed(body)[:-8]),
    "deflate cut": framed(b"Content-Encoding: deflate", lambda body: zlib.compress(body)[:-6]),
    "gzip, twenty times": framed(b"Content-Encoding: " + b", ".join([b"gzip"] * 20), _packed),
    "gzip that is none": framed(b"Content-Encoding: gzip"),
    "an unknown encoding": framed(b"Content-Encoding: br"),
    "a gzip bomb": framed(b"Content-Encoding: gzip", lambda body: _bomb()),
    # Bodies
    "an empty body": json_body(b""),
    "HTML with 200": instead(Answer(200, b"<html>sign in</html>", {"Content-Type": "text/html"}), keeps=True),
    "half of the JSON": json_body(b'{"id": "1", "name'),
    "two values": json_body(b"{} {}"),
    "null": json_body(b"null"),
    "a number": json_body(b"5"),
    "a list in a list": json_body(b"[[]]"),
    "not UTF-8": json_body(b'{"name": "\xff"}'),
    "nested 100,000 deep": json_body(b"[" * 100_000 + b"]" * 100_000),
    "a number of 5,000 digits": json_body(b'{"name": ' + b"1" * 5000 + b"}"),
    "NaN": json_body(b'{"name": NaN}'),
    "a lone surrogate": json_body(b'{"name": "\\ud800"}'),
    # Statuses
    **{str(code): status(code) for code in (400, 401, 403, 404, 409, 429, 500, 502, 503, 504)},
    "503 with a page": instead(Answer(503, b"<html>" + b"busy " * 1000 + b"</html>"), keeps=True),
    **{
        f"429, Retry-After: {value}": status(429, Retry_After=value)
        for value in (
            "0",
            "-1",
            "1e9",
            "soon",
            "86400",
            "Fri, 31 Dec 1999 23:59:59 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Fri, 31 Dec 99999999999999 23:59:59 GMT",
        )
    },
    # Redirects
    "redirect: another host": redirect("http://127.0.0.1:{other}/v2.1/x"),
    "redirect: a backslash": redirect("http://127.0.0.1:{other}\\@127.0.0.1:{own}/v2.1/x"),
    "redirect: a user": redirect("http://127.0.0.1:{own}@127.0.0.1:{other}/v2.1/x"),
    "redirect: no scheme": redirect("//127.0.0.1:{other}/v2.1/x"),
    "redirect: white space": redirect("http://127.0.0.1:{other} @127.0.0.1:{own}/v2.1/x"),
    "redirect: a host in percent": redirect("http://127.0.0%2E1:{other}/v2.1/x"),
    "redirect: a loop": redirect("/v2.1/loop"),
    "redirect: a file": redirect("file:///etc/passwd"),
    "redirect: nowhere": redirect("http://[::1"),
}


def serving(
    fault: Fault, right: Callable[[RawServer, str], bytes], at: str = ""
) -> Callable[[RawServer, socket.socket], None]:
    """What a server does with a connection.

    Args:
        fault: How it misbehaves.
        right: The right answer to a request, by its head.
        at: The beginning, as a pattern, of the requests at which it misbehaves.
    """

    def serve(server: RawServer, connection: socket.socket) -> None:
        if fault.before_request:
            fault.behave(server, connection, b"")
            return
        with suppress(OSError):
            while True:
                head = server.read_head(connection)
                read_body(connection, head)
                answer = right(server, head)
                if not re.match(at, head):
                    connection.sendall(answer)
                    continue
                fault.behave(server, connection, answer)
                if not fault.keeps:
                    # In two steps: with unread bytes a close would be a reset.
                    connection.shutdown(socket.SHUT_WR)
                    return

    return serve


def read_body(connection: socket.socket, head: str) -> None:
    lowered = head.lower()
    if "transfer-encoding: chunked" in lowered:
        seen = b""
        while not seen.endswith(b"0\r\n\r\n"):
            data = connection.recv(1 << 16)
            if not data:
                return
            seen = (seen + data)[-64:]
        return
    left = int(lowered.partition("content-length: ")[2].partition("\r\n")[0] or 0)
    while left > 0:
        data = connection.recv(min(left, 1 << 16))
        if not data:
            return
        left -= len(data)
