"""JSON answers, and what is answered where a request fails."""

from __future__ import annotations

import errno
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ubiops.emulator.errors import ApiError
from ubiops.emulator.execution.updates import Follower

_logger = logging.getLogger(__name__)


class JsonResponse(Response):
    """JSON. Not Starlette's: text that is no UTF-8, which user code may return, goes out escaped."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The content as ASCII."""
        return json.dumps(content, separators=(",", ":")).encode()


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


def failure(request: Request, error: Exception) -> JsonResponse:
    """The answer to a request whose handling raised an error."""
    if isinstance(error, ApiError):
        return JsonResponse({"error": error.message}, error.status)
    if _is_full(error):
        return JsonResponse({"error": f"The emulator has no room left on its disk: {error}"}, 507)
    _logger.error("%s %s failed inside the emulator", request.method, request.url.path, exc_info=error)
    return JsonResponse({"error": "The emulator failed; its log says why"}, 500)


def _is_full(error: Exception) -> bool:
    if isinstance(error, OperationalError):
        return "disk is full" in str(error.orig)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
