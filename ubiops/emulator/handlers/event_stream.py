"""The answer to a request that is streamed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import StreamingResponse

from ubiops.emulator.execution.updates import Follower

_LINE_END = re.compile("\r\n|\r|\n")


class EventStream(StreamingResponse):
    """Updates of a request as server-sent events, and the JSON of what came of it on a last line of its own.

    As the service writes them: without a space after the colon, and a line for each line of the text.

    Args:
        updates: The updates; whoever goes away before their end ends nothing else.
        result: Asked for the result when they have ended.
    """

    media_type = "text/event-stream"

    def __init__(self, updates: Follower, result: Callable[[], Any]) -> None:
        super().__init__(self._lines(updates, result), headers={"Cache-Control": "no-cache"})

    async def _lines(self, updates: Follower, result: Callable[[], Any]) -> AsyncIterator[bytes]:
        with updates:
            async for text in updates:
                lines = "".join(f"data:{line}\n" for line in _LINE_END.split(text))
                yield f"{lines}\n".encode(errors="replace")
        yield json.dumps(result(), separators=(",", ":")).encode() + b"\n"
