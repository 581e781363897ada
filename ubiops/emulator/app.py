"""The web application: each request becomes a call of the handler that bears its operation's name."""

from __future__ import annotations

import inspect
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ubiops.emulator.context import Context
from ubiops.emulator.document import Body, Document, Operation
from ubiops.emulator.errors import ApiError, invalid
from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.handlers import MODULES
from ubiops.emulator.responses import JsonResponse
from ubiops.emulator.store import Store

_logger = logging.getLogger(__name__)

Handler = Callable[..., Any]


def create_app(store: Store, engine: Engine, token: str, user: str) -> Starlette:
    """The emulator as an ASGI application.

    Args:
        store: What it remembers.
        engine: What builds and runs deployments.
        token: What ``Authorization`` must hold.
        user: Email address of who has the token.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        engine.recover()
        yield
        await engine.stop()

    endpoint = _Endpoint(store, engine, token, user)
    return Starlette(routes=[Route("/{path:path}", endpoint=endpoint)], lifespan=lifespan)


class _Endpoint:
    """Answers every request to the API."""

    def __init__(self, store: Store, engine: Engine, token: str, user: str) -> None:
        self._store = store
        self._engine = engine
        self._token = token
        self._user = user
        self._document = Document()
        self._handlers: dict[str, Handler] = {
            name: function
            for module in MODULES
            for name, function in vars(module).items()
            if name in self._document.operations
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ApiError as error:
            response = JsonResponse({"error": error.message}, error.status)
        except ClientDisconnect:
            return
        except Exception:
            _logger.exception("%s %s failed inside the emulator", request.method, request.url.path)
            response = JsonResponse({"error": "The emulator failed; its log says why"}, 500)
        finally:
            await request.close()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        operation, path_arguments = self._document.find(request.method, request.scope["raw_path"])
        self._authenticate(request)
        handler = self._handlers.get(operation.id)
        if handler is None:
            raise ApiError(501, f"The emulator doesn't have the operation {operation.id} yet")
        arguments: dict[str, Any] = dict(zip(operation.path_names, path_arguments, strict=True))
        for parameter in operation.query:
            arguments[parameter.name] = parameter.read(request.query_params.get(parameter.name))
        if operation.body is not None:
            arguments |= await _read_body(request, operation.body)
        return _respond(operation, await self._call(handler, arguments))

    def _authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not given:
            raise ApiError(401, "The header Authorization is missing; it must hold 'Token <token>'")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            raise ApiError(401, "The API token is not valid")

    async def _call(self, handler: Handler, arguments: dict[str, Any]) -> Any:
        with self._store.new_session() as session:
            result = handler(Context(session, self._engine, self._user), **arguments)
            if inspect.isawaitable(result):
                result = await result
            session.commit()
            return result


async def _read_body(request: Request, body: Body) -> dict[str, Any]:
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


async def _read_form(request: Request, body: Body) -> dict[str, Any]:
    try:
        form: Mapping[str, str | UploadFile] = await request.form()
    except HTTPException as error:
        raise invalid(f"The form can't be read: {error.detail}") from error
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
    raise ValueError(f"{name} is no JSON")


def _check_surrogates(data: Any) -> None:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise invalid("The body has half of a surrogate pair, which is no text") from error


def _respond(operation: Operation, result: Any) -> Response:
    if isinstance(result, Response):
        return result
    if operation.status == 204:
        return Response(status_code=204)
    return JsonResponse(result, operation.status)
