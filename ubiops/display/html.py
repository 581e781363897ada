"""Models as HTML tables, for notebooks."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from ubiops.display.masking import is_model, masked

if TYPE_CHECKING:
    from ubiops.model import Model

__all__ = ["list_table", "model_table"]

_MOST_ROWS = 20
_MOST_NESTED_ROWS = 10
_MOST_PARTS = 8
_MOST_LEVELS = 4
_LONGEST_TEXT = 400
_LONGEST_TEXT_IN_LIST = 80

# Notebooks right-align everything, by a rule of higher priority. No colours: they would not suit a dark theme.
_STYLE = """<style>
table.ubiops th, table.ubiops td {text-align: left !important; vertical-align: top; white-space: pre-wrap}
table.ubiops caption {text-align: left; font-weight: bold}
table.ubiops .wide td {white-space: nowrap}
table.ubiops .none {opacity: 0.5}
</style>"""


def model_table(model: Model) -> str:
    """A model as a table of its fields and their values, without credentials."""
    rows = [f"<tr><th>{escape(name)}</th><td>{_nested(value)}</td></tr>" for name, value in masked(model).items()]
    return _page(_table(rows, type(model).__name__))


def list_table(items: Sequence[Any]) -> str:
    """Models as a table with a row each, without credentials; of a long list, its beginning and its end."""
    kinds = {type(item).__name__ for item in items}
    caption = f"{kinds.pop() if len(kinds) == 1 else 'Items'} ({len(items):,})"
    return _page(_rows_table(items, _MOST_ROWS, caption))


def _page(table: str) -> str:
    return f'{_STYLE}<div style="overflow-x: auto">{table}</div>'


def _table(rows: Iterable[str], caption: str | None = None, kind: str = "") -> str:
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<table class="ubiops">{title}<tbody{kind}>{"".join(rows)}</tbody></table>'


def _rows_table(items: Sequence[Any], most: int, caption: str | None = None) -> str:
    head, tail = len(items), 0
    if len(items) > most:
        head, tail = most - most // 2, most // 2
    shown = [
        (number, masked(item) if is_model(item := items[number]) or isinstance(item, Mapping) else {"": item})
        for number in [*range(head), *range(len(items) - tail, len(items))]
    ]
    columns = list(dict.fromkeys(name for _, item in shown for name in item))
    rows = [
        f"<tr><th>{number}</th>"
        + "".join(f"<td>{_cell(item.get(name), _LONGEST_TEXT_IN_LIST)}</td>" for name in columns)
        + "</tr>"
        for number, item in shown
    ]
    if tail:
        rows.insert(head, f'<tr><th>⋮</th><td colspan="{len(columns)}">{len(items) - head - tail:,} more</td></tr>')
    header = "".join(f"<th>{escape(name)}</th>" for name in columns)
    return _table([f"<tr><th></th>{header}</tr>", *rows], caption, ' class="wide"')


def _nested(value: Any) -> str:
    """A value of a model: a list of models as a table, anything else as text."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return _rows_table(value, _MOST_NESTED_ROWS)
    return _cell(value, _LONGEST_TEXT)


def _cell(value: Any, longest: int) -> str:
    text = escape(_clip(_text(value, longest), longest))
    return f'<span class="none">{text}</span>' if value is None else text


def _text(value: Any, longest: int, levels: int = _MOST_LEVELS) -> str:
    """A value, shortened; of large and deep containers, the beginning."""
    if isinstance(value, datetime.datetime):
        precision = "milliseconds" if value.microsecond else "seconds"
        return f"{value.replace(tzinfo=None).isoformat(' ', precision)} {value.tzname() or ''}".rstrip()
    if not isinstance(value, (dict, list)):
        return str(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    if value and not levels:
        return f"{opening}…{closing}"
    if isinstance(value, dict):
        parts = [f"{key}: {_part(item, longest, levels)}" for key, item in islice(value.items(), _MOST_PARTS)]
    else:
        parts = [_part(item, longest, levels) for item in islice(value, _MOST_PARTS)]
    if len(value) > _MOST_PARTS:
        parts.append(f"… {len(value) - _MOST_PARTS:,} more")
    return f"{opening}{', '.join(parts)}{closing}"


def _part(value: Any, longest: int, levels: int) -> str:
    """A value in a dict or list: strings in quotes, to distinguish them from numbers."""
    return repr(_clip(value, longest)) if isinstance(value, str) else _text(value, longest, levels - 1)


def _clip(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
