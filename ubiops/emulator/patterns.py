"""Regular expressions of callers, matched by RE2 in time that is linear in the text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]


class PatternError(ValueError):
    """A text is not a regular expression of RE2, which has neither backreferences nor lookaround."""


def check_pattern(text: str) -> None:
    """Check a regular expression.

    Raises:
        PatternError: The text is not one.
    """
    _compiled(text)


def matches(pattern: str, text: str) -> bool:
    """Whether a regular expression matches somewhere in a text."""
    return _compiled(pattern).search(text) is not None


@lru_cache(maxsize=16)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    # Errors are raised already.
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        message = error.args[0]
        raise PatternError(message.decode(errors="replace") if isinstance(message, bytes) else message) from error
