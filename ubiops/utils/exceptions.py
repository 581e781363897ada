"""What can go wrong in the helpers beyond what the API answers; all are `ubiops.OpenApiException`."""

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
    """The error for an answer that the API gave as a success, and that is of no use.

    Args:
        operation: The operation that was called.
        expected: What should have come.
        answer: What came, which is the error's ``body``.
    """
    # Models have a `repr` that is masked, and lists of them too.
    text = repr(answer)
    shown = text if len(text) <= 200 else text[:200] + "..."
    return ApiException(200, f"Unexpected answer to {operation}: expected {expected}, got {shown}", body=text)


class StatusError(OpenApiException, ValueError):
    """A build, request, export or import that failed or was cancelled: newer clients know the error by this name."""


class ValidateError(OpenApiException, ValueError):
    """What a build would refuse: newer clients know the error by this name."""


class ValidateSkip(OpenApiException, ValueError):
    """A check that couldn't be made; kept for programs of newer clients, never raised."""


class ValidateWarning(OpenApiException, ValueError):
    """A doubtful line of a file; kept for programs of newer clients, never raised."""


class WaitError(OpenApiException):
    """Something that was waited for and didn't end well.

    Args:
        message: What was waited for, and what became of it.
        last: The object as it was last seen.
        logs: The last lines of its log, oldest first, where it is a build.

    Attributes:
        last (Model | None): The same; None where it was never seen.
        logs (list[str]): The same.
    """

    def __init__(self, message: str, last: Any = None, logs: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.last = last
        self.logs = list(logs)

    def __str__(self) -> str:
        return "\n".join([str(self.args[0]), *(f"  {line}" for line in self.logs)])


class WaitTimeout(WaitError, ApiException, TimeoutError):
    """It had not ended when the time was over. It goes on at the server.

    Newer clients raise an `ubiops.ApiException` of the status 504 then, so it is one of these too.
    """

    def __init__(self, message: str, last: Any = None, logs: Sequence[str] = ()) -> None:
        WaitError.__init__(self, message, last, logs)
        ApiException.__init__(self, 504, message)
        # What it is pickled with.
        self.args = (message,)


class BuildFailed(WaitError, StatusError):
    """A build failed: the message is the build's, ``last`` the build, ``logs`` what it wrote last."""


class RequestFailed(StatusError):
    """A request failed or was cancelled: the message is its ``error_message``, ``last`` the request.

    Of a local run, the message is what the package's code raised, which is the ``__cause__``, and ``last`` is None.

    Attributes:
        last (Model | None): The same.
        logs (list[str]): Empty; a request's log is read by `tail_logs`.
        index (int | None): Where `map_requests` made it, the index of its input, from 0.
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
    """The updates of a streamed request broke off before its result came: status 0. It may go on at the server.

    Args:
        message: What broke off.
        received: The updates that came.

    Attributes:
        received (list[str]): The same.
    """

    def __init__(self, message: str, received: Sequence[str]) -> None:
        super().__init__(0, message)
        self.received = list(received)


class IncompleteTransfer(OpenApiException):
    """Of many files that were to be uploaded or downloaded, not all were.

    A file is named by what it was: a local path where it was to be uploaded, a name in the bucket where it was to be
    downloaded. The error of the first file that failed is the ``__cause__``; a Ctrl-C has this error as its cause.

    Args:
        message: What happened.
        completed: What was transferred, and where to: a URI, or a local path.
        failed: What wasn't, and why.
        remaining: What was not begun, or given up half way.

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
    """Not all of the environment variables were set; what the API said of the first that wasn't is the ``__cause__``.

    Args:
        name: The variable that couldn't be set.
        done: Those that were set before it, as they are now.
        cause: What the API said.

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
    """A deployment package that its build would refuse.

    Args:
        problems: What is wrong, each with its place and what to do.

    Attributes:
        problems (list[str]): The same.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("The package can't be deployed: " + "; ".join(problems))
        self.problems = list(problems)


class InvalidInput(ApiValueError):
    """An input of `map_requests` that can't be sent, or that the server denied: no request came of it.

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
    """A batch whose answer was lost, and of which the server doesn't show whether it carried it out.

    It is not sent again, as its requests may run.

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
    """A library is needed that isn't installed with the client, but with one of its extras.

    Args:
        library: Name of the library on the package index.
        purpose: What needs it.
    """

    def __init__(self, library: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}: pip install {library}")
