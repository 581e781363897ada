"""The inputs of a map, read as they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ubiops.schema import Invalid, write_json
from ubiops.utils.arguments import invalid
from ubiops.utils.batches.chunks import Chunk, Input
from ubiops.utils.exceptions import InvalidInput

if TYPE_CHECKING:
    from ubiops.utils.batches.journal import Outcome
    from ubiops.utils.batches.results import Results

__all__ = ["Source"]


class Source:
    """Reads inputs, and refuses those that JSON can't represent.

    Args:
        inputs: The inputs.
        skip: Number of inputs to leave out at the front.
        results: Takes the inputs that are refused.

    Attributes:
        exhausted: Whether all inputs were read.
    """

    def __init__(self, inputs: Iterable[Any], skip: int, results: Results) -> None:
        self._inputs = enumerate(inputs)
        self._skip = skip
        self._results = results
        self.exhausted = False

    def read(self, size: int) -> Chunk | None:
        """The next inputs, at most `size`; None if none of them can be sent."""
        inputs: list[Input] = []
        for _ in range(size):
            one = self._next()
            if self._results.failure is not None:
                return None
            if self.exhausted:
                break
            if one is not None and one.index >= self._skip:
                inputs.append(one)
        return Chunk(inputs) if inputs else None

    def read_again(self, sent: Outcome) -> Chunk:
        """The inputs of a batch that an earlier run sent.

        Raises:
            ApiValueError: The inputs differ from those.
        """
        inputs: list[Input] = []
        while not inputs or inputs[-1].index < sent.stop - 1:
            one = self._next()
            if self.exhausted:
                raise _no_checkpoint(f"it has {sent.stop} inputs, this call has fewer")
            if one is not None and one.index >= sent.start:
                inputs.append(one)
            elif one is not None and one.index >= self._skip:
                raise _no_checkpoint(f"it belongs to a job that skipped inputs: pass skip={sent.start}")
        chunk = Chunk(inputs)
        counts = {len(chunk), len(chunk if sent.ids is None else sent.ids)}
        if chunk.indexes.stop != sent.stop or chunk.digest != sent.digest or len(counts) > 1:
            raise _no_checkpoint(f"{chunk} differ from those that it was made with")
        return chunk

    def _next(self) -> Input | None:
        """The next input; None if no input is left, or it can't be sent."""
        try:
            index, data = next(self._inputs)
        except StopIteration:
            self.exhausted = True
            return None
        self._results.expect(index)
        try:
            if not isinstance(data, (str, Mapping)):
                raise Invalid(f"must be a dict or str, not {type(data).__name__}")
            return Input(index, data, write_json(data))
        except Invalid as error:
            problem = invalid(error.under(index).under("inputs").place(), "map_requests", error.problem)
            self._results.refuse(index, data, InvalidInput(str(problem), index))
            return None


def _no_checkpoint(problem: str) -> Exception:
    return invalid("checkpoint", "map_requests", problem)
