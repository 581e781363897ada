"""A clock that doesn't wait, so that half an hour of polling takes no time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from ubiops.utils import polling


class Clock:
    """Stands for `time` and `monotonic` in `ubiops.utils.polling`.

    A pause is over at once, and what the test planned happens in it.

    Attributes:
        pauses: The pauses there were, in seconds.
        plan: What happens in the pauses to come, one thing in each.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pauses: list[float] = []
        self.plan: deque[Callable[[], object]] = deque()
        self._now = 1000.0
        monkeypatch.setattr(polling, "time", self)
        monkeypatch.setattr(polling, "monotonic", self.monotonic)

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds
        self.pauses.append(seconds)
        if self.plan:
            self.plan.popleft()()
