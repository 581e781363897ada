"""Connections: how answers are framed, how long connections wait, and which are kept."""

from __future__ import annotations

import http.client
import io
import math
import queue
import re
import socket
import ssl
from collections import deque
from collections.abc import Generator
from email.errors import (
    FirstHeaderLineIsContinuationDefect,
    InvalidHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)
from typing import TYPE_CHECKING, Any, ClassVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.response import GzipDecoderState

from ubiops.deadline import current
from ubiops.files import filename_of

if TYPE_CHECKING:
    from ubiops.deadline import Deadline

__all__ = ["BLOCK", "RawResponse", "as_raw", "pools_by_scheme"]

BLOCK = 1 << 20

_LONGEST_HEAD = 1 << 18
_LONGEST_LINE = 1 << 16
# As many as http.client accepts.
_MOST_HEADERS = 99
# A header that every parser reads alike, so not one that is continued on the next line.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)\r\n")
# May be padded with spaces, as by some servers. A line that ends with LF only has different ends for different readers.
_CHUNK_SIZE = rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n\0]*)?\r\n"
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_BODILESS = frozenset({*range(100, 200), 204, 304})
_STATUS_LINE = re.compile(rb"(HTTP/1\.[0-9])[ \t]+([1-9][0-9]{2})(?:[ \t]+(.*?))?[ \t]*\r?\n", re.DOTALL)
_UNCLEAR = (
    FirstHeaderLineIsContinuationDefect,
    InvalidHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)


class _Incoming(socket.SocketIO):
    """Reads from a socket until a call's time is over, however slowly data arrives."""

    deadline: Deadline | None = None
    ended = False

    def readinto(self, buffer: Any) -> int | None:
        if self.ended:
            return None
        if self.deadline is not None:
            self._sock.settimeout(self.deadline.patience())  # type: ignore[attr-defined]
        return super().readinto(buffer)


class _Lines:
    """The lines of a head, or after the last chunk: http.client would also accept truncated ones."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._size = 0

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._file.readline(limit)
        if not line and self._size:
            raise http.client.RemoteDisconnected("Remote end closed connection within the headers")
        self._size += len(line)
        if self._size > _LONGEST_HEAD:
            raise http.client.LineTooLong("head")
        if b"\r" in line[:-2] or b"\0" in line or line.startswith(b"From "):
            # Python's parser would read the first as two headers, and the last as the beginning of a mail.
            raise http.client.HTTPException("a header contains a carriage return or NUL, or isn't one")
        return line

    def headers(self) -> http.client.HTTPMessage:
        """The headers of an answer; plain ones take a tenth of the time of Python's e-mail parser."""
        lines = []
        while (line := self.readline(_LONGEST_LINE + 1)) not in (b"\r\n", b"\n"):
            if len(line) > _LONGEST_LINE:
                raise http.client.LineTooLong("header line")
            lines.append(line)
        message = http.client.HTTPMessage()
        for one in lines:
            header = _HEADER.fullmatch(one.decode("latin-1"))
            if header is None or len(lines) > _MOST_HEADERS:
                message = http.client.parse_headers(io.BytesIO(b"".join([*lines, line])))
                if any(isinstance(defect, _UNCLEAR) for defect in message.defects):
                    raise http.client.HTTPException("a line among the headers isn't a header")
                return _unfolded(message)
            message.set_raw(*header.groups())
        return message

    def flush(self) -> None:
        """Do nothing: http.client calls this before it closes."""

    def close(self) -> None:
        self._file.close()


def _unfolded(message: http.client.HTTPMessage) -> http.client.HTTPMessage:
    """The headers, each on one line: programs pass values on, and a line break in one would begin another header."""
    unfolded = http.client.HTTPMessage()
    for name, value in message.raw_items():
        if "\n" in value and name.lower() in _FRAMING:
            raise http.client.HTTPException(f"{name} continues on another line")
        unfolded.set_raw(name, re.sub(r"\r?\n[ \t]+", " ", value))
    return unfolded


class _Answer(http.client.HTTPResponse):
    """An answer whose end is unambiguous: framing that two readers could interpret differently is refused."""

    surplus = False

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock
        raw = getattr(self.fp, "raw", None)
        # Not the file of a test double, which has no timeouts.
        if type(raw) is socket.SocketIO:
            # The socket creates it itself: this only adds a deadline and an end.
            raw.__class__ = _Incoming
            deadline = current.deadline
            if deadline is not None and deadline.end != math.inf:
                raw.deadline = deadline  # type: ignore[attr-defined]

    def begin(self) -> None:
        """Read the head as http.client does, but skip all informational answers, not just 100."""
        if self.headers is not None:
            return
        file = self.fp
        self.fp = lines = _Lines(file)
        status = 100
        try:
            while status <= 199 and status != 101:
                version, status, reason = self._read_status()
                headers = lines.headers()
        finally:
            # Unless http.client has closed it.
            self.fp = self.fp and file
        self.code = self.status = status
        self.reason = reason.strip()
        self.version = 10 if version == "HTTP/1.0" else 11
        self.headers = self.msg = headers
        if self.debuglevel > 0:
            for name, value in headers.items():
                print("header:", f"{name}:", value)
        self._frame()

    def _read_status(self) -> tuple[str, int, str]:
        line = self.fp.readline(_LONGEST_LINE + 1)
        if not line:
            raise http.client.RemoteDisconnected("Remote end closed connection without response")
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            # Python's `int` accepts signs and underscores.
            self._close_conn()
            raise http.client.BadStatusLine(line.decode("latin-1"))
        return match[1].decode(), int(match[2]), (match[3] or b"").decode("latin-1")

    def _frame(self) -> None:
        """Find where the answer ends."""
        headers = self.headers
        lengths: list[str] = []
        codings: list[str] = []
        # In one pass: looking up either by name takes longer than everything else here.
        for name, value in headers.raw_items():
            if len(name) == 14 and name.lower() == "content-length":
                lengths += [one.strip(" \t") for one in value.split(",")]
            elif len(name) == 17 and name.lower() == "transfer-encoding":
                codings.append(value)
        coding = ", ".join(codings)
        self.will_close = self._check_close()  # type: ignore[attr-defined]
        if self.status == 101 or len(lengths) > 1 or (codings and (lengths or self.version == 10)):
            # An intermediary may have found another end.
            self.will_close = True
        self.chunked, self.length = False, None
        if self.status in _BODILESS or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length = 0
        elif codings and coding.lower() != "identity":
            if coding.lower() != "chunked":
                raise http.client.HTTPException(f"unknown Transfer-Encoding {coding[:100]!r}")
            self.chunked, self.chunk_left = True, None
            # Invalid next to a Transfer-Encoding, so no one may rely on it.
            del headers["Content-Length"]
        elif lengths:
            length = lengths[0]
            if len(set(lengths)) > 1 or not (length.isascii() and length.isdigit() and len(length) <= 18):
                raise http.client.HTTPException(f"unclear Content-Length {headers['Content-Length'][:100]!r}")
            self.length = int(length)
        else:
            # Such a body ends with the connection, which anyone on the way can cause, unless TLS closes it properly.
            self.will_close = True
            if hasattr(self._sock, "suppress_ragged_eofs"):
                self._sock.suppress_ragged_eofs = False

    def _get_chunk_left(self) -> int | None:
        if self.chunk_left == 0:
            if self._safe_read(2) != b"\r\n":
                raise http.client.HTTPException("a chunk is longer than its size")
            self.chunk_left = None
        return super()._get_chunk_left()  # type: ignore[misc,no-any-return]

    def _read_next_chunk_size(self) -> int:
        line = self.fp.readline(_LONGEST_LINE + 1)
        match = re.fullmatch(_CHUNK_SIZE, line)
        if match is None:
            # http.client turns it into a protocol error; Python's `int` accepts signs and underscores.
            raise ValueError("no chunk size")
        return int(match[1], 16)

    def _read_and_discard_trailer(self) -> None:
        file = self.fp
        self.fp = _Lines(file)  # type: ignore[assignment]
        try:
            super()._read_and_discard_trailer()  # type: ignore[misc]
        finally:
            self.fp = self.fp and file

    def _safe_read(self, amt: int) -> bytes:
        if amt <= BLOCK:
            return super()._safe_read(amt)  # type: ignore[misc,no-any-return]
        # Block by block: the length is just the server's claim, and memory for all of it would be allocated at once.
        blocks = []
        while amt:
            blocks.append(super()._safe_read(min(amt, BLOCK)))  # type: ignore[misc]
            amt -= len(blocks[-1])
        return b"".join(blocks)

    def _close_conn(self) -> None:
        if not self.will_close and self.headers is not None:
            self.surplus = self._has_surplus()
        super()._close_conn()  # type: ignore[misc]

    def _has_surplus(self) -> bool:
        """Whether more than the answer was read; the pool drops a connection with unread data."""
        raw = getattr(self.fp, "raw", None)
        if not isinstance(raw, _Incoming):
            return False
        if isinstance(self._sock, socket.socket):
            raw.ended = True
            return bool(self.fp.peek(1)) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0)
        # TLS within a proxy's TLS buffers data that only a read shows.
        timeout, raw.deadline = self._sock.gettimeout(), None
        self._sock.settimeout(0)
        try:
            return bool(self.fp.peek(1))
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except (OSError, ValueError):
            return True
        finally:
            self._sock.settimeout(timeout)


class _TunnelAnswer(_Answer):
    """A proxy's answer to ``CONNECT``, whose headers http.client would read without a bound."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = _Lines(self.fp)  # type: ignore[assignment]


class RawResponse(urllib3.HTTPResponse):
    """An answer; with ``_preload_content=False`` it is unread, and the caller reads and closes it."""

    deadline: Deadline | None = None

    @property
    def name(self) -> str | None:
        """The same as `getfilename`: files have a name, and `io.TextIOWrapper`, for example, expects a file."""
        return self.getfilename()

    def getfilename(self) -> str | None:
        """The file name that the server sent, reduced to its last part; None if it sent none."""
        return filename_of(self.headers.get("Content-Disposition"))

    def getheaders(self) -> urllib3.HTTPHeaderDict:
        """The headers; their names are case-insensitive."""
        return self.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """One header's value."""
        return self.headers.get(name, default)

    def release_conn(self) -> None:
        """Return the connection to the pool; it is closed unless it was read exactly to its end."""
        connection, self._connection = self._connection, None
        # An answer may be kept for long; a reference to the pool would keep the pool's connections open.
        pool, self._pool = self._pool, None
        if connection is None or pool is None:
            return
        answer = self._original_response
        if answer is not None and (not answer.isclosed() or getattr(answer, "surplus", False)):
            connection.close()
        pool._put_conn(connection)

    def read(
        self,
        amt: int | None = None,
        decode_content: bool | None = None,
        cache_content: bool = False,
        *,
        chunk_size: int | None = None,
    ) -> bytes:
        """The next `amt` bytes, or all remaining ones; programs of the newer client pass `chunk_size`.

        Raises:
            urllib3.exceptions.HTTPError: The connection broke, or the body ends before its announced length or within
                compressed data.
        """
        self._check_time()
        amt = chunk_size if amt is None else amt
        data = super().read(amt, decode_content, cache_content)
        if amt is None or amt < 0 or (amt and not data):
            self._check_end()
        return data

    def read1(self, amt: int | None = None, decode_content: bool | None = None) -> bytes:
        """The bytes that have arrived, at most `amt`; raises as `read` does."""
        self._check_time()
        data = super().read1(amt, decode_content)
        if not data and amt != 0:
            self._check_end()
        return data

    def stream(self, amt: int | None = 1 << 16, decode_content: bool | None = None) -> Generator[bytes, None, None]:
        """The body in blocks of at most `amt` bytes; chunked bodies as they come."""
        read = self.read1 if self.chunked else self.read
        while data := read(amt, decode_content):
            yield data

    def read_chunked(self, amt: int | None = None, decode_content: bool | None = None) -> Generator[bytes, None, None]:
        """The same as `stream`, so that there is only one parser of chunks."""
        return self.stream(amt or BLOCK, decode_content)

    def _check_time(self) -> None:
        # The socket checks it too, but isn't read while a small body unpacks to a huge one.
        if self.deadline is not None and self.deadline.left() <= 0:
            self.close()
            raise ReadTimeoutError(None, "", "the call's time is over")  # type: ignore[arg-type]

    def _check_end(self) -> None:
        if self._has_decoded_content and self._decoder is not None and not _has_ended(self._decoder):
            raise ProtocolError("the compressed body ended early")


def as_raw(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> RawResponse:
    """The response, unread, with `getfilename`; it keeps to the caller's deadline."""
    deadline.end = math.inf
    # It stays open at its end, as files do: `io.TextIOWrapper` reads until nothing is left.
    response.auto_close = False  # type: ignore[attr-defined]
    return response  # type: ignore[return-value]


def _has_ended(decoder: Any) -> bool:
    """Whether one of urllib3's decoders has reached the end of the compressed data."""
    several = getattr(decoder, "_decoders", None)
    if several is not None:
        return all(_has_ended(one) for one in several)
    stream = getattr(decoder, "_obj", None)
    if getattr(decoder, "_state", None) == GzipDecoderState.SWALLOW_DATA:
        # Data after a complete one, such as padding.
        return True
    finished = getattr(stream, "is_finished", None)
    return bool(finished()) if finished is not None else bool(getattr(stream, "eof", True))


def _genuine(kind: type) -> Any:
    """urllib3's own class, even if a recorder had replaced it when this module was imported."""
    return next(base for base in kind.__mro__ if base.__module__ == "urllib3.connection")


if not TYPE_CHECKING:
    HTTPConnection, HTTPSConnection = _genuine(HTTPConnection), _genuine(HTTPSConnection)
_GENUINE = (HTTPConnection, HTTPSConnection)


class _Connection(HTTPConnection):
    """A connection that keeps to the current call's deadline."""

    response_class: type[_Answer] = _Answer

    def _tunnel(self) -> None:
        self.response_class = _TunnelAnswer
        try:
            super()._tunnel()
        finally:
            del self.response_class

    def request(self, *args: Any, **kwargs: Any) -> None:
        if current.deadline is not None:
            if self.sock is None:
                self.connect()
            # urllib3 would allow the body no more time than connecting.
            self.timeout = current.deadline.patience()
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        deadline = current.deadline
        if deadline is not None and deadline.end != math.inf and self.sock is not None:
            self.sock.settimeout(deadline.patience())
        super().send(data)

    def getresponse(self) -> RawResponse:  # type: ignore[override]
        response = super().getresponse()
        # urllib3 creates its responses itself: this only adds methods.
        response.__class__ = RawResponse
        if current.deadline is not None and current.deadline.end != math.inf:
            response.deadline = current.deadline  # type: ignore[attr-defined]
        return response  # type: ignore[return-value]


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Idle:
    """The idle connections of a pool, the last one first: the part of `queue.LifoQueue` that urllib3 uses.

    Without a lock, which Ctrl-C could leave locked: the operations of a deque are atomic. If several threads return a
    connection at once, each may exceed the bound by one.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._connections: deque[Any] = deque()

    def put(self, connection: Any, block: bool = True, timeout: float | None = None) -> None:
        # None stands for a connection to create; `get` returns it if there is no idle one.
        if connection is None:
            return
        if len(self._connections) >= self._maxsize:
            raise queue.Full
        self._connections.append(connection)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._connections)


class _Pool(urllib3.HTTPConnectionPool):
    """A pool that can be closed while it is in use, and that works with recorders of HTTP as urllib3's does."""

    QueueCls = _Idle  # type: ignore[assignment]

    _ours: ClassVar[type[HTTPConnection]]
    _theirs: ClassVar[type[urllib3.HTTPConnectionPool]]
    _retired = False
    _kinds: tuple[type, type] | None = None

    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override]
        """The class of new connections: ours, unless urllib3's was replaced."""
        theirs = self._theirs.ConnectionCls
        return self._ours if theirs in _GENUINE else theirs

    def retire(self) -> None:
        """Close the idle connections, and keep none from now on."""
        self._retired = True
        self._close_idle()

    def _close_idle(self) -> None:
        while self.pool is not None:
            try:
                self.pool.get(block=False).close()
            except queue.Empty:
                return

    def _get_conn(self, timeout: float | None = None) -> Any:
        kinds = (self.ConnectionCls, socket.socket)
        if kinds != self._kinds:
            # Existing connections are of no use after connections or sockets were replaced.
            self._kinds = kinds
            self._close_idle()
        return super()._get_conn(timeout)

    def _put_conn(self, connection: Any) -> None:
        if connection is not None and not isinstance(connection, self.ConnectionCls):
            connection.close()
            connection = None
        super()._put_conn(connection)
        if self._retired:
            self._close_idle()


class Pool(_Pool):
    """The connections to a host, or to a proxy."""

    _ours = _Connection
    _theirs = urllib3.HTTPConnectionPool


class TLSPool(_Pool, urllib3.HTTPSConnectionPool):  # type: ignore[override]
    """The same over TLS."""

    _ours = _TLSConnection
    _theirs = urllib3.HTTPSConnectionPool


def pools_by_scheme(connections: tuple[type, type] | None = None) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """The classes of pools for ``http`` and ``https``; with a pair of urllib3's connections for both, such as SOCKS."""
    if connections is None:
        return {"http": Pool, "https": TLSPool}
    plain, over_tls = connections
    return {
        "http": type("Pool", (Pool,), {"_ours": type("Connection", (_Connection, plain), {})}),
        "https": type("TLSPool", (TLSPool,), {"_ours": type("TLSConnection", (_Connection, over_tls), {})}),
    }
