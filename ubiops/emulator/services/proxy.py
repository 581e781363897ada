"""Forwards requests to services to the instances that serve them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.exceptions import InvalidStatus

from ubiops.emulator.access.caller import Access, Caller
from ubiops.emulator.errors import ApiError, invalid, not_found
from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.execution.readiness import Server
from ubiops.emulator.services.balancer import Balancer
from ubiops.emulator.services.bodies import GoneError, RequestBody
from ubiops.emulator.services.headers import Headers, to_instance
from ubiops.emulator.services.history import Visit, keep
from ubiops.emulator.services.limits import Limit, LimitError, Limits
from ubiops.emulator.services.place import Place, find_place
from ubiops.emulator.services.upstream import Exchange
from ubiops.emulator.services.websocket import Tunnel
from ubiops.emulator.store import Store
from ubiops.emulator.tables import Deployment, Service, ServiceLimit, User, Version
from ubiops.emulator.web.control import DROP
from ubiops.emulator.web.responses import failure

_NOT_PASSED_ON = (b"date", b"server")
"""Headers of answers that the emulator's own server writes."""

_LOST_WITHIN = 10.0
_NOT_READY = "No instance of the service is ready; its status says when one is"


@dataclass(frozen=True)
class _Call:
    """A request that is allowed.

    Attributes:
        place: What it asks for.
        service: The service.
        version: The version that the service leads to.
        caller: The caller; None if the service needs no authentication.
        limits: The limits that it counts towards.
    """

    place: Place
    service: Service
    version: Version
    caller: Caller | None
    limits: list[Limit]


class ServiceProxy:
    """An ASGI application in front of the others, which takes the requests to services.

    It only ever connects to sockets that a process of an instance of the service's version listens on: where to connect
    depends on the service alone, never on the request. Redirects are returned to the caller.

    Args:
        app: The application for everything else.
        store: The database.
        engine: Runs the instances.
        token: The value of ``Authorization`` that allows everything.
    """

    def __init__(self, app: ASGIApp, store: Store, engine: Engine, token: str) -> None:
        self._app = app
        self._store = store
        self._engine = engine
        self._access = Access(store, token)
        self._limits = Limits()
        self._balancer = Balancer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place = find_place(scope) if scope["type"] in ("http", "websocket") else None
        if place is None:
            await self._app(scope, receive, send)
            return
        answer = self._answer_websocket if scope["type"] == "websocket" else self._answer_http
        try:
            await answer(place, scope, receive, send)
        except Exception as error:
            await _respond(_refusal(scope, error), scope, receive, send)

    # Who calls what

    def _admit(self, place: Place, scope: Scope) -> _Call:
        """Check that the caller may make a request, and find out what it asks for.

        Raises:
            ApiError: 401, 403: the caller may not; 404: there is no such service; 503: no version serves it.
        """
        if not place.path.startswith(b"/"):
            raise invalid("The target of a request to a service must be a path")
        with self._store.session() as session:
            whole = joinedload(Service.deployment).joinedload(Deployment.project)
            service = session.scalar(select(Service).filter_by(id=place.service_id).options(whole))
            if service is None:
                raise not_found(f"There is no service {place.service_id}")
            caller = self._identify(service, HTTPConnection(scope).headers.get("authorization", ""))
            version = service.served_version
            if version is None or not version.is_ready:
                raise ApiError(503, "The service leads to no version that was built")
            return _Call(place, service, version, caller, _limits_of(session, service, caller))

    def _identify(self, service: Service, given: str) -> Caller | None:
        if not service.authentication_required:
            return None
        if not service.authentication_method_token_enabled:
            raise ApiError(401, "The service requires authentication, and accepts no API tokens")
        caller = self._access.authenticate_key(given)
        self._access.authorize_requests(caller, service.deployment)
        return caller

    @contextmanager
    def _visit(self, call: _Call, method: str) -> Iterator[Visit]:
        """Record a request when it has ended."""
        email = call.caller.email if call.caller is not None else ""
        visit = Visit(call.service, call.version, email, method, call.place.path.decode("ascii"))
        try:
            yield visit
        except ApiError as error:
            visit.status = error.status
            raise
        finally:
            keep(self._store, visit)

    async def _ready(self, call: _Call) -> list[Server]:
        servers = await self._engine.readiness.ready(call.version, call.service.port)
        if not servers:
            self._engine.keep_minimum(call.version)
            raise ApiError(503, _NOT_READY)
        return servers

    async def _answer_http(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        if not place.path:
            # Relative links of a page are resolved from its folder.
            query = f"?{place.query.decode('ascii')}" if place.query else ""
            await RedirectResponse(f"{place.prefix}/{query}", 307)(scope, receive, send)
            return
        call = self._admit(place, scope)
        body = RequestBody(receive, HTTPConnection(scope).headers.get("content-length", ""))
        with self._limits.count(call.limits):
            servers = await self._ready(call)
            try:
                beginning = await body.first() if call.service.cache_aware_llm_routing else b""
            except GoneError:
                return
            with self._visit(call, scope["method"]) as visit, self._balancer.use(servers, beginning) as server:
                await _Hop(call, visit, server).run(scope, body, send)

    async def _answer_websocket(self, place: Place, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        call = self._admit(place, scope)
        with self._limits.count(call.limits):
            servers = await self._ready(call)
            with self._visit(call, "GET") as visit, self._balancer.use(servers) as server:
                headers = _headers(call, scope)
                # Older releases of uvicorn don't split a header with several names.
                subprotocols = [name.strip() for text in scope["subprotocols"] for name in text.split(",")]
                tunnel = Tunnel(server.listener, server.is_still, place.target, headers, subprotocols)
                try:
                    async with tunnel:
                        visit.status = 101
                        accept = {"type": "websocket.accept", "subprotocol": tunnel.subprotocol}
                        # uvicorn raises an OSError if the caller has gone away.
                        with contextlib.suppress(OSError):
                            await send({**accept, "headers": tunnel.cookies})
                            await tunnel.relay(receive, send)
                except InvalidStatus as error:
                    visit.status = error.response.status_code
                    kind = error.response.headers.get("Content-Type")
                    response = Response(bytes(error.response.body or b""), visit.status, media_type=kind)
                    await _respond(response, scope, receive, send)


class _Hop:
    """A request to an instance, and its answer."""

    def __init__(self, call: _Call, visit: Visit, server: Server) -> None:
        self._call = call
        self._visit = visit
        self._server = server

    async def run(self, scope: Scope, body: RequestBody, send: Send) -> None:
        """Forward both ways at once, until the answer has ended or the caller has gone away.

        Raises:
            ApiError: 413: the body is too large; 502: the instance failed. If the answer had begun, the connection is
                dropped instead.
        """
        async with Exchange(self._server.listener, self._server.is_still) as exchange:
            ways = asking, answering = (
                asyncio.ensure_future(self._ask(exchange, scope, body)),
                asyncio.ensure_future(self._answer(exchange, send)),
            )
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                await (answering if answering.done() else asking)
            except GoneError:
                return
            except ApiError:
                if self._visit.status is None:
                    raise
                scope["extensions"][DROP]()
                await body.gone()
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _ask(self, exchange: Exchange, scope: Scope, body: RequestBody) -> None:
        headers = _headers(self._call, scope)

        async def read() -> bytes | None:
            block = await body.read()
            self._visit.input_volume += len(block or b"")
            return block

        await exchange.send(scope["method"], self._call.place.target, headers, scope["headers"], read)
        await body.gone()

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        status, headers = await exchange.head()
        start = {"type": "http.response.start", "status": status, "headers": _back(headers, self._call.place.prefix)}
        self._visit.status = status
        await send(start)
        while (block := await exchange.block()) is not None:
            self._visit.output_volume += len(block)
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body"})


def _headers(call: _Call, scope: Scope) -> Headers:
    client = scope.get("client") or ("", 0)
    return to_instance(
        scope["headers"],
        client=client[0],
        scheme=scope["scheme"],
        prefix=call.place.prefix,
        with_authorization=call.service.authentication_header_pass_through,
    )


def _back(headers: Headers, prefix: str) -> Headers:
    """The headers of an answer for the caller; an address on the same server gets the missing prefix."""
    kept = [(name, value) for name, value in headers if name.lower() not in _NOT_PASSED_ON]
    return [
        (name, prefix.encode() + value if name.lower() == b"location" and _lacks(value, prefix) else value)
        for name, value in kept
    ]


def _lacks(location: bytes, prefix: str) -> bool:
    is_path = location.startswith(b"/") and not location.startswith((b"//", b"/\\"))
    return bool(prefix) and is_path and not location.startswith(prefix.encode() + b"/")


def _limits_of(session: Session, service: Service, caller: Caller | None) -> list[Limit]:
    what = f"The service '{service.name}'"
    limits = [Limit((service.id,), what, service.rate_limit, service.concurrency_limit)]
    if caller is not None:
        query = select(ServiceLimit.kind, ServiceLimit.limit).join(ServiceLimit.user)
        own = dict(
            session.execute(query.where(ServiceLimit.service_id == service.id, User.email == caller.email)).all()
        )
        rate = own.get("rate", service.rate_limit_user_default)
        concurrency = own.get("concurrency", service.concurrency_limit_user_default)
        limits.append(Limit((service.id, caller.email), f"{what}, for one user,", rate, concurrency))
    return limits


async def _respond(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        # uvicorn writes its own, and up to 0.46 adds this one too.
        del response.headers["Content-Length"]
    await response(scope, receive, send)
    if scope["type"] == "websocket":
        # To uvicorn, a handshake that was refused is unfinished until the connection is lost, which it would log. It
        # reports first that the handshake failed, then that the connection is lost.
        with contextlib.suppress(asyncio.TimeoutError):
            for _ in range(2):
                await asyncio.wait_for(receive(), _LOST_WITHIN)


def _refusal(scope: Scope, error: Exception) -> Response:
    answer = failure(HTTPConnection(scope), error)
    if isinstance(error, LimitError):
        answer.headers["Retry-After"] = str(error.wait)
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = "Token"
    return answer
