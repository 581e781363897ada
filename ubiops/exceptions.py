"""The errors that the client raises: `OpenApiException` is the base of all of them; they can be pickled and copied."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "ApiConnectionError",
    "ApiException",
    "ApiFileError",
    "ApiKeyError",
    "ApiRequestError",
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
    "UbiOpsException",
    "UnauthorizedError",
    "UnprocessableEntityError",
    "render_path",
]

_MASKED_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"})
# The parameters of a signed URL that authorize its use. Compiled by the first error, not by the import.
_SIGNATURE = (
    r"(?i)(?<=[?&;])((?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|awsaccesskeyid|googleaccessid)=)"
    r"[^&\s\"'<>]+"
)
_URL_HEADERS = frozenset({"location", "content-location", "refresh", "link"})
# How much of an HTML page is looked at, and how much of its text is shown, in characters.
_PAGE, _LINE = 4096, 200


class UbiOpsException(Exception):
    """The base of every error of this client, under its name in the newer one."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the constructor: subclasses have signatures of their own.
        state = dict(self.__dict__)
        if isinstance(self, OSError):
            # Attributes that Python's own errors don't keep in their dict.
            state.update(errno=self.errno, strerror=self.strerror, filename=self.filename)
        return _made_again, (type(self), self.args), state


def _made_again(kind: type[UbiOpsException], args: tuple[Any, ...]) -> UbiOpsException:
    error: UbiOpsException = (OSError if issubclass(kind, OSError) else Exception).__new__(kind)
    error.args = args
    return error


class OpenApiException(UbiOpsException):
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
    """An unknown argument, or a value of a type that an argument doesn't take; nothing was sent.

    Args:
        msg: What was wrong, where, and what to do.
        path_to_item: Keys and indexes that lead to the value.
        valid_classes: The types that are accepted.
        key_type: Whether it is a key that has the wrong type.
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
    """A value that the API doesn't accept; nothing was sent."""


class ApiFileError(ApiValueError, OSError):
    """A file to upload that is missing, unreadable or not a file; nothing was sent.

    If the system says why, it is also of Python's class for that (`FileNotFoundError`, `PermissionError`,
    `IsADirectoryError`, `NotADirectoryError`), with ``errno``, ``strerror`` and ``filename``.
    """

    @classmethod
    def of(cls, msg: str, error: BaseException) -> ApiFileError:
        """The error with the class and attributes of another one, and another text."""
        kind = next((kind for kind in _FILE_ERRORS if isinstance(error, kind.__bases__[1])), ApiFileError)
        made = kind(msg)
        if isinstance(error, OSError):
            made.errno, made.strerror, made.filename = error.errno, error.strerror, error.filename
        return made

    @classmethod
    def from_errno(cls, msg: str, number: int, filename: str) -> ApiFileError:
        """The error for an error number of the system."""
        return cls.of(msg, OSError(number, os.strerror(number), filename))


class ApiFileNotFoundError(ApiFileError, FileNotFoundError):
    """The file doesn't exist."""


class ApiFilePermissionError(ApiFileError, PermissionError):
    """The file may not be read."""


class ApiFileIsADirectoryError(ApiFileError, IsADirectoryError):
    """The path is a folder."""


class ApiFileNotADirectoryError(ApiFileError, NotADirectoryError):
    """A part of the path isn't a folder."""


_FILE_ERRORS: tuple[type[ApiFileError], ...] = (
    ApiFileNotFoundError,
    ApiFilePermissionError,
    ApiFileIsADirectoryError,
    ApiFileNotADirectoryError,
)


class MissingArgumentError(ApiValueError, TypeError):
    """A required argument was left out; nothing was sent."""


class ApiKeyError(_PathError, KeyError):
    """A key doesn't exist."""


class MaskedHeaders(dict[str, str]):
    """Headers whose repr shows no credential."""

    def __repr__(self) -> str:
        return repr(_masked(self))


class Headers(MaskedHeaders):
    """Headers in the order and case that they were sent in; lookup ignores case."""

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

    Branch on the subclasses: `ApiRequestError` if an answer came, and below it `BadRequestError` (400),
    `UnauthorizedError` (401), `ForbiddenError` (403), `NotFoundError` (404), `ConflictError` (409),
    `PayloadTooLargeError` (413), `UnprocessableEntityError` (422), `TooManyRequestsError` (429) and `ServerError` (500
    to 599); `ApiConnectionError` and `ApiTimeoutError` if none came.

    Args:
        status: HTTP status.
        reason: Reason phrase.
        body_or_response: Body of the answer if it is a string, else the answer, as `http_resp`.
        http_resp: An answer with ``status``, ``reason``, ``data`` and ``getheaders()``.
        requests_resp: An answer of ``requests``.
        body: Body of the answer.
        headers: Headers of the answer.

    Attributes:
        status (int | None): HTTP status; 0 if no answer came.
        reason (str | None): Reason phrase, or what went wrong without an answer.
        body (str | None): Body of the answer, as text.
        headers (dict[str, str] | None): Headers of the answer; lookup ignores case.
        operation (str | None): Method of `CoreApi` that was called.
        method (str | None): HTTP method of the request.
        path (str | None): Path of the request, below the host.
    """

    operation: str | None = None
    method: str | None = None
    path: str | None = None
    _hint: str | None = None

    def __init__(
        self,
        status: int | None = None,
        reason: str | None = None,
        body_or_response: Any = None,
        http_resp: Any = None,
        requests_resp: Any = None,
        *,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if isinstance(body_or_response, (str, bytes)):
            body = body_or_response
        elif body_or_response is not None:
            http_resp = body_or_response
        if http_resp is not None:
            status, reason, body, headers = _read(http_resp)
        elif requests_resp is not None:
            status, reason, body = requests_resp.status_code, requests_resp.reason, requests_resp.text
            headers = requests_resp.headers
        self.status = status
        self.reason = None if reason is None else _without_signatures(reason)
        self.body = None if body is None else _without_signatures(_text(body))
        self.headers = None if headers is None else Headers(_without_signed_urls(headers))
        # Not `super()`: errors of the transport are also errors of urllib3's, which take other arguments.
        Exception.__init__(self, status, self.reason)

    def __str__(self) -> str:
        text = f"{self.reason} ({self.status})\n{self._answer()}"
        return text if self._hint is None else f"{text}{self._hint}\n"

    def _answer(self) -> str:
        message = self._server_message()
        if message is not None:
            return f"Error: {message}\n"
        text = ""
        if self.headers:
            text += f"HTTP response headers: {_masked(self.headers)}\n"
        if self.body:
            page = _line_of_page(self.body) if self.status in (401, 404) else None
            text += f"HTTP response body: {self.body if page is None else page}\n"
        return text

    def get_body_message(self) -> str | None:
        """The server's message in the body: ``error`` or ``error_message`` of JSON, ``Details`` or ``Message`` of XML,
        else the whole body."""
        message = self._server_message()
        if message is None and self.body and self.body.lstrip().startswith("<"):
            found = {name: text for name, text in re.findall(r"<(Details|Message)>([^<]*)</\1>", self.body)}
            message = found.get("Details") or found.get("Message")
        return self.body if message is None else message

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
        """Mask a credential wherever it occurs in the answer, or in the errors that caused this one."""
        if self.body is not None:
            self.body = self.body.replace(secret, "***")
        if self.headers is not None:
            self.headers = Headers({name: value.replace(secret, "***") for name, value in self.headers.items()})
        if self.reason is not None:
            self.reason = self.reason.replace(secret, "***")
            self.args = (self.status, self.reason)
        for error in causes_of(self):
            error.args = tuple(arg.replace(secret, "***") if isinstance(arg, str) else arg for arg in error.args)

    @staticmethod
    def class_for(status: int) -> type[ApiException]:
        """The class of error for an HTTP status."""
        return _BY_STATUS.get(status) or (ServerError if 500 <= status <= 599 else ApiRequestError)

    def locate(self, operation: str | None, method: str, path: str, hint: str | None = None) -> None:
        """Add which call failed, and a possible reason, as notes that tracebacks show.

        Python 3.10 has no notes: there, the text of the error ends with the reason.
        """
        self.operation, self.method, self.path = operation, method, path
        note = f"while calling {operation + ': ' if operation else ''}{method} {path}"
        if hasattr(self, "add_note"):
            self.add_note(note)
            if hint is not None:
                self.add_note(hint)
        elif hint is not None:
            self._hint = hint


class ApiRequestError(ApiException):
    """The API answered with a status other than success."""


class BadRequestError(ApiRequestError):
    """400: the request is invalid; the message says why."""


class UnauthorizedError(ApiRequestError):
    """401: the API token is missing, wrong or expired."""


class ForbiddenError(ApiRequestError):
    """403: the API token lacks the permission."""


class NotFoundError(ApiRequestError):
    """404: the object doesn't exist, or this API token may not see it."""


class ConflictError(ApiRequestError):
    """409: the name is taken, or the state of the object doesn't allow the call."""


class PayloadTooLargeError(ApiRequestError):
    """413: the request body is larger than the server accepts."""


class UnprocessableEntityError(ApiRequestError):
    """422: the request is well-formed but can't be processed."""


class TooManyRequestsError(ApiRequestError):
    """429: the rate limit is exceeded or the queue is full; ``headers`` may have ``Retry-After``."""


class ServerError(ApiRequestError):
    """500 to 599: the server failed."""


class ApiConnectionError(ApiException):
    """The API couldn't be reached, or the connection broke: status 0, the cause in ``__cause__``."""


class ApiTimeoutError(ApiConnectionError):
    """The API didn't answer in time: status 0, the cause in ``__cause__``."""


_BY_STATUS: dict[int, type[ApiRequestError]] = {
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
    return "".join(f"[{part}]" if isinstance(part, int) else f"['{part}']" for part in path_to_item)


def causes_of(error: BaseException) -> list[BaseException]:
    """The errors that caused one, and those in its group."""
    found = [error]
    for one in found:
        causes = (one.__cause__, one.__context__, *one.args)
        found += [cause for cause in causes if isinstance(cause, BaseException) and cause not in found]
    return found[1:]


def _masked(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: "***" if name.lower() in _MASKED_HEADERS else value for name, value in headers.items()}


def _read(answer: Any) -> tuple[Any, Any, Any, Any]:
    """Status, reason, body and headers of an answer."""
    return answer.status, answer.reason, answer.data, answer.getheaders()


def _text(body: Any) -> str:
    # Tests of programs pass doubles.
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body)


def _without_signatures(text: str) -> str:
    return re.sub(_SIGNATURE, r"\1***", text)


def _without_signed_urls(headers: Any) -> dict[str, str]:
    try:
        given = dict(headers)
    except (TypeError, ValueError):
        return {}
    return {
        name: re.sub(r"\?[^\s>]+", "?***", value) if name.lower() in _URL_HEADERS else _without_signatures(value)
        for name, value in given.items()
    }


def _line_of_page(body: str) -> str | None:
    """The text of an HTML page, cut to one line; None if it isn't an HTML page, or not longer than that."""
    if len(body) <= _LINE and "\n" not in body:
        return None
    page = body[:_PAGE]
    if not re.match(r"\s*<(!doctype html|html)\b", page, re.IGNORECASE):
        return None
    page = re.sub(r"<(style|script)\b[^<]*</\1>|<[^<>]*>", " ", page, flags=re.IGNORECASE)
    line = " ".join(page.split())
    return line if len(line) <= _LINE else f"{line[:_LINE]}..."
