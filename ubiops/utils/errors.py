"""What can go wrong in the helpers beyond what the API answers; all are `ubiops.OpenApiException`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ubiops.exceptions import ApiValueError, OpenApiException

__all__ = [
    "BuildFailed",
    "InvalidInput",
    "InvalidPackage",
    "MissingExtra",
    "RequestFailed",
    "RequestsInDoubt",
    "TransferFailed",
    "WaitError",
    "WaitTimeout",
]


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

    def __reduce__(self) -> tuple[type[WaitError], tuple[Any, ...]]:
        return type(self), (str(self.args[0]), self.last, self.logs)

    def __str__(self) -> str:
        return "\n".join([str(self.args[0]), *(f"  {line}" for line in self.logs)])


class WaitTimeout(WaitError, TimeoutError):
    """It had not ended when the time was over. It goes on at the server."""


class BuildFailed(WaitError):
    """A build failed: the message is the build's, ``last`` the build, ``logs`` what it wrote last."""


class RequestFailed(WaitError):
    """A request failed or was cancelled: the message is its ``error_message``, ``last`` the request.

    Attributes:
        index (int | None): Where `map_requests` made it, the index of its input, from 0.
    """

    def __init__(self, message: str, last: Any = None, logs: Sequence[str] = (), index: int | None = None) -> None:
        super().__init__(message, last, logs)
        self.index = index

    def __reduce__(self) -> tuple[type[WaitError], tuple[Any, ...]]:
        return type(self), (str(self.args[0]), self.last, self.logs, self.index)


class TransferFailed(WaitError):
    """An export or an import failed: the message is its ``error_message``, ``last`` the export or import."""


class InvalidPackage(ApiValueError):
    """A deployment package that its build would refuse.

    Args:
        problems: What is wrong, each with its place and what to do.

    Attributes:
        problems (list[str]): The same.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("The package can't be deployed: " + "; ".join(problems))
        self.problems = list(problems)

    def __reduce__(self) -> tuple[type[InvalidPackage], tuple[list[str]]]:
        return type(self), (self.problems,)


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

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[str, int]]:
        return type(self), (str(self), self.index)


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

    def __reduce__(self) -> tuple[type[RequestsInDoubt], tuple[str, range]]:
        return type(self), (str(self), self.indexes)


class MissingExtra(OpenApiException, ImportError):
    """A library is needed that ``pip install ubiops`` doesn't bring.

    Args:
        library: Name of the library.
        extra: The extra of ubiops that brings it.
        purpose: What needs it.
    """

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}: pip install 'ubiops[{extra}]'")
        self._arguments = (library, extra, purpose)

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        return type(self), self._arguments
