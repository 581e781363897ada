"""Answers that are streamed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ubiops.emulator.execution.updates import Follower

_LINE_END = re.compile("\r\n|\r|\n")


class Events(Response):
    """Blocks of text, sent as they become available.

    Starlette's streaming response runs two tasks, and a third one that waits for the caller to go away. Here that would
    end nothing: the request goes on, and what is still sent is dropped.

    Args:
        blocks: The blocks.
    """

    media_type = "text/event-stream"

    def __init__(self, blocks: AsyncIterator[bytes]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache"})
        del self.headers["Content-Length"]
        self._blocks = blocks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for block in self._blocks:
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body"})


class EventStream(Events):
    """Updates of a request as server-sent events, and the JSON of its result on a last line of its own.

    In the form of the service: without a space after the colon, and with a line for each line of the text.

    Args:
        updates: The updates; a client that disconnects early ends only its own stream.
        result: Returns the result; called when they have ended.
    """

    def __init__(self, updates: Follower, result: Callable[[], Any]) -> None:
        super().__init__(self._lines(updates, result))

    async def _lines(self, updates: Follower, result: Callable[[], Any]) -> AsyncIterator[bytes]:
        with updates:
            async for text in updates:
                lines = "".join(f"data:{line}\n" for line in _LINE_END.split(text))
                yield f"{lines}\n".encode(errors="replace")
        yield json.dumps(result(), separators=(",", ":")).encode() + b"\n"
