"""Secrets in lines of a log, where they must not be read."""

from __future__ import annotations

from collections.abc import Iterable

_MASK = "***"
_SHORTEST_LINE = 4
"""Characters of a line, of several in a secret, that are worth hiding: brackets of JSON are not."""


class Masks:
    """Hides secrets in the lines of a log.

    Args:
        secrets: Values that must not appear there; empty ones are passed over.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        whole = set(secrets)
        # What has several lines, such as a key, never stands in one line of a log.
        lines = {line.strip() for secret in whole for line in secret.splitlines()}
        found = whole | {line for line in lines if len(line) >= _SHORTEST_LINE}
        # One may be part of another, of which a rest would be left.
        self._texts = sorted(filter(None, found), key=len, reverse=True)

    def __call__(self, line: str) -> str:
        """The line without what must not be read."""
        for text in self._texts:
            line = line.replace(text, _MASK)
        return line
