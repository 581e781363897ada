"""The web application: each request becomes a call of the handler that is named after its operation."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from ubiops.emulator.access.caller import Access
from ubiops.emulator.clock import Clock
from ubiops.emulator.context import Context
from ubiops.emulator.errors import ApiError, invalid, not_found
from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.handlers import load_handlers
from ubiops.emulator.handlers.imports import resume_transfers
from ubiops.emulator.storage.contents import PATH as STORAGE_PATH
from ubiops.emulator.storage.endpoint import StorageEndpoint
from ubiops.emulator.store import Store
from ubiops.emulator.web.bodies import LARGEST_BODY, LARGEST_FILE, BoundedRequest
from ubiops.emulator.web.document import GENERATIONS, OLDEST, Body, Generation, Operation, load_document
from ubiops.emulator.web.responses import JsonResponse, failure

Handler = Callable[..., Any]


def create_app(store: Store, engine: Engine, clock: Clock, token: str, generation: Generation | None = None) -> ASGIApp:
    """The emulator as an ASGI application.

    Args:
        store: The database.
        engine: Builds and runs deployments.
        clock: Makes the requests of schedules.
        token: The value of ``Authorization`` that allows everything.
        generation: The only generation of the service to serve; None for all of them.
    """

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        engine.storage.recover()
        engine.recover()
        resume_transfers(engine)
        ticking = asyncio.ensure_future(clock.run())
        yield
        ticking.cancel()
        await engine.stop()

    return _Application(
        Router(lifespan=lifespan), StorageEndpoint(store, engine.storage), _Endpoint(store, engine, token, generation)
    )


class _Application:
    """Dispatches requests by path. Routes don't do: they never match a path with a line break in a name."""

    def __init__(self, router: Router, storage: ASGIApp, api: ASGIApp) -> None:
        self._router = router
        self._storage = storage
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._api
        if scope["type"] != "http":
            # It handles the lifespan, and refuses WebSockets.
            app = self._router
        elif scope["path"].startswith(f"{STORAGE_PATH}/"):
            app = self._storage
        await app(scope, receive, send)


class _Endpoint:
    """Answers every request to the API."""

    def __init__(self, store: Store, engine: Engine, token: str, generation: Generation | None) -> None:
        self._store = store
        self._engine = engine
        self._generation = generation
        self._access = Access(store, token, engine.internal_api)
        self._document = load_document()
        self._handlers = load_handlers(self._document.operations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = BoundedRequest(scope, receive, LARGEST_BODY)
        try:
            await self._engine.turns.take()
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception as error:
            response = failure(request, error)
        finally:
            await request.close()
        _allow_origin(request, response)
        await response(scope, receive, send)

    async def _answer(self, request: BoundedRequest) -> Response:
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            return self._preflight(request.headers.get("origin", ""))
        base, operation, path_arguments = self._document.find(
            request.method, request.scope["raw_path"], self._generation
        )
        handler = self._handlers.get(operation.id)
        if handler is None:
            raise not_found(f"The emulator doesn't do {operation.id} yet")
        caller = self._access.authenticate(operation.id, request.headers.get("authorization", ""))
        arguments: dict[str, Any] = dict(zip(operation.path_names, path_arguments, strict=True))
        if "origin" in request.headers:
            request.state.origins = self._access.origins(caller, arguments)
        self._access.authorize(caller, operation.id, arguments)
        for parameter in operation.query:
            arguments[parameter.argument] = parameter.read(request.query_params.get(parameter.name))
        for parameter in operation.headers:
            arguments[parameter.argument] = parameter.read(request.headers.get(parameter.name))
        if operation.body is not None:
            arguments |= await _read_body(request, operation.body)
        self._access.authorize_body(caller, operation.id, arguments)
        try:
            return _respond(operation, await self._call(handler, caller.email, request, base, arguments))
        finally:
            # Requests to deployments and pipelines don't change these.
            if request.method != "GET" and "_requests_" not in operation.id:
                self._engine.targets.forget()

    def _preflight(self, origin: str) -> Response:
        """The answer to a browser's preflight request; the token comes only with the request itself."""
        if not self._access.allows_origin(origin):
            raise ApiError(403, f"No project and no service user allows the origin '{origin}'; see cors_origins")
        headers = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Vary": "Origin",
        }
        return Response(status_code=204, headers=headers)

    async def _call(self, handler: Handler, user: str, request: Request, base: str, arguments: dict[str, Any]) -> Any:
        generation = self._generation_of(request, base)
        with self._store.new_session() as session:
            result = handler(Context(session, self._engine, user, _origin(request), generation), **arguments)
            if inspect.isawaitable(result):
                result = await result
            # A session that was never used has nothing to commit.
            if session.in_transaction():
                session.commit()
            return result

    def _generation_of(self, request: Request, base: str) -> Generation:
        """The generation whose answers a caller expects; few answers differ by generation."""
        if base == "v2":
            return GENERATIONS["4.15"]
        if self._generation is not None:
            return self._generation
        of_vendor = re.match(r"UbiOps/python/4\.", request.headers.get("user-agent", ""))
        return GENERATIONS["4.14"] if of_vendor else OLDEST


def _allow_origin(request: Request, response: Response) -> None:
    """Let the web pages that the caller's service user allows read the answer."""
    origin = request.headers.get("origin")
    if origin is not None and origin in getattr(request.state, "origins", ()):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"


def _origin(request: Request) -> str:
    host, port = request.scope["server"]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{request.scope['scheme']}://{request.headers.get('host') or address}"


async def _read_body(request: BoundedRequest, body: Body) -> dict[str, Any]:
    if "multipart/form-data" in body.media_types:
        return await _read_form(request, body)
    raw = await request.body()
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if not raw and media_type != "text/plain":
        if body.required:
            raise invalid("The request has no body")
        return {"data": None}
    if media_type == "text/plain" and media_type in body.media_types:
        return {"data": _decode(raw)}
    if media_type != "application/json":
        expected = ", ".join(sorted(body.media_types))
        raise ApiError(415, f"The Content-Type must be {expected}, not {media_type}")
    data = _read_json(raw)
    body.check(data)
    return {"data": data}


async def _read_form(request: BoundedRequest, body: Body) -> dict[str, Any]:
    request.largest = LARGEST_FILE
    try:
        form: Mapping[str, str | UploadFile] = await request.form()
    except MultiPartException as error:
        raise invalid(f"The form can't be read: {error.message}") from error
    return {name: form.get(name) for name in body.form_fields}


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"The body is not UTF-8: {error}") from error


def _read_json(raw: bytes) -> Any:
    text = _decode(raw)
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not valid JSON: {error}") from error
    if "\\ud" in text.lower():
        _check_surrogates(data)
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_surrogates(data: Any) -> None:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise invalid("The body contains half of a surrogate pair, which is not a character") from error


def _respond(operation: Operation, result: Any) -> Response:
    if isinstance(result, Response):
        return result
    if operation.status == 204:
        return Response(status_code=204)
    return JsonResponse(result, operation.status)
