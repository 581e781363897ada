"""A client whose methods give planned answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ubiops


class Planned(ubiops.CoreApi):
    """Gives planned answers by operation, the last one again and again; an exception is raised.

    It replaces the methods where the emulator has no such answer: those of newer services, and failures in a row.

    Attributes:
        calls: The operations that were called, with their arguments.
    """

    def __init__(self, client: ubiops.ApiClient, **answers: list[Any]) -> None:
        super().__init__(client)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        for operation, planned in answers.items():
            setattr(self, operation, self._answering(operation, iter(planned), planned[-1]))

    def _answering(self, operation: str, planned: Iterator[Any], last: Any) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((operation, args, kwargs))
            given = next(planned, last)
            if isinstance(given, Exception):
                raise given
            return given

        return answer
