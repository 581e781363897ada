"""The errors that the client raises: `OpenApiException` is the base of all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from six import ensure_str, integer_types

__all__ = [
    "ApiConnectionError",
    "ApiException",
    "ApiFileError",
    "ApiKeyError",
    "ApiTimeoutError",
    "ApiTypeError",
    "ApiValueError",
    "BadRequestError",
    "ConflictError",
    "ForbiddenError",
    "NotFoundError",
    "OpenApiException",
    "PayloadTooLargeError",
    "ServerError",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnprocessableEntityError",
    "render_path",
]

_MASKED_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})


class OpenApiException(Exception):
    """The base of every error of this client."""


class _PathError(OpenApiException):
    """An error about one place in the caller's data: `path_to_item` leads to it."""

    def __init__(self, msg: str, path_to_item: Sequence[str | int] | None = None) -> None:
        self.path_to_item = path_to_item
        super().__init__(f"{msg} at {render_path(path_to_item)}" if path_to_item else msg)

    def __str__(self) -> str:
        # KeyError would show the repr of its argument.
        return str(self.args[0])


class ApiTypeError(_PathError, TypeError):
    """An argument that the method doesn't take, or of a type it can't take.

    Args:
        msg: What was wrong, where, and what to do.
        path_to_item: Keys and indexes that lead to the value.
        valid_classes: The types that are taken.
        key_type: Whether the wrong type is that of a key.
    """

    def __init__(
        self,
        msg: str,
        path_to_item: Sequence[str | int] | None = None,
        valid_classes: Sequence[type] | None = None,
        key_type: bool | None = None,
    ) -> None:
        self.valid_classes = valid_classes
        self.key_type = key_type
        super().__init__(msg, path_to_item)


class ApiValueError(_PathError, ValueError):
    """A value that the API doesn't take; nothing was sent."""


class ApiFileError(ApiValueError, OSError):
    """A file to upload that is missing, unreadable or no file; nothing was sent."""


class MissingArgumentError(ApiValueError, TypeError):
    """A required argument was left out; nothing was sent."""


class ApiKeyError(_PathError, KeyError):
    """A key that isn't there."""


class Headers(dict[str, str]):
    """Headers in the order and case that they came in, found by name whatever its case."""

    def __missing__(self, name: str) -> str:
        for key, value in self.items():
            if key.lower() == name.lower():
                return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key.lower() == name.lower() for key in self)

    def get(self, name: str, default: Any = None) -> Any:
        """One header's value."""
        try:
            return self[name]
        except KeyError:
            return default


class ApiException(OpenApiException):
    """The API refused or failed a call, or couldn't be reached.

    Branch on the subclasses: `BadRequestError` (400), `UnauthorizedError` (401), `ForbiddenError` (403),
    `NotFoundError` (404), `ConflictError` (409), `PayloadTooLargeError` (413), `UnprocessableEntityError` (422),
    `TooManyRequestsError` (429), `ServerError` (500 to 599), `ApiConnectionError` and `ApiTimeoutError`.

    Attributes:
        status (int | None): HTTP status; 0 where no answer came.
        reason (str | None): Reason phrase, or what went wrong on the way.
        body (str | None): Body of the answer, as text.
        headers (dict[str, str] | None): Headers of the answer; they are found by name whatever its case.
        operation (str | None): Method of `CoreApi` that was called.
        method (str | None): HTTP method of the request.
        path (str | None): Path of the request, below the host.
    """

    operation: str | None = None
    method: str | None = None
    path: str | None = None

    def __init__(
        self,
        status: int | None = None,
        reason: str | None = None,
        http_resp: Any = None,
        *,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if http_resp is not None:
            status, reason, body, headers = http_resp.status, http_resp.reason, http_resp.data, http_resp.getheaders()
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.body = None if body is None else ensure_str(body, errors="replace")
        self.headers = None if headers is None else Headers(headers)

    def __str__(self) -> str:
        text = f"{self.reason} ({self.status})\n"
        message = self._server_message()
        if message is not None:
            return f"{text}Error: {message}\n"
        if self.headers:
            text += f"HTTP response headers: {_masked(self.headers)}\n"
        if self.body:
            text += f"HTTP response body: {self.body}\n"
        return text

    def _server_message(self) -> str | None:
        try:
            answer = json.loads(self.body or "")
        except (ValueError, RecursionError):
            return None
        if not isinstance(answer, dict):
            return None
        message = answer.get("error") or answer.get("error_message")
        return None if message is None else str(message)

    def hide(self, secret: str) -> None:
        """Mask a credential wherever it stands in the answer, or in the errors that this one came from."""
        if self.body is not None:
            self.body = self.body.replace(secret, "***")
        if self.headers is not None:
            self.headers = Headers({name: value.replace(secret, "***") for name, value in self.headers.items()})
        if self.reason is not None:
            self.reason = self.reason.replace(secret, "***")
            self.args = (self.status, self.reason)
        for error in _causes(self):
            error.args = tuple(arg.replace(secret, "***") if isinstance(arg, str) else arg for arg in error.args)

    @staticmethod
    def class_for(status: int) -> type[ApiException]:
        """The class of error that stands for an HTTP status."""
        return _BY_STATUS.get(status) or (ServerError if 500 <= status <= 599 else ApiException)

    def locate(self, operation: str | None, method: str, path: str) -> None:
        """Say which call failed: as attributes, and as a note that tracebacks show (Python 3.11 and newer)."""
        self.operation, self.method, self.path = operation, method, path
        note = f"while calling {operation + ': ' if operation else ''}{method} {path}"
        if hasattr(self, "add_note"):
            self.add_note(note)


class BadRequestError(ApiException):
    """400: the request is invalid; the message says why."""


class UnauthorizedError(ApiException):
    """401: the API token is missing, wrong or expired."""


class ForbiddenError(ApiException):
    """403: the API token lacks the permission."""


class NotFoundError(ApiException):
    """404: there is no such thing, or it can't be seen with this API token."""


class ConflictError(ApiException):
    """409: the name is taken, or the state of the object rules the call out."""


class PayloadTooLargeError(ApiException):
    """413: the request body is larger than the server takes."""


class UnprocessableEntityError(ApiException):
    """422: the request is well-formed but can't be processed."""


class TooManyRequestsError(ApiException):
    """429: the rate limit or the queue is exhausted; ``headers`` may hold ``Retry-After``."""


class ServerError(ApiException):
    """500 to 599: the server failed."""


class ApiConnectionError(ApiException):
    """The API couldn't be reached, or the connection broke: status 0, the cause in ``__cause__``."""


class ApiTimeoutError(ApiConnectionError):
    """The API didn't answer in time: status 0, the cause in ``__cause__``."""


_BY_STATUS: dict[int, type[ApiException]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableEntityError,
    429: TooManyRequestsError,
}


def render_path(path_to_item: Sequence[str | int]) -> str:
    """Write a path of keys and indexes as Python would: ``['data'][0]``."""
    return "".join(f"[{part}]" if isinstance(part, integer_types) else f"['{part}']" for part in path_to_item)


def _causes(error: BaseException) -> list[BaseException]:
    """The errors that one came from, and those that it was made of."""
    found = [error]
    for one in found:
        causes = (one.__cause__, one.__context__, *one.args)
        found += [cause for cause in causes if isinstance(cause, BaseException) and cause not in found]
    return found[1:]


def _masked(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: "***" if name.lower() in _MASKED_HEADERS else value for name, value in headers.items()}
