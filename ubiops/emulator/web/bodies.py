"""Requests whose bodies have a largest size."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.types import Receive, Scope

from ubiops.emulator.errors import ApiError

LARGEST_BODY = 256 * 2**20
"""Largest body that is held in memory, in bytes."""

LARGEST_FILE = 8 * 2**30
"""Largest file, or form with its file, in bytes."""


def announced(content_length: str) -> int:
    """Bytes that a header ``Content-Length`` announces; 0 if it is missing or not a number."""
    return int(content_length) if content_length.isdecimal() else 0


def check_size(size: int, largest: int, takes: str = "is taken") -> None:
    """Refuse a body that is too large.

    Raises:
        ApiError: 413: it is too large.
    """
    if size > largest:
        raise ApiError(413, f"The body is larger than {largest // 2**20} MiB, the most that {takes} here")


class BoundedRequest(Request):
    """A request whose body has a largest size.

    Args:
        scope: Of the request.
        receive: Receives its body.
        largest: Largest size of the body in bytes.

    Attributes:
        largest (int): The same.
    """

    def __init__(self, scope: Scope, receive: Receive, largest: int) -> None:
        super().__init__(scope, receive)
        self.largest = largest

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body in blocks.

        Raises:
            ApiError: 413: it is too large; raised before anything is read if the headers say so.
        """
        check_size(announced(self.headers.get("content-length", "")), self.largest)
        size = 0
        async for block in super().stream():
            size += len(block)
            check_size(size, self.largest)
            yield block
