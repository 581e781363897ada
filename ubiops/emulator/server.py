"""The emulator as an object: started in a thread of this process, and stopped."""

from __future__ import annotations

import asyncio
import fcntl
import secrets
import socket
import tempfile
import threading
from collections.abc import Coroutine
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import uvicorn
from sqlalchemy import select
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ubiops.emulator.access import ADMIN, welcome
from ubiops.emulator.app import create_app
from ubiops.emulator.clock import Clock
from ubiops.emulator.control import Control, with_drop
from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.faults import Faults
from ubiops.emulator.storage import Storage
from ubiops.emulator.store import Bucket, Organization, OrganizationUser, Project, Store, User

if TYPE_CHECKING:
    from typing_extensions import Self

    from ubiops.api.core_api import CoreApi

_ORGANIZATION = "emulator"
_BACKLOG = 2048
_KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: a POST that meets the end of one is not repeated by programs."""

_GRACE = 5
"""Seconds that open connections get when the emulator stops."""


class Emulator:
    """A UbiOps on this machine. It serves from `start` to `stop`, or inside a ``with``.

    Args:
        host: Address to listen on; only this machine reaches the default.
        port: Port to listen on; 0 chooses a free one.
        data_dir: Directory that keeps the state; None for one that goes with the emulator.
        token: The API token to accept, with or without ``Token`` in front; None for a random one.
        project: Name of a project to create, if it isn't there.
        install_requirements: Whether builds install the ``requirements.txt`` of their packages, which takes the
            package index. Otherwise all that they ask for must be installed beside the emulator.

    Attributes:
        app: The ASGI application that is served.
        faults: What goes wrong on purpose: ``emulator.faults.add(Fault(path="*/requests", status=503, times=2))``.
        token: The value of the header ``Authorization`` of every request: ``Token ...``.
        url: Base URL of the API, without a slash at the end; the port is known from the start.

    Raises:
        OSError: The address can't be listened on, or another emulator uses the data directory.
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
    ) -> None:
        with ExitStack() as resources:
            if data_dir is None:
                data_dir = resources.enter_context(tempfile.TemporaryDirectory(prefix="ubiops-emulator-"))
            directory = Path(data_dir)
            (directory / "packages").mkdir(parents=True, exist_ok=True)
            resources.enter_context(_lock(directory))
            self._project = project
            self._store = Store(directory / "emulator.db")
            resources.callback(self._store.close)
            self._engine = Engine(
                self._store,
                directory / "packages",
                Storage(self._store, directory / "storage"),
                install_requirements=install_requirements,
            )
            self._clock = Clock(self._store, self._engine)
            self._seed()
            self.token = "Token " + (token or secrets.token_hex(20)).removeprefix("Token ")
            self.faults = Faults()
            app = create_app(self._store, self._engine, self._clock, self.token)
            self.app: ASGIApp = Control(app, self.token, self.faults, self._forget)
            self._socket = resources.enter_context(_listen(host, port))
            self._resources = resources.pop_all()
        self.url = f"http://{host}:{self._socket.getsockname()[1]}/v2.1"
        self._server: _Server | None = None

    def start(self) -> Self:
        """Serve, in a thread of this process; returns when the emulator is ready.

        Raises:
            RuntimeError: It couldn't be started; the log says why.
        """
        self._server = _Server(self.app)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            raise RuntimeError("The emulator couldn't be started; its log says why")
        return self

    def client(self) -> CoreApi:
        """A client of this emulator, with its token."""
        from ubiops import ApiClient, Configuration, CoreApi

        return CoreApi(ApiClient(Configuration(host=self.url, api_key={"Authorization": self.token})))

    def reset(self) -> None:
        """Forget everything: projects, deployments, requests, logs, faults; running code is stopped."""
        self._in_server(self._forget())

    def tick(self, moment: datetime) -> None:
        """Do what is due at a moment, which the emulator does every minute by itself.

        The schedules that meet its minute make their requests, and what was kept until then is deleted. For tests of
        schedules, which need not wait for the hour.

        Args:
            moment: When, with its zone.
        """
        self._in_server(self._tick(moment))

    async def _tick(self, moment: datetime) -> None:
        self._clock.tick(moment)

    def stop(self) -> None:
        """Stop serving and all running code. Without a data directory, the state is gone."""
        if self._server is not None:
            # Code that runs would hold up the answers to direct requests, and these the server.
            self._in_server(self._engine.stop())
            self._server.should_exit = True
            self._thread.join()
            self._server = None
        self._resources.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _in_server(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._server is not None
        asyncio.run_coroutine_threadsafe(work, self._server.loop).result()

    async def _forget(self) -> None:
        self.faults.clear()
        await self._engine.clear()
        self._store.clear()
        self._seed()

    def _seed(self) -> None:
        """Give the store what there always is: an organization, and the project that was asked for."""
        with self._store.session() as session:
            organization = session.scalar(select(Organization).order_by(Organization.creation_date).limit(1))
            if organization is None:
                organization = Organization(name=_ORGANIZATION)
                administrator = User(email=ADMIN, name="Admin", surname="")
                session.add_all([organization, administrator])
                session.flush()
                session.add(OrganizationUser(organization_id=organization.id, user=administrator, admin=True))
            if self._project is None:
                return
            if session.scalar(select(Project.id).where(Project.name == self._project)) is None:
                project = Project(name=self._project, organization=organization, advanced_permissions=False)
                session.add_all([project, Bucket(project=project, name="default")])
                welcome(session, project)


def _lock(directory: Path) -> IO[str]:
    """Take the data directory for this process; it is free again when the file is closed or the process ends."""
    lock = (directory / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise OSError(f"Another emulator uses the data directory {directory}") from None
    return lock


def _listen(host: str, port: int) -> socket.socket:
    # asyncio sends at once (TCP_NODELAY) only through sockets that name the protocol, as create_server's do not.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


class _Protocol(H11Protocol):
    """A connection that the application can drop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = with_drop(self.app, transport.close)


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it is ready."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=_Protocol,
            lifespan="on",
            # Logging is the program's.
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
        super().__init__(config)
        self.ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()
