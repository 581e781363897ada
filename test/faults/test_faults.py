"""The short form of the table: each fault with some kinds of call, and the page that is made of all."""

from __future__ import annotations

import pytest

from test.faults import report, table
from test.faults.calls import KINDS
from test.faults.faults import FAULTS

# Each costs the time of a call in full, for each kind of call.
SLOW = frozenset(
    {
        "silence",
        "silence before the request",
        "silence amid the body",
        "one byte a second",
        "trailers without end",
        "informational answers without end",
        "a gzip bomb",
        "a header of 10 MB",
    }
)
OFTEN = {name: KINDS[name] for name in ("read", "create", "download to disk", "download_file")}


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in SLOW])
def test_a_fault_ends_in_a_typed_error_or_the_right_value(name: str) -> None:
    cells = table.run({name: FAULTS[name]}, OFTEN)
    assert [cell for cell in cells.items() if cell[1].startswith("BAD")] == []


@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_slow_fault_too(name: str) -> None:
    cells = table.run({name: FAULTS[name]}, {"read": KINDS["read"]})
    assert [cell for cell in cells.items() if cell[1].startswith("BAD")] == []


def test_every_other_kind_of_call_meets_the_worst() -> None:
    worst = ("closed after the request", "gzip cut in the middle", "redirect: a backslash", "a second answer", "null")
    cells = table.run({name: FAULTS[name] for name in worst}, KINDS)
    assert [cell for cell in cells.items() if cell[1].startswith("BAD")] == []


def test_the_page_has_every_fault_and_kind() -> None:
    page = report.PATH.read_text()
    faults, kinds = report.headings()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    assert rows == ["fault", *faults], "run: python -m test.faults table --docs"
    assert f"| fault | {' | '.join(kinds)} |" in page
    assert "BAD" not in page
