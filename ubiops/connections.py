"""Connections: how answers are framed on them, how long they wait, and which of them are kept."""

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
# As many as http.client takes.
_MOST_HEADERS = 99
# A header that every parser reads alike; one that is continued on the next line is none.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)\r\n")
# Padded with spaces, as some servers do it. Of lines that end with LF alone readers find different ends.
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
    """What a socket receives until a call's time is over, however slowly it drips."""

    deadline: Deadline | None = None
    ended = False

    def readinto(self, buffer: Any) -> int | None:
        if self.ended:
            return None
        if self.deadline is not None:
            self._sock.settimeout(self.deadline.patience())  # type: ignore[attr-defined]
        return super().readinto(buffer)


class _Lines:
    """The lines of a head, or after the last chunk: http.client would also take them where they are cut off."""

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
            # To Python's parser the first would be two headers, and the last the beginning of a mail.
            raise http.client.HTTPException("a header holds a carriage return or NUL, or is none")
        return line

    def headers(self) -> http.client.HTTPMessage:
        """The headers of an answer: plain ones in a tenth of the time that the parser of e-mails takes."""
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
                    raise http.client.HTTPException("a line among the headers is none")
                return _unfolded(message)
            message.set_raw(*header.groups())
        return message

    def flush(self) -> None:
        """Nothing is written: http.client asks for it before it closes."""

    def close(self) -> None:
        self._file.close()


def _unfolded(message: http.client.HTTPMessage) -> http.client.HTTPMessage:
    """The headers, each in one line: programs pass values on, and a line break in one would begin another header."""
    unfolded = http.client.HTTPMessage()
    for name, value in message.raw_items():
        if "\n" in value and name.lower() in _FRAMING:
            raise http.client.HTTPException(f"{name} goes on in another line")
        unfolded.set_raw(name, re.sub(r"\r?\n[ \t]+", " ", value))
    return unfolded


class _Answer(http.client.HTTPResponse):
    """An answer whose end is certain: framing that two readers could understand differently is refused."""

    surplus = False

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock = sock
        raw = getattr(self.fp, "raw", None)
        # Not a test double's file, which has no time.
        if type(raw) is socket.SocketIO:
            # The socket makes it itself: this only gains a deadline and an end.
            raw.__class__ = _Incoming
            deadline = current.deadline
            if deadline is not None and deadline.end != math.inf:
                raw.deadline = deadline  # type: ignore[attr-defined]

    def begin(self) -> None:
        """Read the head. As http.client does, which of all informational answers passes over 100 alone."""
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
            # Not where http.client has closed it.
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
            # Python's own reading of numbers takes signs and underscores.
            self._close_conn()
            raise http.client.BadStatusLine(line.decode("latin-1"))
        return match[1].decode(), int(match[2]), (match[3] or b"").decode("latin-1")

    def _frame(self) -> None:
        """Find where the answer ends."""
        headers = self.headers
        lengths: list[str] = []
        codings: list[str] = []
        # In one pass: asking for either by its name takes longer than all else that is done here.
        for name, value in headers.raw_items():
            if len(name) == 14 and name.lower() == "content-length":
                lengths += [one.strip(" \t") for one in value.split(",")]
            elif len(name) == 17 and name.lower() == "transfer-encoding":
                codings.append(value)
        coding = ", ".join(codings)
        self.will_close = self._check_close()  # type: ignore[attr-defined]
        if self.status == 101 or len(lengths) > 1 or (codings and (lengths or self.version == 10)):
            # Somebody on the way may have found another end.
            self.will_close = True
        self.chunked, self.length = False, None
        if self.status in _BODILESS or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length = 0
        elif codings and coding.lower() != "identity":
            if coding.lower() != "chunked":
                raise http.client.HTTPException(f"unknown Transfer-Encoding {coding[:100]!r}")
            self.chunked, self.chunk_left = True, None
            # Void beside it: nobody is to count by it.
            del headers["Content-Length"]
        elif lengths:
            length = lengths[0]
            if len(set(lengths)) > 1 or not (length.isascii() and length.isdigit() and len(length) <= 18):
                raise http.client.HTTPException(f"unclear Content-Length {headers['Content-Length'][:100]!r}")
            self.length = int(length)
        else:
            # The end of such a body is that of the connection. Without the close of TLS anybody on the way can make it.
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
            # http.client makes a protocol error of it; Python's own reading of numbers takes signs and underscores.
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
        # Block by block: a length is only what the server says, and memory for all of it would be taken at once.
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
        """Whether more was read than the answer; what is still unread makes the pool drop the connection."""
        raw = getattr(self.fp, "raw", None)
        if not isinstance(raw, _Incoming):
            return False
        if isinstance(self._sock, socket.socket):
            raw.ended = True
            return bool(self.fp.peek(1)) or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0)
        # TLS within a proxy's TLS holds back what only reading shows.
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
    """A proxy's answer to ``CONNECT``: http.client reads its headers without a bound."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = _Lines(self.fp)  # type: ignore[assignment]


class RawResponse(urllib3.HTTPResponse):
    """An answer; with ``_preload_content=False`` it is unread, and the caller reads and closes it."""

    deadline: Deadline | None = None

    @property
    def name(self) -> str | None:
        """The same as `getfilename`: files have a name, and `io.TextIOWrapper`, for one, takes a file."""
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
        # An answer may be kept for long: it holds no pool, whose connections would stay open.
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
        """The next `amt` bytes, or all that are left; programs of the newer client pass `chunk_size`.

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
        """What has come, at most `amt` bytes; raises as `read` does."""
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
        # The socket knows it too, but a small body that unpacks to a huge one asks it nothing.
        if self.deadline is not None and self.deadline.left() <= 0:
            self.close()
            raise ReadTimeoutError(None, "", "the call's time is over")  # type: ignore[arg-type]

    def _check_end(self) -> None:
        if self._has_decoded_content and self._decoder is not None and not _has_ended(self._decoder):
            raise ProtocolError("the compressed body ended early")


def as_raw(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> RawResponse:
    """The response, unread, with `getfilename`; its time is the caller's."""
    deadline.end = math.inf
    # Stays open at its end, as files do: `io.TextIOWrapper` reads on until there is nothing.
    response.auto_close = False  # type: ignore[attr-defined]
    return response  # type: ignore[return-value]


def _has_ended(decoder: Any) -> bool:
    """Whether one of urllib3's decoders has come to the end of what was compressed."""
    several = getattr(decoder, "_decoders", None)
    if several is not None:
        return all(_has_ended(one) for one in several)
    stream = getattr(decoder, "_obj", None)
    if getattr(decoder, "_state", None) == GzipDecoderState.SWALLOW_DATA:
        # What follows a whole one, such as padding.
        return True
    finished = getattr(stream, "is_finished", None)
    return bool(finished()) if finished is not None else bool(getattr(stream, "eof", True))


def _genuine(kind: type) -> Any:
    """urllib3's own class, also where a recorder had replaced it when this module was imported."""
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
            # urllib3 would give the body no more time than it gives to connecting.
            self.timeout = current.deadline.patience()
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        deadline = current.deadline
        if deadline is not None and deadline.end != math.inf and self.sock is not None:
            self.sock.settimeout(deadline.patience())
        super().send(data)

    def getresponse(self) -> RawResponse:  # type: ignore[override]
        response = super().getresponse()
        # urllib3 makes its responses itself: these only gain methods.
        response.__class__ = RawResponse
        if current.deadline is not None and current.deadline.end != math.inf:
            response.deadline = current.deadline  # type: ignore[attr-defined]
        return response  # type: ignore[return-value]


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Idle:
    """The idle connections of a pool, the last one first: the part of `queue.LifoQueue` that urllib3 uses.

    Without a lock, which Ctrl-C could leave taken: the operations of a deque are atomic. Of threads that give back a
    connection at once each may exceed the bound by one.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._connections: deque[Any] = deque()

    def put(self, connection: Any, block: bool = True, timeout: float | None = None) -> None:
        # None stands for one to be made, which is what `get` says where it has none.
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
    """A pool that can be closed while it is in use, and that recorders of HTTP find as they find urllib3's."""

    QueueCls = _Idle  # type: ignore[assignment]

    _ours: ClassVar[type[HTTPConnection]]
    _theirs: ClassVar[type[urllib3.HTTPConnectionPool]]
    _retired = False
    _kinds: tuple[type, type] | None = None

    @property
    def ConnectionCls(self) -> Any:  # type: ignore[override]
        """The class of connections to make: ours, unless somebody has replaced urllib3's."""
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
            # What was connected before is of no use to who replaces connections, or sockets.
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
