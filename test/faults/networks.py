"""The faults of what lies between: TLS that proves nothing, and proxies. The servers themselves answer rightly."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import warnings
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import cache

import trustme

from test.faults.faults import Fault, instead
from test.unit.raw_server import RawServer, pump

__all__ = ["NETWORKS", "PROXY_PASSWORD", "PROXY_USER", "authority"]

PROXY_USER, PROXY_PASSWORD = "someone", "pr0xy-passw0rd"
_SHOWN = b64encode(f"{PROXY_USER}:{PROXY_PASSWORD}".encode()).decode()


@cache
def authority() -> trustme.CA:
    """The one that the client trusts."""
    return trustme.CA()


@cache
def _context(name: str = "127.0.0.1", expired: bool = False, trusted: bool = True) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer = authority() if trusted else trustme.CA()
    ends = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc) if expired else None
    issuer.issue_cert(name, not_after=ends).configure_cert(context)
    return context


@cache
def _old() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Without this no old protocol is spoken at all.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    authority().issue_cert("127.0.0.1").configure_cert(context)
    return context


def _answer(server: RawServer, connection: socket.socket, answer: bytes) -> None:
    connection.sendall(answer)


def _without_notice(server: RawServer, connection: socket.socket, answer: bytes) -> None:
    """Half of an answer without a length, and an end of the connection that anybody on the way can make."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    connection.sendall(b"\r\n".join([*lines, b"", body[: len(body) // 2]]) if body else b"HTTP/1.1 200 OK\r\n\r\n")


def _silence(server: RawServer, connection: socket.socket, answer: bytes) -> None:
    server.closing.wait()


def _handshake_cut(server: RawServer, connection: socket.socket, answer: bytes) -> None:
    connection.recv(1 << 14)
    # A record that says it holds a hundred bytes of the handshake.
    connection.sendall(b"\x16\x03\x03\x00\x64\x02\x00")


Proxy = Callable[[RawServer, socket.socket, str, int], None]
"""Called with the proxy, the connection, the head of a CONNECT and the port of the server that was asked for."""


def _proxy(behave: Proxy, harmless: bool = False, surely_undone: bool = True) -> Fault:
    return Fault(_answer, harmless=harmless, keeps=True, surely_undone=surely_undone, tls=_context, proxy=behave)


def _says(answer: bytes) -> Proxy:
    return lambda proxy, connection, head, port: connection.sendall(answer)


def _hangs(answer: bytes) -> Proxy:
    def behave(proxy: RawServer, connection: socket.socket, head: str, port: int) -> None:
        connection.sendall(answer)
        proxy.closing.wait()

    return behave


def _tunnel(proxy: RawServer, connection: socket.socket, head: str, port: int) -> None:
    connection.sendall(_YES)
    with socket.create_connection(("127.0.0.1", port)) as target:
        back = threading.Thread(target=pump, args=(target, connection), daemon=True)
        back.start()
        pump(connection, target)
        back.join()


def _with_password(proxy: RawServer, connection: socket.socket, head: str, port: int) -> None:
    if f"Proxy-Authorization: Basic {_SHOWN}" in head:
        _tunnel(proxy, connection, head, port)
    else:
        connection.sendall(_REFUSAL)


def _repeating(proxy: RawServer, connection: socket.socket, head: str, port: int) -> None:
    """A refusal that repeats what was asked, with the password in it."""
    shown = head.replace("\r\n", " ").encode("latin-1")
    connection.sendall(b"HTTP/1.1 407 No to %s\r\nX-Asked: %s\r\nContent-Length: 0\r\n\r\n" % (shown, shown))


def _to_a_liar(proxy: RawServer, connection: socket.socket, head: str, port: int) -> None:
    """A tunnel to another than was asked for."""
    connection.sendall(_YES)
    with suppress(OSError, ValueError), _context(trusted=False).wrap_socket(connection, server_side=True) as secured:
        secured.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"forged": true}')


def _endless(proxy: RawServer, connection: socket.socket, head: str, port: int) -> None:
    connection.sendall(b"HTTP/1.1 200 Connected\r\n")
    while not proxy.closing.is_set():
        connection.sendall(b"X-A: 1\r\n" * 1000)


_YES = b"HTTP/1.1 200 Connected\r\n\r\n"
_REFUSAL = b'HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
_PLAIN = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"forged": true}'

NETWORKS: dict[str, Fault] = {
    "TLS": Fault(_answer, harmless=True, keeps=True, tls=_context),
    "TLS: another name": Fault(_answer, tls=lambda: _context(name="api.example")),
    "TLS: expired": Fault(_answer, tls=lambda: _context(expired=True)),
    "TLS: an unknown authority": Fault(_answer, tls=lambda: _context(trusted=False)),
    "TLS: an old protocol": Fault(_answer, tls=_old),
    "TLS: plain HTTP in its place": instead(_PLAIN, before_request=True)._replace(tls=lambda: None),
    "TLS: silence": Fault(_silence, before_request=True, tls=lambda: None),
    "TLS: a handshake that breaks off": Fault(_handshake_cut, before_request=True, tls=lambda: None),
    "TLS: an end that isn't its own": Fault(_without_notice, tls=_context),
    "proxy": _proxy(_tunnel, harmless=True),
    "proxy: asks for the password": _proxy(_with_password, harmless=True),
    "proxy: refuses the password": _proxy(_says(_REFUSAL)),
    "proxy: refuses, and repeats what was sent": _proxy(_repeating),
    "proxy: 403": _proxy(_says(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")),
    "proxy: 502": _proxy(_says(b"HTTP/1.1 502 Gone\r\nContent-Length: 0\r\n\r\n")),
    "proxy: 302": _proxy(_says(b"HTTP/1.1 302 So\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")),
    "proxy: hangs": _proxy(_hangs(b"")),
    "proxy: closes": _proxy(_says(b"")),
    "proxy: says yes and closes": _proxy(_says(_YES)),
    "proxy: says yes and hangs": _proxy(_hangs(_YES)),
    "proxy: answers in the server's place": _proxy(_says(_YES + _PLAIN)),
    "proxy: leads to another server": _proxy(_to_a_liar),
    "proxy: no HTTP": _proxy(_says(b"SSH-2.0-OpenSSH_9.6\r\n")),
    "proxy: headers without end": _proxy(_endless),
}
