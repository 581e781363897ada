"""The headers of requests and answers on their way through the proxy."""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

_OF_CONNECTION = {
    *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
    *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
}
"""What is between two neighbours (RFC 9110, 7.6.1), and no business of the next."""

_FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-prefix", b"x-forwarded-proto"}


def end_to_end(headers: Iterable[tuple[bytes, bytes]], *dropped: bytes) -> Headers:
    """The headers that are for the other end: neither between neighbours, nor dropped for another reason."""
    headers = list(headers)
    named = {
        token.strip().lower() for name, value in headers if name.lower() == b"connection" for token in value.split(b",")
    }
    left_out = {*_OF_CONNECTION, *named, *dropped}
    # To many servers underscores in names are dashes.
    return [(name, value) for name, value in headers if name.lower().replace(b"_", b"-") not in left_out]


def to_instance(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    client: str,
    scheme: str,
    prefix: str,
    with_authorization: bool,
) -> Headers:
    """The headers of a request as an instance gets them, which tell what the caller asked for; without its framing.

    Args:
        headers: As they came.
        client: Address of the caller.
        scheme: ``http`` or ``ws``.
        prefix: What stands in front of the paths of the service; empty where it has a name of its own.
        with_authorization: Whether the caller's ``Authorization`` is handed on.
    """
    headers = list(headers)
    dropped = {b"content-length", b"expect", *_FORWARDED}
    if not with_authorization:
        dropped.add(b"authorization")
    host = next((value for name, value in headers if name.lower() == b"host"), b"localhost")
    kept = [(name, value) for name, value in end_to_end(headers, *dropped) if name.lower() != b"host"]
    return [
        (b"host", host),
        *kept,
        (b"x-forwarded-for", client.encode()),
        (b"x-forwarded-host", host),
        (b"x-forwarded-proto", scheme.replace("ws", "http").encode()),
        *([(b"x-forwarded-prefix", prefix.encode())] if prefix else []),
    ]


def framing(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """How the length of a request's body is stated, in one way only, so that no two readers find different lengths."""
    found = {name.lower(): value for name, value in headers}
    if b"transfer-encoding" in found:
        return [(b"transfer-encoding", b"chunked")]
    if b"content-length" in found:
        return [(b"content-length", found[b"content-length"])]
    return []
