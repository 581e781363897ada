"""`Emulator`: a server in a thread of this process."""

from __future__ import annotations

import asyncio
import fcntl
import secrets
import socket
import tempfile
import threading
import weakref
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import uvicorn
from sqlalchemy import select
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ubiops.clock import monotonic
from ubiops.emulator.access.caller import ADMIN
from ubiops.emulator.access.membership import welcome
from ubiops.emulator.app import create_app
from ubiops.emulator.clock import Clock
from ubiops.emulator.environments import add_system_environments
from ubiops.emulator.errors import ApiError
from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.faults import Faults
from ubiops.emulator.handlers.rules import check_name
from ubiops.emulator.quotas import LIMITED
from ubiops.emulator.services.proxy import ServiceProxy
from ubiops.emulator.services.websocket import LARGEST_MESSAGE
from ubiops.emulator.storage.contents import Storage
from ubiops.emulator.store import Store
from ubiops.emulator.tables import Bucket, Organization, OrganizationUser, Project, User
from ubiops.emulator.web.control import Control, with_drop
from ubiops.emulator.web.document import GENERATIONS

if TYPE_CHECKING:
    from typing_extensions import Self

    from ubiops.api.core_api import CoreApi

_ORGANIZATION = "emulator"
_BACKLOG = 2048
_KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: programs don't repeat a POST whose connection was just closed."""

_GRACE = 5
"""Seconds that open connections get when the emulator stops."""


class Emulator:
    """An emulator of UbiOps on this machine. It serves from `start` to `stop`, or inside a ``with``.

    After `stop` it can be started again, with its state, until its ``with`` has ended or it is garbage-collected.

    Args:
        host: Address to listen on, IPv4 or IPv6; the default can only be reached from this machine.
        port: Port to listen on; 0 chooses a free one.
        data_dir: Directory for the state; None for a temporary one.
        token: The API token to accept, with or without ``Token`` in front; None for a random one.
        project: Name of a project to create, unless it exists.
        install_requirements: Whether builds install ``requirements.txt`` into virtual environments, from the package
            index. If not, the requirements must already be installed, with the emulator or in the other Python that
            an environment stands for.
        allow_webhooks: Hosts that webhooks may send to, in addition to this machine.
        quotas: The most resources of a kind that each project may have, such as ``{"deployments": 5}``; other kinds
            have no limit.
        generation: The version of the vendor's client (``3.12``, ``4.14``, ``4.15``) whose service it emulates; None
            for all of them at once.

    Attributes:
        app: The ASGI application that is served.
        faults: Errors made on purpose: ``emulator.faults.add(Fault(path="*/requests", status=503, times=2))``.
        token: The value of the header ``Authorization`` of every request: ``Token ...``.
        url: Base URL of the API, without a slash at the end; it is known before `start`.

    Raises:
        OSError: The address can't be used, or another emulator uses the data directory.
        ValueError: The name of the project isn't valid, or the generation or the kind of a quota doesn't exist.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data_dir: str | Path | None = None,
        token: str | None = None,
        project: str | None = None,
        install_requirements: bool = False,
        allow_webhooks: Collection[str] = (),
        quotas: Mapping[str, int] | Iterable[tuple[str, int]] = (),
        generation: str | None = None,
    ) -> None:
        if generation is not None and generation not in GENERATIONS:
            raise ValueError(f"generation must be one of {', '.join(GENERATIONS)}, not '{generation}'")
        bounds = dict(quotas)
        if unknown := bounds.keys() - set(LIMITED):
            raise ValueError(f"quotas: {', '.join(sorted(unknown))} can't be limited; choose from {', '.join(LIMITED)}")
        if project is not None:
            _check_project(project)
        with ExitStack() as resources:
            if data_dir is None:
                data_dir = resources.enter_context(tempfile.TemporaryDirectory(prefix="ubiops-emulator-"))
            directory = Path(data_dir).resolve()
            # It contains secrets; protecting a directory that exists already is up to its owner.
            directory.mkdir(0o700, parents=True, exist_ok=True)
            (directory / "packages").mkdir(exist_ok=True)
            self._lock = resources.enter_context(_Lock(directory))
            self._project = project
            self._store = Store(directory / "emulator.db")
            resources.callback(self._store.close)
            self._engine = Engine(
                self._store,
                directory / "packages",
                Storage(self._store, directory / "storage"),
                install_requirements=install_requirements,
                allow_webhooks=allow_webhooks,
                quotas=bounds,
            )
            self._clock = Clock(self._store, self._engine)
            self._seed()
            self.token = "Token " + (token or secrets.token_hex(20)).removeprefix("Token ")
            self.faults = Faults()
            served = GENERATIONS[generation] if generation is not None else None
            app = create_app(self._store, self._engine, self._clock, self.token, served)
            self._control = Control(app, self.token, self.faults, self._forget, self._engine.webhooks.sent)
            self.app: ASGIApp = ServiceProxy(self._control, self._store, self._engine, self.token)
            self._address = resources.enter_context(_Address(host, port))
            self._close = weakref.finalize(self, resources.pop_all().close)
        self.url = self._engine.internal_api.url = self._url(generation)
        self._server: _Server | None = None

    def start(self) -> Self:
        """Serve, in a thread of this process; returns when the emulator is ready.

        Raises:
            OSError: Since it was stopped, another program took its port or another emulator its data directory.
            RuntimeError: It is already running, it is closed, or it couldn't be started; the log says why.
        """
        if self._server is not None:
            raise RuntimeError("The emulator is already running")
        if not self._close.alive:
            raise RuntimeError("The emulator is closed, since its `with` has ended; create another one")
        self._lock.take()
        server = _Server(self.app)
        self._thread = threading.Thread(target=server.serve_in_thread, args=(self._address.take(),), daemon=True)
        self._thread.start()
        server.ready.wait()
        if not server.started:
            self._stopped()
            raise RuntimeError("The emulator couldn't be started; its log says why")
        self._server = server
        return self

    def _url(self, generation: str | None) -> str:
        return f"http://{self._address}/{'v2' if generation == '4.15' else 'v2.1'}"

    def client(self, generation: str | None = None) -> CoreApi:
        """Return a client of this emulator, with its token; it never uses a proxy.

        Args:
            generation: The version of the vendor's client to act as, which selects the path of the API; None for that
                of the emulator.
        """
        from ubiops import ApiClient, Configuration, CoreApi

        host = self.url if generation is None else self._url(generation)
        configuration = Configuration(host=host, api_key={"Authorization": self.token})
        configuration.proxy = ""
        return CoreApi(ApiClient(configuration))

    def reset(self) -> None:
        """Delete everything: projects, deployments, requests, logs, faults; running code is stopped.

        The emulator is then as it was with an empty data directory, with the project that it was started with.
        """
        self._in_server(self._forget)

    def tick(self, moment: datetime) -> None:
        """Do the work of a given moment, as the emulator does every minute: the schedules of that minute make their
        requests, and data whose retention time is over is deleted. Tests of schedules don't have to wait.

        Args:
            moment: When, with its zone.
        """
        self._in_server(partial(self._tick, moment))

    async def _tick(self, moment: datetime) -> None:
        self._clock.tick(moment)

    def stop(self) -> None:
        """Stop the server and all running code; the state is kept until the emulator is closed."""
        if self._server is None:
            return
        server, self._server = self._server, None
        asyncio.run_coroutine_threadsafe(self._end_requests(), server.loop).result()
        server.should_exit = True
        self._stopped()

    async def _end_requests(self) -> None:
        """End what would delay responses, and so the server's stop: running code, and delays set as faults."""
        await self._engine.stop()
        self._control.drop_delayed()

    def _stopped(self) -> None:
        self._thread.join()
        self._address.reserve()
        self._lock.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and close it. Without a data directory, the state is deleted."""
        try:
            self.stop()
        finally:
            self._close()

    def _in_server(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._server is None:
            raise RuntimeError("The emulator isn't running; start it first")
        asyncio.run_coroutine_threadsafe(work(), self._server.loop).result()

    async def _forget(self) -> None:
        self.faults.clear()
        self._control.drop_delayed()
        await self._engine.clear()
        self._store.reset(self._seed)

    def _seed(self) -> None:
        """Add what always exists to the store: an organization, the system's environments, the requested project."""
        with self._store.session() as session:
            organization = session.scalar(select(Organization).order_by(Organization.creation_date).limit(1))
            if organization is None:
                organization = Organization(name=_ORGANIZATION)
                administrator = User(email=ADMIN, name="Admin", surname="")
                session.add_all([organization, administrator])
                session.flush()
                session.add(OrganizationUser(organization_id=organization.id, user=administrator, admin=True))
            add_system_environments(session)
            if self._project is None:
                return
            if session.scalar(select(Project.id).where(Project.name == self._project)) is None:
                project = Project(name=self._project, organization=organization, advanced_permissions=False)
                session.add_all([project, Bucket(project=project, name="default")])
                welcome(session, project)


class _Lock:
    """Locks a data directory for this process, until it is released or the process ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = (directory / "lock").open("w")
        try:
            self.take()
        except BaseException:
            self._file.close()
            raise

    def take(self) -> None:
        """Lock the directory, unless this process holds it already."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"Another emulator uses the data directory {self._directory}") from None

    def release(self) -> None:
        """Unlock the directory."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()


def _check_project(name: str) -> None:
    try:
        check_name(name, "project")
    except ApiError as error:
        raise ValueError(error.message) from None


class _Address:
    """The address of an emulator. While the emulator doesn't serve, the port stays bound and refuses connections."""

    def __init__(self, host: str, port: int) -> None:
        self._address: Any
        family, _, _, _, self._address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._family, self._host = family, f"[{host}]" if ":" in host else host
        # If the system chooses the port, sharing would let it choose one that another emulator keeps.
        self._socket = self._bind(share=port != 0)
        self._address = self._socket.getsockname()

    def _bind(self, *, share: bool) -> socket.socket:
        # asyncio sets TCP_NODELAY only on sockets that name the protocol.
        bound = socket.socket(self._family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, share)
            bound.bind(self._address)
            # Inherited by connections, so that those that linger don't prevent another bind.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        except BaseException:
            bound.close()
            raise
        return bound

    def take(self) -> socket.socket:
        """The socket to serve from; the server closes it."""
        if self._socket.fileno() < 0:
            self._socket = self._bind(share=True)
        return self._socket

    def reserve(self) -> None:
        """Keep the port after the server has closed the socket, unless another process took it first."""
        self._socket.close()
        with suppress(OSError):
            self._socket = self._bind(share=True)

    def __str__(self) -> str:
        return f"{self._host}:{self._address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()


class _Protocol(H11Protocol):
    """A connection that the application can drop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = with_drop(self.app, transport.close)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop whose time keeps going while a test freezes time."""

    def time(self) -> float:
        return monotonic()


class _Server(uvicorn.Server):
    """uvicorn's server, with an event for when it is ready."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="websockets-sansio",
            ws_max_size=LARGEST_MESSAGE,
            lifespan="on",
            # Don't trust headers in which a caller on this machine claims another client address.
            proxy_headers=False,
            backlog=_BACKLOG,
            # Logging is left to the program.
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
        super().__init__(config)
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop

    def serve_in_thread(self, listener: socket.socket) -> None:
        """Serve until told to exit."""
        self.loop = _Loop()
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self.serve([listener]))
        finally:
            self.ready.set()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()
