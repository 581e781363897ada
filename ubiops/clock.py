"""The clock of deadlines and waits, in one place that tools which freeze or move time leave alone.

freezegun and time-machine replace ``time.time``, ``time.monotonic`` and ``datetime``; what waited by those would wait
for ever. Dates that a program sees are not taken from here: they follow the frozen clock.
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
