"""Work that is due at once is spread over turns of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from ubiops.emulator import turns
from ubiops.emulator.turns import Turns


def test_what_finds_a_turn_full_waits_for_the_next_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, present, begun = 0.0, 0, []
    monkeypatch.setattr(turns, "monotonic", lambda: seconds)
    shared = Turns(lambda: True)

    async def work(number: int) -> None:
        nonlocal seconds
        await shared.take()
        begun.append((present, number))
        # Two of them fill a turn.
        seconds += 0.002

    async def count() -> None:
        nonlocal present
        while True:
            await asyncio.sleep(0)
            present += 1

    async def work_at_once() -> None:
        counting = asyncio.ensure_future(count())
        working = [asyncio.ensure_future(work(number)) for number in range(6)]
        # One that waits.
        await asyncio.sleep(0)
        working[3].cancel()
        await asyncio.wait(working)
        counting.cancel()

    asyncio.run(asyncio.wait_for(work_at_once(), 10))
    assert [number for _, number in begun] == [0, 1, 2, 4, 5]
    moments = [moment for moment, _ in begun]
    assert moments[0] == moments[1] < moments[2] < moments[3] < moments[4]


def test_what_comes_later_does_not_overtake_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, begun = 0.0, []
    monkeypatch.setattr(turns, "monotonic", lambda: seconds)
    shared = Turns(lambda: True)

    async def work(name: str) -> None:
        nonlocal seconds
        await shared.take()
        begun.append(name)
        if name == "first":
            # It fills its turn; those that follow leave room in theirs.
            seconds += 1
        if name == "second":
            await asyncio.ensure_future(work("late"))

    async def work_at_once() -> None:
        await asyncio.gather(*map(work, ("first", "second", "third", "fourth")))

    asyncio.run(asyncio.wait_for(work_at_once(), 10))
    assert begun == ["first", "second", "third", "fourth", "late"]


def test_where_nobody_waits_all_begins_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if any turn were full.
    monkeypatch.setattr(turns, "_LONGEST", -1)

    async def take(needed: bool) -> int:
        shared = Turns(lambda: needed)
        taken = [asyncio.ensure_future(shared.take()) for _ in range(3)]
        await asyncio.sleep(0)
        return sum(each.done() for each in taken)

    assert [asyncio.run(take(needed)) for needed in (False, True)] == [3, 1]
