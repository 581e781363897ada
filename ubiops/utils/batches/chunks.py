"""The inputs of a map, and the chunks in which they are sent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Chunk", "Input"]


@dataclass(frozen=True)
class Input:
    """An input.

    Attributes:
        index: Its index.
        data: The input as passed by the caller.
        json: The input as sent.
    """

    index: int
    data: Any
    json: bytes


class Chunk:
    """Inputs that are sent together.

    Args:
        inputs: The inputs.
        whole: Whether it is a chunk as it was read, and not a part of one.

    Attributes:
        faulty: Whether the server is known to refuse it.
        other_half: The chunk that is faulty if this one is not.
    """

    def __init__(self, inputs: Sequence[Input], *, whole: bool = True) -> None:
        self.inputs = inputs
        self.whole = whole
        self.faulty = False
        self.other_half: Chunk | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def __str__(self) -> str:
        start, stop = self.indexes.start, self.indexes.stop
        return f"inputs[{start}]" if len(self) == 1 else f"inputs[{start}:{stop}]"

    @property
    def indexes(self) -> range:
        """The indexes from its first input to its last, including inputs that were left out in between."""
        return range(self.inputs[0].index, self.inputs[-1].index + 1)

    @property
    def digest(self) -> str:
        """A digest that identifies its inputs."""
        digest = hashlib.sha256()
        for one in self.inputs:
            digest.update(one.json + b"\n")
        return digest.hexdigest()

    def split(self, size: int) -> tuple[Chunk, Chunk]:
        """A part with `size` inputs, and the rest."""
        return Chunk(self.inputs[:size], whole=False), Chunk(self.inputs[size:], whole=False)
