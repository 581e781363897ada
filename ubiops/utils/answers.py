"""Checks of the API's answers that helpers read: an answer of an unexpected shape is an API error."""

from __future__ import annotations

from typing import Any, TypeVar

from ubiops.utils.exceptions import unexpected_answer

__all__ = ["check_answer", "check_list"]

T = TypeVar("T")


def check_answer(operation: str, answer: T, *attributes: str) -> T:
    """Return an answer if it has the attributes that are read; test doubles pass too.

    Raises:
        ApiException: The answer lacks an attribute; ``body`` is the answer as text.
    """
    for attribute in attributes:
        if not hasattr(answer, attribute):
            raise unexpected_answer(operation, f"an object with `{attribute}`", answer)
    return answer


def check_list(operation: str, answer: Any, *attributes: str, text: str | None = None) -> list[Any]:
    """Return an answer if it is a list of objects with these attributes.

    Args:
        operation: The operation that returned it.
        answer: The answer.
        *attributes: The attributes that are read.
        text: The attribute that must be a `str`, since it identifies the objects.

    Raises:
        ApiException: The answer isn't such a list; ``body`` is the answer as text.
    """
    if not isinstance(answer, list):
        raise unexpected_answer(operation, "a list", answer)
    for item in answer:
        check_answer(operation, item, *attributes)
        if text is not None and not isinstance(getattr(item, text), str):
            raise unexpected_answer(operation, f"text as `{text}`", answer)
    return answer
