"""Checks of what the helpers are given, made before anything is sent."""

from __future__ import annotations

import datetime
import math
from typing import Any

from ubiops.exceptions import ApiTypeError, ApiValueError

__all__ = ["check_count", "check_seconds", "invalid", "utc", "wrong_type"]


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
