"""Faults on demand, for testing how programs handle errors."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

_SCHEMA = Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "method": {"enum": ["*", "GET", "PUT", "POST", "PATCH", "DELETE"]},
            "path": {"type": "string", "minLength": 1},
            "times": {"type": "integer", "minimum": 1},
            "latency": {"type": "number", "minimum": 0, "maximum": 3600},
            "status": {"enum": [None, *range(400, 600)]},
            "retry_after": {"type": ["integer", "null"], "minimum": 0},
            "drop": {"type": "boolean"},
            "truncate": {"type": "boolean"},
        },
        "additionalProperties": False,
    }
)


@dataclass(frozen=True)
class Fault:
    """An error for requests that match. A request whose answer is only truncated or delayed is still carried out.

    Attributes:
        method: Method of the requests; ``*`` for any.
        path: Path of the requests, from the first slash on; ``*`` matches any characters.
        times: Number of requests that it affects.
        latency: Seconds to wait before anything else.
        status: Status of the answer, from 400 to 599; None for the emulator's own answer.
        retry_after: Seconds in the header ``Retry-After`` of that answer; None for no header.
        drop: Whether the connection is closed without an answer.
        truncate: Whether the connection is closed after half of the answer's body.

    Raises:
        ValueError: A value has the wrong type or is out of bounds, or the values exclude each other.
    """

    method: str = "*"
    path: str = "*"
    times: int = 1
    latency: float = 0
    status: int | None = None
    retry_after: int | None = None
    drop: bool = False
    truncate: bool = False

    def __post_init__(self) -> None:
        _check(vars(self))
        if (self.status is not None) + self.drop + self.truncate > 1:
            raise ValueError("a fault can have only one of status, drop and truncate")
        if self.retry_after is not None and self.status is None:
            raise ValueError("retry_after: must come with a status")
        if not (self.latency or self.status or self.drop or self.truncate):
            raise ValueError("a fault must have a latency, a status, drop or truncate")

    @classmethod
    def from_json(cls, data: Any) -> Fault:
        """Make a fault from a JSON object.

        Raises:
            ValueError: It isn't an object, or has other keys or values than the attributes above.
        """
        _check(data)
        return cls(**data)

    def matches(self, method: str, path: str) -> bool:
        """Whether it matches a request."""
        return self.method in ("*", method) and fnmatchcase(path, self.path)


def _check(data: Mapping[str, Any]) -> None:
    error = best_match(_SCHEMA.iter_errors(data))
    if error is not None:
        raise ValueError(": ".join([*map(str, error.absolute_path), error.message]))


class Faults:
    """The faults that are set. Any thread may set them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Set a fault; if several match a request, the first one set applies."""
        with self._lock:
            self._left.append((fault, fault.times))

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._left.clear()

    def left(self) -> list[dict[str, Any]]:
        """Return the faults that are set, each with its remaining ``times``."""
        with self._lock:
            return [{**vars(fault), "times": times} for fault, times in self._left]

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that a request matches; this counts as one of its ``times``."""
        if not self._left:
            return None
        with self._lock:
            for index, (fault, times) in enumerate(self._left):
                if fault.matches(method, path):
                    self._left[index : index + 1] = [(fault, times - 1)] if times > 1 else []
                    return fault
        return None
