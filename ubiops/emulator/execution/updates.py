"""Updates: the texts that code sends to the caller while its request runs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

_MOST_WAITING = 2**26
"""The most characters that wait for a follower to read them; then the follower is given up, not the request."""


class Updates:
    """Forwards the updates of requests. Those of deployments in a pipeline are updates of the pipeline request."""

    def __init__(self) -> None:
        self._followers: dict[str, Follower] = {}
        self._above: dict[str, str] = {}

    @property
    def are_followed(self) -> bool:
        """Whether anyone follows a request."""
        return bool(self._followers)

    def publish(self, request_id: str, text: str) -> None:
        """Send an update to the followers of a request, or of the pipeline request that it is part of."""
        place: str | None = request_id
        while place is not None:
            if place in self._followers:
                self._followers[place].put(text)
            place = self._above.get(place)

    def follow(self, request_id: str, done: asyncio.Future[Any]) -> Follower:
        """An iterator over the updates of a request, until it is done.

        Earlier updates are lost: follow a request where it is submitted, before anything is awaited. Use the follower
        as a context manager if its reader may go away.

        Args:
            request_id: Id of a deployment or pipeline request.
            done: The future of its outcome.
        """
        follower = self._followers[request_id] = Follower(partial(self._followers.pop, request_id, None))
        done.add_done_callback(lambda _: follower.end())
        return follower

    @contextmanager
    def part_of(self, request_id: str, part_id: str) -> Iterator[None]:
        """Forward the updates of a pipeline request to its parent request too."""
        self._above[part_id] = request_id
        try:
            yield
        finally:
            del self._above[part_id]


class Follower:
    """Iterates over the updates of one request, asynchronously; it may end before the request does."""

    def __init__(self, forget: Callable[[], object]) -> None:
        self._forget = forget
        self._texts: deque[str] = deque()
        self._waiting = 0
        self._ended = False
        self._lost = False
        self._news = asyncio.Event()

    def put(self, text: str) -> None:
        """Add an update."""
        self._waiting += len(text)
        if self._waiting > _MOST_WAITING:
            self._lost = True
            self._texts.clear()
        else:
            self._texts.append(text)
        self._news.set()

    def end(self) -> None:
        """Take no more updates."""
        self._forget()
        self._ended = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        """The next update.

        Raises:
            BufferError: Too many updates are unread; some were lost.
        """
        while not self._texts:
            if self._lost:
                raise BufferError("The updates of a request were not read as fast as they came")
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        text = self._texts.popleft()
        self._waiting -= len(text)
        return text

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()
