"""The settings of a map."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The arguments of `map_requests`, checked."""

    project: str
    kind: str
    name: str
    version: str | None
    chunk_size: int
    max_in_flight: int
    timeout: float | None
    tolerant: bool
    ordered: bool
    checkpoint: str | os.PathLike[str] | None
    skip: int
    request_timeout: int | None
    quiet: bool
