"""The body of a request to a service, as it comes in."""

from __future__ import annotations

from starlette.types import Receive

from ubiops.emulator.web.bodies import LARGEST_BODY, announced, check_size


class GoneError(Exception):
    """The caller has gone away."""


class RequestBody:
    """A body in blocks, up to a largest size.

    Args:
        receive: Receives its messages.
        length: The header ``Content-Length``; empty if it is missing.

    Raises:
        ApiError: 413: by its length, it is too large.
    """

    def __init__(self, receive: Receive, length: str) -> None:
        self._receive = receive
        self._size = 0
        self._more = True
        self._first: bytes | None = None
        _check(announced(length))

    async def first(self) -> bytes:
        """Its first block, which `read` returns again; empty if there is no body.

        Raises:
            GoneError: The caller has gone away.
        """
        self._first = await self.read() or b""
        return self._first

    async def read(self) -> bytes | None:
        """The next block; None at the end.

        Raises:
            ApiError: 413: it is too large.
            GoneError: The caller has gone away.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if not self._more:
            return None
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        self._more = message.get("more_body", False)
        block: bytes = message.get("body", b"")
        self._size += len(block)
        _check(self._size)
        return block

    async def gone(self) -> None:
        """Wait until the caller goes away, and drop the rest of the body."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _check(size: int) -> None:
    check_size(size, LARGEST_BODY, "services take")
