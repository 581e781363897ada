"""Checks of what the helpers are given, made before anything is sent."""

from __future__ import annotations

import datetime
import math
import os
from typing import TYPE_CHECKING, Any

from ubiops.exceptions import ApiTypeError, ApiValueError

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.api_client import ApiClient

    Client = ApiClient | CoreApi
    StrPath = str | os.PathLike[str]

__all__ = ["check_count", "check_folder", "check_seconds", "core_api", "invalid", "utc", "wrong_type"]


def core_api(client: Client) -> CoreApi:
    """The operations of a client.

    Raises:
        ApiTypeError: It is no client.
    """
    from ubiops.api.core_api import CoreApi

    return client if isinstance(client, CoreApi) else CoreApi(client)


def invalid(argument: str, function: str, problem: str) -> ApiValueError:
    """The error for a value that a helper doesn't take."""
    return ApiValueError(f"Invalid value for `{argument}` when calling `{function}`, {problem}")


def wrong_type(argument: str, function: str, expected: str, value: Any) -> ApiTypeError:
    """The error for a value of a type that a helper doesn't take."""
    return ApiTypeError(
        f"Invalid value for `{argument}` when calling `{function}`, must be {expected}, "
        f"not {type(value).__name__} ({value!r})"
    )


def check_count(argument: str, function: str, value: Any, least: int) -> None:
    """Refuse what is no whole number of at least so many."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(argument, function, "int", value)
    if value < least:
        raise invalid(argument, function, f"must be {least} or more, not {value}")


def check_seconds(argument: str, function: str, value: Any) -> None:
    """Refuse what is no number of seconds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(argument, function, "a number of seconds", value)
    if math.isnan(value):
        raise invalid(argument, function, "must be a number of seconds, not nan")


def utc(argument: str, function: str, moment: Any) -> datetime.datetime:
    """A moment in UTC; one without a zone is taken to be in UTC, as the API does."""
    if not isinstance(moment, datetime.datetime):
        raise wrong_type(argument, function, "datetime.datetime", moment)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.timezone.utc)
    return moment.astimezone(datetime.timezone.utc)


def check_folder(directory: Any, argument: str, function: str) -> str:
    """The absolute path of a folder that the caller gave.

    Raises:
        ApiTypeError: It is no path.
        ApiValueError: There is no such folder.
    """
    try:
        path = os.path.abspath(os.fsdecode(directory))
    except TypeError as error:
        raise ApiTypeError(f"Invalid value for `{argument}` when calling `{function}`, {error}") from None
    if not os.path.isdir(path):
        problem = f"must be a folder, {path!r} is a file" if os.path.exists(path) else f"there is no folder {path!r}"
        raise invalid(argument, function, problem)
    return path
