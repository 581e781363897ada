"""The short form of the table: each fault with some kinds of call, and the page that is made of all."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest

from test.faults import long_runs, report, table
from test.faults.helpers import KINDS
from test.faults.table import ALL_FAULTS

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
        "TLS: silence",
        "TLS: a handshake that breaks off",
        "proxy: hangs",
        "proxy: says yes and hangs",
        "proxy: headers without end",
    }
)
# Dealt like cards, so that each fault meets two kinds, and each kind some of the faults.
DEALT = dict(zip((name for name in ALL_FAULTS if name not in SLOW), itertools.cycle(KINDS), strict=False))


@pytest.mark.parametrize("name", DEALT)
def test_a_fault_ends_in_a_typed_error_or_the_right_value(name: str) -> None:
    cells = table.run({name: ALL_FAULTS[name]}, {kind: KINDS[kind] for kind in ("read", DEALT[name])})
    assert [cell for cell in cells.items() if cell[1].startswith("BAD")] == []


@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_slow_fault_too(name: str) -> None:
    cells = table.run({name: ALL_FAULTS[name]}, {"read": KINDS["read"]})
    assert [cell for cell in cells.items() if cell[1].startswith("BAD")] == []


def test_the_page_has_every_fault_and_kind() -> None:
    page = report.PATH.read_text()
    faults, kinds = report.headings()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows] == 2 * ["fault", *faults], (
        "run: python -m test.faults table --docs"
    )
    titles = [title.removesuffix(" |") for row in rows if row[0] == "| fault" for title in row[1:]]
    assert sorted(kind for title in titles for kind in title.split(", ")) == sorted(kinds)
    assert "BAD" not in page


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals as Unix has them")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
# A socket that was made when the interrupt came, and not yet kept anywhere, is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("run", "amount"),
    [
        (long_runs.interrupts, 40),
        (long_runs.calls, 300),
        (long_runs.forks, 3),
        (long_runs.ends, 2),
        (long_runs.exits, 3),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_short_form_of_a_long_run(run: Callable[[int], long_runs.Result], amount: int) -> None:
    line, bad = run(amount)
    assert bad == [], line


def test_a_short_form_of_many_threads() -> None:
    line, bad = long_runs.threads(seconds=2, count=16)
    assert bad == [], line
