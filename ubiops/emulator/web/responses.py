"""JSON answers, and the answers to requests that fail."""

from __future__ import annotations

import errno
import json
import logging
from typing import Any

from sqlalchemy.exc import OperationalError
from starlette.requests import HTTPConnection
from starlette.responses import Response

from ubiops.emulator.errors import ApiError

_logger = logging.getLogger(__name__)


class JsonResponse(Response):
    """JSON, with text that is not valid UTF-8, which user code may return, escaped; Starlette's response would fail."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The content as ASCII."""
        return json.dumps(content, separators=(",", ":")).encode()


def failure(request: HTTPConnection, error: Exception) -> JsonResponse:
    """The answer to a request whose handling raised an error."""
    if isinstance(error, ApiError):
        return JsonResponse({"error": error.message}, error.status)
    if _is_full(error):
        return JsonResponse({"error": f"The emulator has no room left on its disk: {error}"}, 507)
    method = request.scope.get("method", "WebSocket")
    _logger.error("%s %s failed inside the emulator", method, request.url.path, exc_info=error)
    return JsonResponse({"error": "The emulator failed; its log says why"}, 500)


def _is_full(error: Exception) -> bool:
    if isinstance(error, OperationalError):
        return "disk is full" in str(error.orig)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
