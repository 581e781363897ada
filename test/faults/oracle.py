"""A strict reader of answers, of our own: what the client takes, it must take in the same way."""

from __future__ import annotations

import re

__all__ = ["body_of"]

_STATUS = re.compile(rb"HTTP/1\.([0-9])[ \t]+([1-9][0-9]{2})([ \t].*)?", re.DOTALL)
# Wider than a token: such a name is that of no header which says where a body ends.
_NAME = re.compile(rb"[!-9;-~]+")


def body_of(answer: bytes) -> bytes | None:
    """The body of what a connection brought until its end, in answer to a GET; None where it isn't certain.

    RFC 9112, and nothing of what recipients may do beyond it, but that lines of heads may end with LF alone.
    """
    while True:
        line, rest = _line(answer)
        status = line is not None and _STATUS.fullmatch(line)
        if not status:
            return None
        headers, rest = _headers(rest)
        if headers is None:
            return None
        code = int(status[2])
        if not 100 <= code <= 199 or code == 101:
            break
        answer = rest
    if code in (101, 204, 304):
        return b""
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    lengths = {value.strip(b" \t") for name, all in headers if name == b"content-length" for value in all.split(b",")}
    if codings and codings != [b"identity"]:
        return _chunks(rest) if codings == [b"chunked"] else None
    if not lengths:
        return rest
    length = lengths.pop()
    if lengths or not re.fullmatch(rb"[0-9]{1,18}", length) or len(rest) < int(length):
        return None
    return rest[: int(length)]


def _line(data: bytes) -> tuple[bytes | None, bytes]:
    line, end, rest = data.partition(b"\n")
    line = line.removesuffix(b"\r")
    return (line if end and not {0, 13} & set(line) else None), rest


def _headers(data: bytes) -> tuple[list[tuple[bytes, bytes]] | None, bytes]:
    headers: list[tuple[bytes, bytes]] = []
    while True:
        line, data = _line(data)
        if line is None:
            return None, b""
        if not line:
            return headers, data
        if line[:1] in (b" ", b"\t") and headers:
            name, value = headers.pop()
            headers.append((name, value + b" " + line.strip(b" \t")))
            continue
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            return None, b""
        headers.append((name.lower(), value.strip(b" \t")))


def _chunks(data: bytes) -> bytes | None:
    body = b""
    while True:
        line, end, data = data.partition(b"\n")
        size = re.fullmatch(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\0]*)?\r", line)
        if not end or not size:
            return None
        length = int(size[1], 16)
        if not length:
            # The body is certain here; trailers are read past.
            return body if not data or _has_end(data) else None
        body, after, data = body + data[:length], data[length : length + 2], data[length + 2 :]
        if after != b"\r\n":
            return None


def _has_end(data: bytes) -> bool:
    line, data = _line(data)
    return line is not None and (not line or _has_end(data))
