"""The time limit of a map, and how long it tolerates a failing server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ubiops.exceptions import ApiException
from ubiops.utils.exceptions import WaitTimeout
from ubiops.utils.polling import PASSING, Backoff, Outage

__all__ = ["Patience"]

T = TypeVar("T")


class Patience:
    """Keeps every call of a map within the map's time limit.

    Args:
        timeout: Seconds for the whole map; None for no limit.

    Attributes:
        state: Returns the progress of the map, for the error after the timeout.
    """

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self.state: Callable[[], str] = lambda: "nothing was sent yet"
        self._pauses = Backoff(timeout)
        self._outage = Outage()

    @property
    def remaining(self) -> float | None:
        """Seconds left, 0 once the time is over; None for no limit."""
        return self._pauses.remaining

    def options(self) -> dict[str, Any]:
        """The options that keep a call within the map's time limit.

        Raises:
            WaitTimeout: The time is over.
        """
        if self.remaining == 0:
            raise self._timed_out()
        return {} if self.remaining is None else {"_request_timeout": self.remaining}

    def pause(self) -> None:
        """Sleep until it is time to look again.

        Raises:
            WaitTimeout: The time is over.
        """
        if not self._pauses.pause():
            raise self._timed_out()

    def restart(self) -> None:
        """Start again with the shortest pause: there was progress."""
        self._pauses.restart()

    def end_in(self, seconds: float) -> None:
        """Set the remaining time, whatever was left."""
        self._pauses = Backoff(seconds)

    def ask(self, question: Callable[..., T], **arguments: Any) -> T:
        """Make a call that only reads, and repeat it while the server is in trouble.

        Raises:
            WaitTimeout: The time is over.
            ApiException: The server refused, or has been in trouble for 5 minutes.
        """
        pauses = Backoff(self.remaining)
        while True:
            try:
                answer = question(**arguments, **self.options())
            except ApiException as error:
                if not isinstance(error, PASSING) and error.status != 408:
                    raise
                self._outage.bear(error)
                if not pauses.pause():
                    raise self._timed_out() from error
            else:
                self._outage.end()
                return answer

    def _timed_out(self) -> WaitTimeout:
        return WaitTimeout(f"The timeout of {self._timeout} s was reached when {self.state()}")
