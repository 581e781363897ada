"""The emulator's own paths, in addition to those of the API: health, reset, faults, webhooks."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ubiops.emulator.errors import ApiError
from ubiops.emulator.faults import Fault, Faults
from ubiops.emulator.web.bodies import BoundedRequest
from ubiops.emulator.web.responses import JsonResponse

DROP = "ubiops.emulator.drop"
"""ASGI extension: a function that closes the connection after sending what was written."""

_PREFIX = "/_emulator/"
_LARGEST_FAULT = 2**20
"""Largest JSON of a fault, in bytes."""


class Control:
    """An ASGI application in front of that of the API.

    ``GET /_emulator/health`` succeeds once the emulator is up. ``POST /_emulator/reset`` deletes everything. ``POST
    /_emulator/faults`` sets a `Fault`, ``GET`` lists the faults that are set, ``DELETE`` removes them. ``GET
    /_emulator/webhooks`` lists what webhooks have sent. All but the first require the token. Everything else goes to
    the API, unless a fault matches it.

    Args:
        app: The application of the API.
        token: The required value of ``Authorization``.
        faults: The faults that are set.
        reset: Deletes everything.
        sent: Lists what webhooks have sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        faults: Faults,
        reset: Callable[[], Awaitable[None]],
        sent: Callable[[], list[dict[str, Any]]],
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._faults = faults
        self._reset = reset
        self._sent = sent
        self._delays: set[asyncio.Future[None]] = set()
        self._actions: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {
            "health": {"GET": self._answer_health},
            "reset": {"POST": self._answer_reset},
            "faults": {"GET": self._list_faults, "POST": self._add_fault, "DELETE": self._clear_faults},
            "webhooks": {"GET": self._list_sent},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path.startswith(_PREFIX) and path.removeprefix(_PREFIX) in self._actions:
            request = BoundedRequest(scope, receive, _LARGEST_FAULT)
            try:
                response = await self._answer(request, path.removeprefix(_PREFIX))
            except ClientDisconnect:
                return
            except ApiError as error:
                response = _refusal(error.message, error.status)
            await response(scope, receive, send)
            return
        fault = self._faults.take(scope["method"], path)
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._fail(fault, scope, receive, send)

    def drop_delayed(self) -> None:
        """Close the connections of the requests that a fault delays, without carrying them out."""
        for delay in self._delays:
            delay.set_result(None)
        self._delays.clear()

    async def _fail(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        dropped = fault.latency > 0 and await self._delay(fault.latency)
        if fault.drop or dropped:
            await _drop(scope, receive)
        elif fault.status is not None:
            response = _refusal("A fault that was set at /_emulator/faults", fault.status)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = str(fault.retry_after)
            await response(scope, receive, send)
        elif fault.truncate:
            await _truncate(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _delay(self, seconds: float) -> bool:
        """Wait; returns whether `drop_delayed` ended it."""
        delay = asyncio.get_running_loop().create_future()
        self._delays.add(delay)
        try:
            ended, _ = await asyncio.wait([delay], timeout=seconds)
        finally:
            self._delays.discard(delay)
        return bool(ended)

    async def _answer(self, request: Request, name: str) -> Response:
        actions = self._actions[name]
        if request.method not in actions:
            allowed = ", ".join(sorted(actions))
            return _refusal(f"The method {request.method} is not allowed here; use {allowed}", 405)
        given = request.headers.get("authorization", "").encode()
        if name != "health" and not secrets.compare_digest(given, self._token):
            return _refusal("The header Authorization must be the token that the emulator was started with", 401)
        return await actions[request.method](request)

    async def _answer_health(self, _request: Request) -> Response:
        return JsonResponse({"status": "ok"})

    async def _answer_reset(self, _request: Request) -> Response:
        await self._reset()
        return Response(status_code=204)

    async def _list_faults(self, _request: Request) -> Response:
        return JsonResponse(self._faults.left())

    async def _add_fault(self, request: Request) -> Response:
        try:
            fault = Fault.from_json(json.loads(await request.body()))
        except ValueError as error:
            return _refusal(f"The body is not a fault: {error}", 400)
        self._faults.add(fault)
        return JsonResponse(vars(fault), 201)

    async def _clear_faults(self, _request: Request) -> Response:
        self._faults.clear()
        return Response(status_code=204)

    async def _list_sent(self, _request: Request) -> Response:
        return JsonResponse(self._sent())


def _refusal(message: str, status: int) -> Response:
    return JsonResponse({"error": message}, status)


async def _drop(scope: Scope, receive: Receive) -> None:
    scope["extensions"][DROP]()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _truncate(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    left = 0

    async def cut(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            left = int(dict(message["headers"]).get(b"content-length", b"2")) // 2
            await send(message)
        elif left >= 0:
            part = message.get("body", b"")[:left]
            left = left - len(part) or -1
            await send({"type": "http.response.body", "body": part, "more_body": True})

    await app(scope, receive, cut)
    await _drop(scope, receive)


def with_drop(app: Any, drop: Callable[[], None]) -> ASGIApp:
    """An application whose requests carry the extension `DROP`."""

    async def extended(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[DROP] = drop
        await app(scope, receive, send)

    return extended
