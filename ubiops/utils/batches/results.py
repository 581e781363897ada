"""The results of a map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ubiops import models
from ubiops.exceptions import OpenApiException

if TYPE_CHECKING:
    from ubiops.utils.batches.chunks import Input
    from ubiops.utils.progress_bar import Progress

__all__ = ["MappedRequest", "Results"]


@dataclass(frozen=True)
class MappedRequest:
    """The result of one input of `map_requests`.

    Attributes:
        index (int): Index of the input, from 0.
        input (dict | str): The input.
        request (DeploymentRequestBatchDetail | PipelineRequestDetail | None): The finished request, with its id, times
            and result; None if none was made, or if it is gone.
        error (OpenApiException | None): What went wrong, if anything did: `RequestFailed`, `InvalidInput` or
            `RequestsInDoubt`.
    """

    index: int
    input: Any
    request: models.DeploymentRequestBatchDetail | models.PipelineRequestDetail | None = None
    error: OpenApiException | None = None

    @property
    def result(self) -> Any:
        """What the deployment or pipeline returned; None if something went wrong."""
        return None if self.request is None else self.request.result


class Results:
    """Keeps results until it is their turn.

    Args:
        ordered: Whether they are returned in the order of the inputs.
        tolerant: Whether failures are returned in place of results; if not, the first failure ends the map.
        skip: Number of inputs at the front whose results aren't wanted.

    Attributes:
        bar: Shows how many results there are.
        finished: Number of requests that have ended.
        open: Number of inputs that were read but whose results weren't taken yet.
        failure: The error that ends the map once all earlier results have been returned.
    """

    def __init__(self, *, ordered: bool, tolerant: bool, skip: int, bar: Progress) -> None:
        self._ordered = ordered
        self._tolerant = tolerant
        self._skip = skip
        self._next = skip
        self._done: dict[int, MappedRequest] = {}
        self.bar = bar
        self.finished = 0
        self.open = 0
        self.failure: OpenApiException | None = None

    def expect(self, index: int) -> None:
        """Note that an input was read."""
        if index >= self._skip:
            self.open += 1

    def finish(self, one: Input, request: Any, error: OpenApiException | None = None) -> None:
        """Note that the request of an input has ended."""
        self._done[one.index] = MappedRequest(one.index, one.data, request, error)
        self.finished += 1
        self.bar.advance()

    def refuse(self, index: int, data: Any, error: OpenApiException) -> None:
        """Note that no request is made for an input."""
        if index < self._skip:
            return
        if self._tolerant:
            self._done[index] = MappedRequest(index, data, None, error)
            self.bar.advance()
        elif self.failure is None:
            self.failure = error

    def ready(self) -> Iterator[MappedRequest]:
        """The results that can be returned now.

        Raises:
            OpenApiException: The next result is that of a failed request.
        """
        for item in self._in_order() if self._ordered else self._as_completed():
            if item.error is not None and not self._tolerant:
                raise item.error
            self.open -= 1
            yield item

    def _in_order(self) -> Iterator[MappedRequest]:
        while item := self._done.pop(self._next, None):
            self._next += 1
            yield item

    def _as_completed(self) -> Iterator[MappedRequest]:
        done, self._done = self._done, {}
        yield from done.values()
