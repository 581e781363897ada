"""Masking of secrets in the lines of a log."""

from __future__ import annotations

from collections.abc import Iterable

_MASK = "***"
_SHORTEST_LINE = 4
"""Shortest line of a multi-line secret that is hidden: brackets of JSON aren't worth hiding."""


class Masks:
    """Hides secrets in the lines of a log.

    Args:
        secrets: Values that must not appear there; empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        whole = set(secrets)
        # A secret with several lines, such as a key, never appears in a single line of a log.
        lines = {line.strip() for secret in whole for line in secret.splitlines()}
        found = whole | {line for line in lines if len(line) >= _SHORTEST_LINE}
        # The longest first: a secret may be part of another one, the rest of which would stay readable.
        self._texts = sorted(filter(None, found), key=len, reverse=True)

    def __call__(self, line: str) -> str:
        """The line with its secrets masked."""
        for text in self._texts:
            line = line.replace(text, _MASK)
        return line
