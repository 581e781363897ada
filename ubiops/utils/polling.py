"""Asking again and again: how often, and for how long."""

from __future__ import annotations

import time

__all__ = ["Backoff"]


class Backoff:
    """The pauses between questions to the server: 0.5 s at first, each half as long again as the last, 10 s at most.

    Args:
        timeout: Seconds after which there is no further pause; None for no limit.
    """

    first = 0.5
    longest = 10.0
    factor = 1.5

    def __init__(self, timeout: float | None = None) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._pause = self.first

    @property
    def remaining(self) -> float | None:
        """Seconds until the timeout, 0 where it is over; None for no limit."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def pause(self) -> bool:
        """Sleep until it is time to ask again; gives False, at once, where the timeout is over.

        The last pause ends with the timeout, so that there is one question when the time is up.
        """
        remaining = self.remaining
        if remaining == 0.0:
            return False
        time.sleep(self._pause if remaining is None else min(self._pause, remaining))
        self._pause = min(self._pause * self.factor, self.longest)
        return True

    def restart(self) -> None:
        """Begin again with the shortest pause: something has moved."""
        self._pause = self.first
