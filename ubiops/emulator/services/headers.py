"""The headers of requests and answers on their way through the proxy."""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

_OF_CONNECTION = {
    *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
    *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
}
"""Hop-by-hop headers (RFC 9110, 7.6.1), which aren't forwarded."""

_FORWARDED = {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-prefix", b"x-forwarded-proto"}


def end_to_end(headers: Iterable[tuple[bytes, bytes]], *dropped: bytes) -> Headers:
    """The end-to-end headers, without those to drop for another reason."""
    headers = list(headers)
    named = {
        token.strip().lower() for name, value in headers if name.lower() == b"connection" for token in value.split(b",")
    }
    left_out = {*_OF_CONNECTION, *named, *dropped}
    # Many servers read underscores in names as dashes.
    return [(name, value) for name, value in headers if name.lower().replace(b"_", b"-") not in left_out]


def to_instance(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    client: str,
    scheme: str,
    prefix: str,
    with_authorization: bool,
) -> Headers:
    """The headers of a request to an instance, with what the caller asked for, and without the framing.

    Args:
        headers: The headers as received.
        client: Address of the caller.
        scheme: ``http`` or ``ws``.
        prefix: Prefix of the paths of the service; empty if it has its own host name.
        with_authorization: Whether to forward the caller's ``Authorization``.
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
    """The headers that state the length of a request's body, in one way only, so that all readers find the same."""
    found = {name.lower(): value for name, value in headers}
    if b"transfer-encoding" in found:
        return [(b"transfer-encoding", b"chunked")]
    if b"content-length" in found:
        return [(b"content-length", found[b"content-length"])]
    return []
