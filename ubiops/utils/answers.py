"""Answers of the API that helpers go on with: what isn't of the shape that is due is an error of the API."""

from __future__ import annotations

from typing import Any, TypeVar

from ubiops.utils.exceptions import unexpected_answer

__all__ = ["check_answer", "check_list"]

T = TypeVar("T")


def check_answer(operation: str, answer: T, *attributes: str) -> T:
    """An answer, if it has what is read of it; doubles have it too.

    Raises:
        ApiException: It lacks an attribute; its ``body`` is the answer as text.
    """
    for attribute in attributes:
        if not hasattr(answer, attribute):
            raise unexpected_answer(operation, f"an object with `{attribute}`", answer)
    return answer


def check_list(operation: str, answer: Any, *attributes: str) -> list[Any]:
    """An answer, if it is a list of objects with these attributes.

    Raises:
        ApiException: It is none; its ``body`` is the answer as text.
    """
    if not isinstance(answer, list):
        raise unexpected_answer(operation, "a list", answer)
    for item in answer:
        check_answer(operation, item, *attributes)
    return answer
