"""The timeouts of a call."""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import Any

import urllib3

from ubiops.clock import monotonic
from ubiops.exceptions import ApiValueError

__all__ = ["CONNECT_TIMEOUT", "READ_TIMEOUT", "Deadline", "current"]

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 300.0

# Sockets count milliseconds in 31 bits.
_LONGEST_TIMEOUT = 2e6


class Deadline:
    """The timeouts of one call, in seconds; its time begins at construction, unless it is started later.

    Args:
        timeout: Seconds in all, or a pair of seconds to connect and to wait for data; None for the defaults.
        read: The default for waiting for data.

    Raises:
        ApiValueError: The timeout isn't valid.
    """

    __slots__ = ("connect", "end", "read", "total")

    def __init__(self, timeout: Any = None, read: float = READ_TIMEOUT) -> None:
        self.connect, self.read = CONNECT_TIMEOUT, read
        self.total = self.end = math.inf
        if timeout is None:
            return
        if isinstance(timeout, (tuple, list)):
            if len(timeout) != 2:
                raise _no_timeout(timeout)
            self.connect = CONNECT_TIMEOUT if timeout[0] is None else _seconds(timeout[0], timeout)
            self.read = read if timeout[1] is None else _seconds(timeout[1], timeout)
        else:
            self.connect = self.read = self.total = _seconds(timeout, timeout)
        self.start()

    def start(self) -> None:
        """Let the time of the whole call, if it is limited, begin now."""
        if self.total != math.inf:
            self.end = monotonic() + self.total

    def left(self) -> float:
        """Seconds left for the call."""
        return self.end - monotonic()

    def patience(self) -> float:
        """Seconds to wait for the next bytes to be received or sent.

        Raises:
            TimeoutError: The call's time is over.
        """
        if self.end == math.inf:
            return self.read
        left = self.left()
        if left <= 0:
            raise TimeoutError("the call's time is over")
        return left

    def attempt(self) -> urllib3.Timeout:
        """The timeouts for one attempt."""
        if self.end == math.inf:
            return _timeouts(self.connect, self.read)
        return urllib3.Timeout(total=max(self.left(), 0.001))


@lru_cache(8)
def _timeouts(connect: float, read: float) -> urllib3.Timeout:
    # It may serve many requests: urllib3 makes a copy for each.
    return urllib3.Timeout(connect=connect, read=read)


def _seconds(value: Any, given: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise _no_timeout(given)
    return float(min(value, _LONGEST_TIMEOUT))


def _no_timeout(given: Any) -> ApiValueError:
    return ApiValueError(
        f"Invalid value for `_request_timeout`, must be seconds above 0 or a pair (connect, read), not {given!r}"
    )


class _CurrentCall(threading.local):
    """The call that this thread is sending: urllib3 can't pass a connection more than two timeouts."""

    deadline: Deadline | None = None


current = _CurrentCall()
