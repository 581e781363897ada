"""Rate and concurrency limits of services."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ubiops.clock import monotonic
from ubiops.emulator.errors import ApiError

_WINDOW = 60.0


class LimitError(ApiError):
    """A limit is reached.

    Attributes:
        wait (int): Seconds after which to try again.
    """

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(429, message)
        self.wait = max(1, math.ceil(wait))


@dataclass(frozen=True)
class Limit:
    """A limit on requests.

    Attributes:
        key: What it applies to: the service, or the service and one user.
        who: The same for messages.
        rate: Most requests in a minute, at least 1; None for any number.
        concurrency: Most requests at the same time, at least 1; None for any number.
    """

    key: tuple[str, ...]
    who: str
    rate: int | None
    concurrency: int | None


class Limits:
    """Counts the requests of the last minute, and those that are running."""

    def __init__(self) -> None:
        self._recent: defaultdict[tuple[str, ...], deque[float]] = defaultdict(deque)
        self._running: defaultdict[tuple[str, ...], int] = defaultdict(int)

    @contextmanager
    def count(self, limits: Iterable[Limit]) -> Iterator[None]:
        """Count a request while it runs.

        Raises:
            LimitError: One of its limits is reached; the request isn't counted.
        """
        limits = list(limits)
        moment = monotonic()
        for limit in limits:
            self._check(limit, moment)
        for limit in limits:
            self._recent[limit.key].append(moment)
            self._running[limit.key] += 1
        try:
            yield
        finally:
            for limit in limits:
                self._running[limit.key] -= 1

    def _check(self, limit: Limit, moment: float) -> None:
        recent = self._recent[limit.key]
        while recent and recent[0] <= moment - _WINDOW:
            recent.popleft()
        if limit.rate is not None and len(recent) >= limit.rate:
            wait = recent[-limit.rate] + _WINDOW - moment
            raise LimitError(f"{limit.who} takes up to {limit.rate} requests in a minute; try again later", wait)
        if limit.concurrency is not None and self._running[limit.key] >= limit.concurrency:
            raise LimitError(f"{limit.who} takes up to {limit.concurrency} requests at the same time", 1)
