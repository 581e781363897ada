"""Checks of the helpers' arguments, made before anything is sent."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, ForwardRef, TypeVar, Union

import ubiops
from ubiops.exceptions import ApiFileError, ApiTypeError, ApiValueError, MissingArgumentError
from ubiops.frames import one_frame
from ubiops.operation import quote_path
from ubiops.schema import Invalid, acceptor, read_datetime

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.api_client import ApiClient
    from ubiops.model import Model

    Client = ApiClient | CoreApi
else:
    # Looked up by typing.get_type_hints when it is called: nothing is imported before.
    Client = Union[  # noqa: UP007 - a ForwardRef has no |
        ForwardRef("ubiops.ApiClient", module=__name__), ForwardRef("ubiops.CoreApi", module=__name__)
    ]
StrPath = str | os.PathLike[str]
Moment = datetime.datetime | datetime.date | str
"""A date and time as the models take it: an object of `datetime`, or text in ISO 8601."""

__all__ = [
    "ClientTypeError",
    "body",
    "check_count",
    "check_folder",
    "check_seconds",
    "check_text",
    "check_texts",
    "core_api",
    "helper",
    "invalid",
    "invalid_file",
    "read_path",
    "utc",
    "wrong_type",
]


F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound="Model")

_NAMES = frozenset(
    {
        "base_environment",
        "base_tag",
        "bucket_name",
        "deployment_name",
        "pipeline_name",
        "revision_id",
        "tag_name",
        "version",
    }
)
"""Arguments that name something, so they must not be empty even if they have a default."""


class ClientTypeError(ApiTypeError, AssertionError):
    """The `client` argument isn't a client. Newer clients raise an `AssertionError` for it, so this is one too."""


def core_api(client: Client, function: str, argument: str = "client") -> ubiops.CoreApi:
    """Return the operations of a client.

    Args:
        client: An `ApiClient` or a `CoreApi`, or a double of one.
        function: What the user called, for the error.
        argument: Name of the argument.

    Raises:
        ClientTypeError: It isn't a client.
    """
    from ubiops.api.core_api import CoreApi

    if isinstance(client, CoreApi):
        return client
    # No isinstance: tests of programs pass a double.
    if isinstance(client, type) or not hasattr(client, "configuration"):
        raise ClientTypeError(str(wrong_type(argument, function, "an ApiClient or a CoreApi", client)))
    return CoreApi(client)


def helper(function: F) -> F:
    """Decorate a helper: check its arguments of type `str`, and let errors leave it from one frame.

    The operations that it calls would refuse them too, but their errors would name the operations.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        check_texts(function, args, kwargs)
        return function(*args, **kwargs)

    return one_frame(update_wrapper(call, function))  # type: ignore[return-value]


def check_texts(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Check the arguments that a function declares as `str` or ``str | None``.

    A part of a path may also be an int, or anything else that the operations write as text.

    Raises:
        ApiTypeError: One isn't text.
        ApiValueError: One is missing or, where it names something, empty, ``.`` or ``..``.
    """
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    naming = {*names[: code.co_argcount - len(function.__defaults__ or ())], *_NAMES}
    for name, value in {**dict(zip(names, args, strict=False)), **kwargs}.items():
        declared = function.__annotations__.get(name)
        if declared not in ("str", "str | None") or (value is None and declared != "str"):
            continue
        if value is None:
            raise MissingArgumentError(f"Missing the required parameter `{name}` when calling `{function.__name__}`")
        try:
            if isinstance(value, bool) or not isinstance(value, int):
                acceptor("str")(value)
        except Invalid:
            raise wrong_type(name, function.__name__, "str", value) from None
        try:
            if name in naming:
                quote_path(value, "")
        except Invalid as error:
            raise invalid(name, function.__name__, error.problem) from None


def body(kind: type[M], function: str, fields: Mapping[str, Any], **arguments: str) -> M:
    """The body of a request, made from a helper's arguments.

    Args:
        kind: The body's model.
        function: What the user called, for the error.
        fields: Its fields.
        **arguments: The argument that became a field, by field, if their names differ.

    Raises:
        ApiValueError: A field isn't valid.
    """
    try:
        return kind.from_input(fields)
    except Invalid as error:
        error.path[:1] = [arguments.get(str(field), field) for field in error.path[:1]]
        raise invalid(error.place(), function, error.problem) from None


def invalid(argument: str, function: str, problem: str) -> ApiValueError:
    """The error for a value that a helper doesn't accept."""
    return ApiValueError(_message(argument, function, problem))


def invalid_file(argument: str, function: str, error: ApiFileError) -> ApiFileError:
    """The error for a file that can't be used; `error` says why, but not for which argument."""
    return ApiFileError.of(_message(argument, function, str(error)), error)


def wrong_type(argument: str, function: str, expected: str, value: Any) -> ApiTypeError:
    """The error for a value of a type that a helper doesn't accept."""
    return ApiTypeError(_message(argument, function, f"expected {expected}, got {_type_of(value)}"))


def _message(argument: str, function: str, problem: str) -> str:
    return f"Invalid value for `{argument}` when calling `{function}`, {problem}"


def _type_of(value: Any) -> str:
    # The value itself may be a secret, or long.
    return value.__name__ if isinstance(value, type) else type(value).__name__


def check_count(argument: str, function: str, value: Any, least: int, most: int | None = None) -> None:
    """Refuse anything but an int within bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(argument, function, "int", value)
    if most is not None and not least <= value <= most:
        raise invalid(argument, function, f"must be from {least} to {most}, not {value}")
    if value < least:
        raise invalid(argument, function, f"must be {least} or more, not {value}")


def check_seconds(argument: str, function: str, value: Any) -> None:
    """Refuse anything but a number of seconds, or None for no limit."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(argument, function, "a number of seconds or None", value)
    if math.isnan(value):
        raise invalid(argument, function, "must be a number of seconds, not nan")


def check_text(argument: str, function: str, value: Any) -> None:
    """Refuse anything but a string, or None for an argument that is left out."""
    if value is not None and not isinstance(value, str):
        raise wrong_type(argument, function, "str", value)


def utc(argument: str, function: str, moment: Any) -> datetime.datetime:
    """A moment in UTC, from any type that the models take; without a zone it is in UTC, as for the API."""
    if isinstance(moment, str):
        read = read_datetime(moment)
        if not isinstance(read, datetime.datetime):
            raise invalid(argument, function, f"must be a date in ISO 8601, not {moment!r}")
        moment = read
    elif isinstance(moment, datetime.date) and not isinstance(moment, datetime.datetime):
        moment = datetime.datetime.combine(moment, datetime.time())
    if not isinstance(moment, datetime.datetime):
        raise wrong_type(argument, function, "datetime or str", moment)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.timezone.utc)
    return moment.astimezone(datetime.timezone.utc)


def read_path(argument: str, function: str, value: Any) -> str:
    """The path that the caller passed, as text.

    Raises:
        ApiTypeError: It isn't a path.
        ApiValueError: It is empty, or contains a NUL.
    """
    try:
        path = os.fsdecode(value)
    except TypeError:
        raise wrong_type(argument, function, "a path", value) from None
    if not path or "\0" in path:
        raise invalid(argument, function, f"must be a path, not {path!r}")
    return path


def check_folder(argument: str, function: str, value: Any) -> str:
    """The absolute path of the folder that the caller passed.

    Raises:
        ApiTypeError: It isn't a path.
        ApiValueError: The folder doesn't exist.
    """
    path = os.path.abspath(read_path(argument, function, value))
    if not os.path.isdir(path):
        problem = (
            f"must be a folder, but {path!r} is a file"
            if os.path.exists(path)
            else f"the folder {path!r} doesn't exist"
        )
        raise invalid(argument, function, problem)
    return path
