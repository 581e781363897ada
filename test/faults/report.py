"""docs/reliability.md, written from the table of faults."""

from __future__ import annotations

from pathlib import Path

from test.faults.calls import KINDS
from test.faults.faults import FAULTS

__all__ = ["PATH", "headings", "write"]

PATH = Path(__file__).parents[2] / "docs" / "reliability.md"

_HEAD = """# Reliability

Whatever a server, a proxy or the network does, a call ends in its time, with the right value or with an error of
`ubiops.exceptions`; reading an open response yourself (`blobs_get`, `_preload_content=False`) raises urllib3's errors.

- A create, an update or an upload is sent at most once, unless no connection was made or the server answers 429.
- A file is there whole or not at all: a download that breaks off leaves no part, and an older file as it was.
- No connection that holds unread bytes is used again: an answer is never taken for that to another request.
- The API token goes to the configured host alone; it and signatures are in no error, log line of ours or traceback.
- No descriptor, thread or temporary file is left.

This page is written by `python -m test.faults table --docs` from what happened, and checked by the tests. Each row is a
fault of a server, with a limit of 0.7 seconds and the default of two retries; each column is a kind of call. "what was
sent" is a well-formed answer that is another than expected, such as an empty one.

"""


def headings() -> tuple[list[str], list[str]]:
    """The rows and columns that the page should have."""
    return list(FAULTS), list(KINDS)


def write(cells: dict[tuple[str, str], str]) -> str:
    """The page for the outcomes of all cells."""
    faults, kinds = headings()
    legend: dict[str, str] = {}
    lines = [f"| fault | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for fault in faults:
        row = [legend.setdefault(cells[fault, kind], _short(cells[fault, kind])) for kind in kinds]
        lines.append(f"| {fault.replace('|', '')} | {' | '.join(row)} |")
    meanings = "\n".join(f"- {short}: {text}" for text, short in sorted(legend.items()) if short != text)
    return f"{_HEAD}{meanings}\n\n" + "\n".join(lines) + "\n"


def _short(text: str) -> str:
    names = {"ApiConnectionError": "connection", "ApiTimeoutError": "timeout", "what was sent": "as sent"}
    if text in names:
        return names[text]
    if text.endswith(")"):
        return text.rpartition("(")[2][:-1]
    return text
