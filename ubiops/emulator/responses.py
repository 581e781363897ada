"""JSON answers."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


class JsonResponse(Response):
    """JSON. Not Starlette's: text that is no UTF-8, which user code may return, goes out escaped."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The content as ASCII."""
        return json.dumps(content, separators=(",", ":")).encode()
