"""Errors of the helpers, in addition to those of the API; all are `ubiops.OpenApiException`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ubiops import models
from ubiops.exceptions import ApiConnectionError, ApiException, ApiValueError, OpenApiException

__all__ = [
    "BuildFailed",
    "IncompleteStream",
    "IncompleteTransfer",
    "InvalidInput",
    "InvalidPackage",
    "MissingExtra",
    "RequestFailed",
    "RequestsInDoubt",
    "StatusError",
    "TransferFailed",
    "UpsertFailed",
    "ValidateError",
    "ValidateSkip",
    "ValidateWarning",
    "WaitError",
    "WaitTimeout",
    "WaitedRequestFailed",
    "unexpected_answer",
]


def unexpected_answer(operation: str, expected: str, answer: object) -> ApiException:
    """The error for a successful answer of the API that can't be used.

    Args:
        operation: The operation that was called.
        expected: What was expected.
        answer: The answer, which is the error's ``body``.
    """
    # The `repr` of models, and so of lists of them, is masked.
    text = repr(answer)
    shown = text if len(text) <= 200 else text[:200] + "..."
    return ApiException(200, f"Unexpected answer to {operation}: expected {expected}, got {shown}", body=text)


class StatusError(OpenApiException, ValueError):
    """A build, request, export or import failed or was cancelled: the error's name in newer clients."""


class ValidateError(OpenApiException, ValueError):
    """What a build would refuse: the error's name in newer clients."""


class ValidateSkip(OpenApiException, ValueError):
    """A check that couldn't be made; kept for programs of newer clients, never raised."""


class ValidateWarning(OpenApiException, ValueError):
    """A questionable line of a file; kept for programs of newer clients, never raised."""


class WaitError(OpenApiException):
    """Something that was waited for failed or disappeared.

    Args:
        message: What was waited for, and how it ended.
        last: The object as it was last seen.
        logs: The last lines of its log, oldest first, if it is a build.

    Attributes:
        last (Model | None): The same; None if it was never seen.
        logs (list[str]): The same.
    """

    def __init__(self, message: str, last: Any = None, logs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.last = last
        self.logs = list(logs)

    def __str__(self) -> str:
        return "\n".join([str(self.args[0]), *(f"  {line}" for line in self.logs)])


class WaitTimeout(WaitError, ApiException, TimeoutError):
    """It hadn't finished when the time was up. It goes on at the server.

    Newer clients raise an `ubiops.ApiException` with status 504, so this is one too.
    """

    def __init__(self, message: str, last: Any = None, logs: Sequence[str] = ()) -> None:
        WaitError.__init__(self, message, last, logs)
        ApiException.__init__(self, 504, message)
        # Used for pickling.
        self.args = (message,)


class BuildFailed(WaitError, StatusError):
    """A build failed: the message is the build's, ``last`` the build, ``logs`` its last lines."""


class RequestFailed(StatusError):
    """A request failed or was cancelled: the message is its ``error_message``, ``last`` the request.

    After a local run, the message is that of the exception in the package's code, which is the ``__cause__``, and
    ``last`` is None.

    Attributes:
        last (Model | None): The same.
        logs (list[str]): Empty; a request's log is read by `tail_logs`.
        index (int | None): If `map_requests` made it, the index of its input, from 0.
    """

    def __init__(self, message: str, last: Any = None, logs: Sequence[str] = (), index: int | None = None) -> None:
        super().__init__(message)
        self.last = last
        self.logs = list(logs)
        self.index = index


class WaitedRequestFailed(RequestFailed, WaitError):
    """A request that was waited for failed or was cancelled."""


class TransferFailed(WaitError, StatusError):
    """An export or an import failed: the message is its ``error_message``, ``last`` the export or import."""


class IncompleteStream(ApiConnectionError):
    """The stream of a request ended before its result came (status 0). The request may go on at the server.

    Args:
        message: Which stream ended.
        received: The updates that came.

    Attributes:
        received (list[str]): The same.
    """

    def __init__(self, message: str, received: Sequence[str]) -> None:
        super().__init__(0, message)
        self.received = list(received)


class IncompleteTransfer(OpenApiException):
    """Not all of the files were uploaded or downloaded.

    A file is named by its source: the local path of an upload, the name in the bucket of a download. The error of the
    first file that failed is the ``__cause__``; after Ctrl-C, this error is the cause of the `KeyboardInterrupt`.

    Args:
        message: What happened.
        completed: The transferred files, and where they are: a URI, or a local path.
        failed: The files that failed, and why.
        remaining: The files that were not started, or abandoned half way.

    Attributes:
        completed (dict[str, str]): The same.
        failed (dict[str, BaseException]): The same.
        remaining (list[str]): The same.
    """

    def __init__(
        self,
        message: str,
        completed: Mapping[str, str],
        failed: Mapping[str, BaseException],
        remaining: Sequence[str],
    ) -> None:
        super().__init__(message)
        self.completed = dict(completed)
        self.failed = dict(failed)
        self.remaining = list(remaining)


class UpsertFailed(OpenApiException):
    """Not all of the environment variables were set; the API's error for the first that wasn't is the ``__cause__``.

    Args:
        name: The variable that couldn't be set.
        done: Those that were set before it, as they are now.
        cause: The API's error.

    Attributes:
        name (str): The same.
        done (list[models.EnvironmentVariableList]): The same.
    """

    def __init__(self, name: str, done: Sequence[models.EnvironmentVariableList], cause: object) -> None:
        names = ", ".join(variable.name for variable in done) or "none"
        super().__init__(f"The environment variable {name} couldn't be set: {cause}Set before it: {names}")
        self.name = name
        self.done = list(done)


class InvalidPackage(ApiValueError, ValidateError):
    """A deployment package that the build would refuse.

    Args:
        problems: What is wrong, each with its place and what to do.

    Attributes:
        problems (list[str]): The same.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("The package can't be deployed: " + "; ".join(problems))
        self.problems = list(problems)


class InvalidInput(ApiValueError):
    """An input of `map_requests` that can't be sent, or that the server refused: it made no request.

    Args:
        message: What is wrong with it.
        index: Its index among the inputs, from 0.

    Attributes:
        index (int): The same.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


class RequestsInDoubt(OpenApiException):
    """The answer to a batch was lost, and it can't be determined whether the server carried the batch out.

    It is not sent again, since its requests may be running.

    Args:
        message: Why it is in doubt.
        indexes: The indexes of its inputs, from 0.

    Attributes:
        indexes (range): The same.
    """

    def __init__(self, message: str, indexes: range) -> None:
        super().__init__(message)
        self.indexes = indexes


class MissingExtra(OpenApiException, ImportError):
    """A library of one of the client's extras is missing.

    Args:
        library: Name of the library on the package index.
        purpose: What needs it.
    """

    def __init__(self, library: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}: pip install {library}")
        self._arguments = (library, purpose)

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return type(self), self._arguments
