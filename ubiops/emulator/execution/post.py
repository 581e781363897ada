"""Messages to other programs over HTTP."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import ssl
from collections.abc import Collection, Mapping
from typing import Any

import h11
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

_LARGEST_ANSWER = 2**16
"""The most bytes of an answer that are read, so that its sender can finish sending."""


class PostError(Exception):
    """A message was not delivered; the text says why, without its content.

    Attributes:
        is_final (bool): Whether another attempt would be pointless.
    """

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


def parse_target(url: str) -> Url:
    """Parse a URL that messages can be sent to.

    Raises:
        ValueError: Messages can't be sent to it.
    """
    try:
        target = parse_url(url)
    except LocationParseError:
        raise ValueError(f"'{url}' is not a URL") from None
    if target.scheme not in ("http", "https") or not target.host:
        raise ValueError(f"'{url}' is not an http or https URL")
    if target.auth is not None:
        raise ValueError("a URL must not contain credentials; put them in a protected header")
    return target


async def post(url: str, headers: Mapping[str, str], body: Any, timeout: float, allowed: Collection[str]) -> None:
    """POST JSON. The address is resolved once, checked and connected to; redirects aren't followed.

    Args:
        url: URL to send to.
        headers: Additional headers.
        body: The body, a JSON value.
        timeout: Seconds within which the answer must arrive.
        allowed: Hosts other than this machine that may be sent to.

    Raises:
        PostError: The host isn't allowed, didn't answer, or the status was neither 2xx nor 3xx.
    """
    try:
        status = await asyncio.wait_for(_post(parse_target(url), headers, json.dumps(body).encode(), allowed), timeout)
    except asyncio.TimeoutError:
        raise PostError(f"Timeout: there was no answer within {timeout:g} seconds") from None
    except h11.ProtocolError:
        raise PostError("Connection error: the answer is not HTTP, or ended early") from None
    except (OSError, UnicodeError) as error:
        raise PostError(f"Connection error: {error}") from None
    if not 200 <= status < 400:
        raise PostError(f"The status of the answer was {status}")


async def _post(target: Url, headers: Mapping[str, str], body: bytes, allowed: Collection[str]) -> int:
    reader, writer = await _connect(target, allowed)
    try:
        connection = h11.Connection(h11.CLIENT)
        fixed = {"Host": target.netloc or "", "Content-Length": str(len(body)), "Connection": "close"}
        sent = {"Content-Type": "application/json", **headers, **fixed}
        request = h11.Request(method="POST", target=target.request_uri, headers=list(sent.items()))
        for event in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        return await _answer(connection, reader)
    finally:
        writer.transport.abort()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> int:
    """The status of the answer."""
    status, size = 0, 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(2**16))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            size += len(event.data)
        if isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)) or size > _LARGEST_ANSWER:
            return status


async def _connect(target: Url, allowed: Collection[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host = (target.host or "").strip("[]")
    port = target.port or (443 if target.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    if host not in allowed and not all(map(is_loopback, addresses)):
        raise PostError(
            "The host is not on this machine: the emulator sends to others only if it is started with "
            "--allow-webhooks HOST",
            is_final=True,
        )
    secure = ssl.create_default_context() if target.scheme == "https" else None
    for address in addresses[:-1]:
        try:
            return await asyncio.open_connection(address, port, ssl=secure, server_hostname=host if secure else None)
        except OSError:
            continue
    return await asyncio.open_connection(addresses[-1], port, ssl=secure, server_hostname=host if secure else None)


def is_loopback(address: str) -> bool:
    """Whether an IP address is a loopback address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback
