"""Requests whose body is read up to a bound."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.types import Receive, Scope

from ubiops.emulator.errors import ApiError

LARGEST_BODY = 256 * 2**20
"""Bytes that a body may have which is held in memory."""

LARGEST_FILE = 8 * 2**30
"""Bytes that a file may have, or a form with its file."""


def announced(content_length: str) -> int:
    """Bytes that a header ``Content-Length`` announces; 0 where it is missing or no number."""
    return int(content_length) if content_length.isdecimal() else 0


def check_size(size: int, largest: int, takes: str = "is taken") -> None:
    """Refuse a body that is too large.

    Raises:
        ApiError: 413: it is.
    """
    if size > largest:
        raise ApiError(413, f"The body is larger than {largest // 2**20} MiB, the most that {takes} here")


class BoundedRequest(Request):
    """A request whose body is read up to a bound.

    Args:
        scope: Of the request.
        receive: Where its body comes from.
        largest: Bytes that the body may have.

    Attributes:
        largest (int): The same.
    """

    def __init__(self, scope: Scope, receive: Receive, largest: int) -> None:
        super().__init__(scope, receive)
        self.largest = largest

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in blocks.

        Raises:
            ApiError: 413: it is too large; if possible before any of it is read.
        """
        check_size(announced(self.headers.get("content-length", "")), self.largest)
        size = 0
        async for block in super().stream():
            size += len(block)
            check_size(size, self.largest)
            yield block
