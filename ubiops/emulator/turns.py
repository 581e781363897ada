"""Turns of the event loop, kept short: work that is ready at the same time is spread over several."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ubiops.clock import monotonic

_LONGEST = 0.003
"""Seconds of a turn after which further work waits for the next one."""


class Turns:
    """Lets work begin in the present turn of the event loop, or in a later one if that is full.

    Two hundred requests that begin or end at once would otherwise be handled in one turn, and an update that code sends
    meanwhile would reach its reader only after the last of them.

    Args:
        are_needed: Whether anyone waits for updates; if not, all work begins at once.
    """

    def __init__(self, are_needed: Callable[[], bool]) -> None:
        self._are_needed = are_needed
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._full_at: float | None = None
        """When the present turn is full; None if no work has begun in it."""

    async def take(self) -> None:
        """Wait for a turn that has room; first come, first served."""
        if not self._waiting and not self._are_needed():
            return
        if self._full_at is None:
            self._begin()
        elif self._waiting or monotonic() >= self._full_at:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            await place

    def _begin(self) -> None:
        self._full_at = monotonic() + _LONGEST
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Let the next one that waits go on, at the beginning of a turn."""
        self._full_at = None
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._begin()
                return
