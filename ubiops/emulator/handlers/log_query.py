"""Queries of logs: the subset of LogQL that the service supports."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from lark import Lark, Transformer
from lark.exceptions import LarkError, VisitError
from sqlalchemy import ColumnElement, func, not_

from ubiops.emulator.errors import ApiError, invalid
from ubiops.emulator.patterns import PatternError, check_pattern
from ubiops.emulator.tables import LogLine

_LONGEST = 5000
_MOST = 100
"""The most conditions in a query: the database takes no more than a thousand."""

_GRAMMAR = r"""
    start: (line | labels)*
    line: LINE_OPERATOR value
    labels: "|" label ("and" label)*
    label: NAME LABEL_OPERATOR value
    value: QUOTED | WORD

    LINE_OPERATOR: "|=" | "|~" | "!=" | "!~"
    LABEL_OPERATOR: "!=" | "="
    NAME: /[a-z_]+/
    QUOTED: /`[^`]*`|"[^"]*"/
    WORD: /[A-Za-z0-9._-]+/

    %import common.WS
    %ignore WS
"""


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr")


class _Conditions(Transformer[Any, Any]):
    """Translates a query to SQL."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        super().__init__()
        self._columns = columns

    def value(self, found: list[Any]) -> str:
        text = str(found[0])
        return text[1:-1] if text[0] in '`"' else text

    def line(self, found: list[Any]) -> ColumnElement[bool]:
        operator, text = str(found[0]), found[1]
        if operator[1] == "=":
            matches = LogLine.log.contains(text, autoescape=True)
        else:
            matches = func.matches(_checked(text), LogLine.log)
        return matches if operator[0] == "|" else not_(matches)

    def label(self, found: list[Any]) -> ColumnElement[bool]:
        name, operator, value = str(found[0]), str(found[1]), found[2]
        if name not in self._columns:
            raise invalid(f"query: there is no label '{name}'; choose one of {', '.join(self._columns)}")
        column = self._columns[name]
        wanted: Any = value.lower() == "true" if name == "system" else value
        equal: ColumnElement[bool] = column.is_not_distinct_from(wanted)
        return equal if operator == "=" else not_(equal)

    def labels(self, found: list[Any]) -> list[ColumnElement[bool]]:
        return found

    def start(self, found: list[Any]) -> list[ColumnElement[bool]]:
        return [condition for stage in found for condition in (stage if isinstance(stage, list) else [stage])]


def _checked(pattern: str) -> str:
    try:
        check_pattern(pattern)
    except PatternError as error:
        raise invalid(f"query: `{pattern}` is not a regular expression: {error}") from error
    return pattern


def read_query(text: str, columns: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """The conditions that a query puts on log lines.

    Args:
        text: The query, such as ``|= `timeout` | level = `error` and system != `true```.
        columns: The columns of the labels, by name.

    Raises:
        ApiError: 400: it isn't a query, or names an unknown label.
    """
    if len(text) > _LONGEST:
        raise invalid(f"query: it must have at most {_LONGEST} characters, not {len(text)}")
    try:
        conditions: list[ColumnElement[bool]] = _Conditions(columns).transform(_parser().parse(text))
    except VisitError as error:
        if isinstance(error.orig_exc, ApiError):
            raise error.orig_exc from None
        raise
    except LarkError as error:
        raise invalid(
            f"query: '{text[:100]}' can't be read: it takes |=, !=, |~ and !~ with a text in backticks, and "
            "| label = `value` and ..."
        ) from error
    if len(conditions) > _MOST:
        raise invalid(f"query: it must have at most {_MOST} conditions, not {len(conditions)}")
    return conditions
