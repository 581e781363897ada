"""The clock of deadlines and waits, which tools that freeze or move time leave alone.

freezegun and time-machine replace ``time.time``, ``time.monotonic`` and ``datetime``; waits measured by those would
never end. Dates that a program sees don't use this clock: they follow the frozen one.
"""

from __future__ import annotations

import time

__all__ = ["monotonic"]

if hasattr(time, "clock_gettime"):

    def monotonic() -> float:
        """Seconds on a clock that only goes forward, and never stands still."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

else:
    # Windows has no such clock; a reference taken here is at least not replaced later on.
    monotonic = time.monotonic
