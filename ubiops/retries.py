"""When a request is sent again."""

from __future__ import annotations

import random
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)

from ubiops.exceptions import ApiConnectionError, ApiValueError
from ubiops.files import Stream

__all__ = ["RETRIES", "Rules", "can_be_sent_again", "rules_for"]

RETRIES = 2

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 120.0
# The longest `Retry-After` with a `urllib3.Retry` of the program: as in urllib3 itself, from 2.6 on.
_LONGEST_OF_PROGRAM = 6 * 3600.0
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_TRANSIENT = frozenset({408, 429, 502, 503, 504})


class Rules:
    """When a request is sent again. The methods return the seconds to wait before that; None for never.

    Attributes:
        rate_limits: Whether requests refused by the rate limit (429) are sent again.
    """

    rate_limits: bool = True

    def __init__(self, retries: int) -> None:
        self._left = retries
        self._wait = _FIRST_WAIT

    def after_error(self, method: str, error: HTTPError) -> float | None:
        return self._pause() if _may_repeat_after_error(method, error) else None

    def after_answer(self, method: str, response: urllib3.BaseHTTPResponse) -> float | None:
        if response.status not in (_TRANSIENT if method in _REPEATABLE else (429,)):
            return None
        if response.status == 429 and not self.rate_limits:
            return None
        asked = _retry_after(response.headers.get("Retry-After"))
        if asked is None and response.status == 429:
            asked = _retry_after(response.headers.get("X-RateLimit-Reset"))
        if asked is not None and asked > _LONGEST_RETRY_AFTER:
            return None
        pause = self._pause()
        return pause if asked is None or pause is None else asked

    def after_break(self, error: ApiConnectionError) -> float | None:
        """The same for the answer to a GET that broke off while it was read."""
        cause = error.__cause__
        return self.after_error("GET", cause if isinstance(cause, HTTPError) else ProtocolError(str(error)))

    def _pause(self) -> float | None:
        if self._left < 1:
            return None
        self._left -= 1
        wait = self._wait
        self._wait = min(2 * wait, _LONGEST_WAIT)
        return wait * random.uniform(0.5, 1)


class _RulesOfProgram(Rules):
    """The same, by a `urllib3.Retry` of the program."""

    def __init__(self, retry: urllib3.Retry) -> None:
        self._retry = retry

    def after_error(self, method: str, error: HTTPError) -> float | None:
        try:
            self._retry = self._retry.increment(method, error=error)
        except HTTPError:
            return None
        return self._retry.get_backoff_time()

    def after_answer(self, method: str, response: urllib3.BaseHTTPResponse) -> float | None:
        if not self._retry.is_retry(method, response.status, "Retry-After" in response.headers):
            return None
        try:
            self._retry = self._retry.increment(method, response=response)
        except HTTPError:
            return None
        try:
            asked = self._retry.get_retry_after(response) if self._retry.respect_retry_after_header else None
        except HTTPError:
            return None
        except (ValueError, OverflowError):
            # A number too large for an int or a date.
            asked = None
        return min(asked, _LONGEST_OF_PROGRAM) if asked else self._retry.get_backoff_time()


def can_be_sent_again(body: Any) -> bool:
    return body is None or isinstance(body, bytes) or (isinstance(body, Stream) and body.rewindable)


def rules_for(retries: Any, body: bytes | Stream | None, default: int) -> Rules:
    """The rules for a request.

    Args:
        retries: The setting of the program: a number, a `urllib3.Retry` or None.
        body: The request's body.
        default: The number of retries if the program sets none.

    Raises:
        ApiValueError: `retries` is neither of these.
    """
    if not can_be_sent_again(body):
        return Rules(0)
    if isinstance(retries, urllib3.Retry):
        return _RulesOfProgram(retries)
    if retries is not None and (not isinstance(retries, int) or retries < 0):
        raise ApiValueError(
            f"configuration.retries must be a number of retries (0 for none) or a urllib3.Retry, not {retries!r}"
        )
    return Rules(default if retries is None else retries)


def _may_repeat_after_error(method: str, error: HTTPError) -> bool:
    if isinstance(error, (SSLError, DecodeError)):
        return False
    if method in _REPEATABLE:
        return True
    # No connection was made, so nothing was carried out.
    reason = error.original_error if isinstance(error, ProxyError) else error
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
