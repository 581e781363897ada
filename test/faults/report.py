"""docs/reliability.md, written from the table of faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from test.faults.calls import CALLS
from test.faults.helpers import HELPERS
from test.faults.table import ALL_FAULTS

__all__ = ["PATH", "headings", "write"]

PATH = Path(__file__).parents[2] / "docs" / "reliability.md"

_HEAD = """# Reliability

Whatever a server, a proxy or the network does, a call ends in time, with the right value or with an error of
`ubiops.exceptions`; reading an open response yourself (`blobs_get`, `_preload_content=False`) raises urllib3's errors.

- A create, an update or an upload is sent at most once, unless no connection was made or the server answers 429.
- A file is there whole or not at all: a download that breaks off leaves no part, and an older file unchanged.
- No connection with unread bytes is used again: an answer is never mistaken for that to another request.
- The API token goes to the configured host only; no error, log line of ours or traceback shows it or a signature.
- No descriptor, thread or temporary file is left.

This page is written by `python -m test.faults table --docs` from what happened, and checked by the tests. Each row is a
fault of a server, of TLS or of a proxy on the way, with a limit of 0.7 seconds and the default of two retries; each
column is a kind of call, or several with the same outcomes. The part after a colon says at which of its requests a
helper met the fault. "what was sent" is a well-formed answer other than the expected one, such as an empty one;
"lost, and logged" means that `MetricClient`, whose thread raises nothing, logs the loss.

"""


def headings() -> tuple[list[str], list[str]]:
    """The rows and the kinds of call that the page should have."""
    return list(ALL_FAULTS), [*CALLS, *HELPERS]


def write(cells: dict[tuple[str, str], str]) -> str:
    """The page for the outcomes of all cells."""
    legend = {text: _short(text) for text in cells.values()}
    meanings = "\n".join(f"- {short}: {text}" for text, short in sorted(legend.items()) if short != text)
    tables = [f"## {title}\n\n{_table(list(kinds), cells, legend)}" for title, kinds in _PARTS.items()]
    return "\n\n".join([f"{_HEAD}{meanings}", *tables]) + "\n"


_PARTS = {"Operations": CALLS, "Helpers": HELPERS}


def _table(kinds: list[str], cells: dict[tuple[str, str], str], legend: dict[str, str]) -> str:
    columns: dict[tuple[str, ...], list[str]] = {}
    for kind in kinds:
        columns.setdefault(tuple(legend[cells[fault, kind]] for fault in ALL_FAULTS), []).append(kind)
    titles = ["fault", *(", ".join(alike) for alike in columns.values())]
    rows = zip((fault.replace("|", "") for fault in ALL_FAULTS), *columns, strict=True)
    return "\n".join([_line(titles), "|---" * len(titles) + "|", *map(_line, rows)])


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _short(text: str) -> str:
    names = {
        "ApiConnectionError": "connection",
        "ApiTimeoutError": "timeout",
        "WaitTimeout (504)": "not in time",
        "what was sent": "as sent",
    }
    if text in names:
        return names[text]
    if text.endswith(")"):
        return text.rpartition("(")[2][:-1]
    return text
