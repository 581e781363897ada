"""Polling: how often, and for how long."""

from __future__ import annotations

import time

from ubiops.clock import monotonic
from ubiops.exceptions import (
    ApiConnectionError,
    ApiException,
    ApiTimeoutError,
    ServerError,
    TooManyRequestsError,
)

__all__ = ["PASSING", "Backoff", "Outage"]

PASSING = (ApiConnectionError, ServerError, TooManyRequestsError)
"""Temporary errors: asking again may succeed."""


class Backoff:
    """The pauses between polls: 0.5 s at first, each 1.5 times as long as the last, 10 s at most.

    Args:
        timeout: Seconds after which there is no further pause; None for no limit.
    """

    first = 0.5
    longest = 10.0
    factor = 1.5

    def __init__(self, timeout: float | None = None) -> None:
        self._deadline = None if timeout is None else monotonic() + timeout
        self._pause = self.first

    @property
    def remaining(self) -> float | None:
        """Seconds until the timeout, 0 once it is over; None for no limit."""
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())

    def pause(self) -> bool:
        """Sleep until it is time to poll again; returns False, at once, if the timeout is over.

        The last pause ends with the timeout, so that there is one last poll when the time is up.
        """
        remaining = self.remaining
        if remaining == 0.0:
            return False
        time.sleep(self._pause if remaining is None else min(self._pause, remaining))
        self._pause = min(self._pause * self.factor, self.longest)
        return True

    def restart(self) -> None:
        """Start again with the shortest pause: there was progress."""
        self._pause = self.first


class Outage:
    """Tolerates a server that fails or can't be reached, for 5 minutes at most.

    A failed call was already retried several times by the client itself.
    """

    longest = 300.0

    def __init__(self) -> None:
        self._began: float | None = None
        self._answered = False

    def bear(self, error: ApiException) -> None:
        """Note one of the `PASSING` errors.

        Raises:
            ApiException: The same error, if they have lasted too long, or if there never was a connection: the address
                may be wrong.
        """
        present = monotonic()
        if self._began is None:
            self._began = present
        unreachable = isinstance(error, ApiConnectionError) and not isinstance(error, ApiTimeoutError)
        if present - self._began > self.longest or (unreachable and not self._answered):
            raise error

    def end(self) -> None:
        """Note an answer."""
        self._answered = True
        self._began = None
