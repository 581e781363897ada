"""Finds a batch whose answer was lost among the server's requests."""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from ubiops.utils.batches.target import created_at
from ubiops.utils.exceptions import RequestsInDoubt
from ubiops.utils.polling import Backoff

if TYPE_CHECKING:
    from ubiops.utils.batches.chunks import Chunk
    from ubiops.utils.batches.patience import Patience
    from ubiops.utils.batches.target import Target

__all__ = ["LostBatches"]

# Seconds to wait until the server lists what it has accepted.
_SETTLING = 10.0


class LostBatches:
    """Remembers which requests existed before a batch was sent: newer ones may be that batch.

    Args:
        target: What the batches are sent to.
        patience: The time limit of the map.

    Attributes:
        since: When the server created the last batch that was answered; None if there was none.
    """

    def __init__(self, target: Target, patience: Patience) -> None:
        self._target = target
        self._patience = patience
        self._known: Collection[str] = ()
        self.since: str | None = None

    def begin(self) -> None:
        """Remember the newest request: all requests of the map are newer."""
        newest = self._target.newest()
        if newest is not None:
            self.note([newest.id], created_at(newest))

    def note(self, ids: Sequence[str], created: str | None) -> None:
        """Remember a batch that was answered."""
        self._known, self.since = frozenset(ids), created

    def find(self, chunk: Chunk, outstanding: Collection[str]) -> list[Any]:
        """The requests of a batch, in the order of its inputs; none if the server didn't carry it out.

        Raises:
            RequestsInDoubt: That can't be determined.
            ApiException: The server can't be asked.
            WaitTimeout: The time of the map is over.
        """
        remaining = self._patience.remaining
        looks = Backoff(_SETTLING if remaining is None else min(_SETTLING, remaining))
        while not (found := self._matching(chunk, outstanding)) and looks.pause():
            pass
        # Raises if the map's time is over, rather than the server's.
        self._patience.options()
        return found

    def doubt(self, chunk: Chunk, why: str) -> RequestsInDoubt:
        """The error for a batch in doubt."""
        return RequestsInDoubt(
            f"It is unknown whether the server has the requests for {chunk}: the answer to their batch was lost, and "
            f"{why}. Look at the requests to {self._target} since {self.since}",
            chunk.indexes,
        )

    def _matching(self, chunk: Chunk, outstanding: Collection[str]) -> list[Any]:
        """The requests made since the last answer that have the data of a batch: all of its requests exist, or none."""
        ids = self._target.ids_since(self.since)
        strangers = [id for id in ids if id not in self._known and id not in outstanding]
        if len(strangers) < len(chunk):
            return []
        by_data: defaultdict[Any, deque[Any]] = defaultdict(deque)
        for start in range(0, len(strangers), self._target.limit):
            for request in self._target.collect(strangers[start : start + self._target.limit]):
                data = request.request_data
                by_data[_frozen(self._target.large(request, "input") if data is None else data)].append(request)
        keys = [_frozen(json.loads(one.json)) for one in chunk.inputs]
        wanted = Counter(keys)
        if any(len(by_data[key]) < count for key, count in wanted.items()):
            if None in by_data:
                raise self.doubt(chunk, "the data of requests made since then isn't kept")
            return []
        if any(len(by_data[key]) > count for key, count in wanted.items()):
            raise self.doubt(chunk, "other requests with the same data were made since then")
        return [by_data[key].popleft() for key in keys]


def _frozen(value: Any) -> Any:
    """A hashable form of a JSON value, equal for equal values."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return value
