"""Builds: each revision is unpacked, its requirements are provided, and its code is loaded once."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ubiops.deployment_package import PackageError
from ubiops.emulator.dates import now
from ubiops.emulator.execution.code import Code
from ubiops.emulator.execution.environments import Environments
from ubiops.emulator.execution.events import BUILD_FAILED, note_event
from ubiops.emulator.execution.instance import Process
from ubiops.emulator.execution.notify import notify
from ubiops.emulator.execution.packages import Packages
from ubiops.emulator.ids import new_id
from ubiops.emulator.store import Store
from ubiops.emulator.tables import Build, Version
from ubiops.emulator.targets import Targets

_logger = logging.getLogger(__name__)

_TIMEOUT = 600.0
"""Seconds that a package may take to be imported and initialized in its build."""

_LONGEST_ERROR = 1024


class Builds:
    """Builds the packages of versions.

    Args:
        store: The database.
        packages: The packages on disk.
        environments: Builds the environments that packages run in.
        code: Describes what an instance runs.
        targets: The versions that requests go to.
        spawn: Runs a coroutine until it is done, or the emulator stops.
        built: Called with a version that has a new active revision, before that is stored.
    """

    def __init__(
        self,
        store: Store,
        packages: Packages,
        environments: Environments,
        code: Code,
        targets: Targets,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        built: Callable[[Version], None],
    ) -> None:
        self._store = store
        self._packages = packages
        self._environments = environments
        self._code = code
        self._targets = targets
        self._spawn = spawn
        self._built = built
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def start(self, build_id: str, version_id: str) -> None:
        """Start a build; those of one version run one after the other."""
        self._spawn(self._build(build_id, version_id))

    def recover(self, session: Session) -> None:
        """Restart the builds that an earlier process left unfinished."""
        for build in session.scalars(select(Build).where(Build.status.in_(["queued", "building", "validating"]))):
            self.start(build.id, build.version_id)
        built = select(Version).where(Version.active_revision_id.is_not(None), Version.status != "building")
        for version in session.scalars(built).all():
            if self._lacks_environment(session, version):
                build = Build(
                    id=new_id(), version=version, revision_id=version.active_revision_id, trigger="Emulator update"
                )
                session.add(build)
                version.latest_build_id, version.status = build.id, "building"
                self.start(build.id, version.id)

    def _lacks_environment(self, session: Session, version: Version) -> bool:
        """Whether an earlier release of the emulator installed what a package requires, in another way."""
        assert version.active_revision_id is not None
        try:
            root = self._code.root_of(version.id, version.active_revision_id)
        except (PackageError, OSError):
            return False
        return self._environments.is_missing(session, version.active_revision_id, root)

    def stop(self) -> None:
        """Drop the locks, once all builds are stopped: a lock belongs to the event loop in which it was awaited."""
        self._turns.clear()

    async def _build(self, build_id: str, version_id: str) -> None:
        async with self._turns[version_id]:
            log = self._code.log_of(version_id, build_id=build_id, system=True)
            revision_id = self._begin(build_id)
            if revision_id is None:
                return
            log("info", ["Build started"])
            try:
                methods = await self._validate(build_id, version_id, revision_id)
            except PackageError as error:
                log("error", [f"Build failed: {error}"])
                found = self._fail(build_id, str(error))
            except Exception:
                _logger.exception("Build %s failed inside the emulator", build_id)
                found = self._fail(build_id, "The emulator failed to build the package; its log says why")
            else:
                log("info", ["Build finished"])
                found = self._complete(build_id, methods)
            if not found:
                # Its version was deleted meanwhile, so what was unpacked since then isn't used.
                self._packages.remove([revision_id])

    async def _validate(self, build_id: str, version_id: str, revision_id: str) -> dict[str, bool]:
        await asyncio.to_thread(self._packages.unpack, revision_id)
        root = self._code.root_of(version_id, revision_id)
        log = self._code.log_of(version_id, build_id=build_id, system=True)
        await self._environments.provide(version_id, revision_id, root, build_id, log)
        describe = partial(self._code.describe, version_id, revision_id)
        self._change(build_id, status="validating")
        process = Process(describe, self._code.log_of(version_id, build_id=build_id))
        try:
            return await asyncio.wait_for(process.start(), _TIMEOUT)
        except asyncio.TimeoutError:
            raise PackageError(f"The package wasn't initialized within {_TIMEOUT:g} seconds") from None
        finally:
            await process.stop()

    def _begin(self, build_id: str) -> str | None:
        with self._store.session() as session:
            build = _change(session, build_id, status="building")
            return None if build is None else build.revision_id

    def _change(self, build_id: str, **values: Any) -> None:
        with self._store.session() as session:
            _change(session, build_id, **values)

    def _fail(self, build_id: str, message: str) -> bool:
        with self._store.session() as session:
            build = _change(session, build_id, status="failed", error_message=message[:_LONGEST_ERROR])
            if build is None:
                return False
            version = build.version
            _settle(version, build)
            text = f"The build {build_id} of the version {version.name} of the deployment {version.deployment.name}"
            note_event(session, version, BUILD_FAILED, f"{text} has failed: {message}"[:_LONGEST_ERROR])
            place = {"version_id": version.id, "build_id": build_id}
            notify(session, version.deployment.project_id, version.monitoring, f"{text} has failed", **place)
        self._targets.forget()
        return True

    def _complete(self, build_id: str, methods: dict[str, bool]) -> bool:
        with self._store.session() as session:
            build = _change(session, build_id, status="success", **methods)
            if build is None:
                return False
            version = build.version
            version.active_revision_id = build.revision_id
            version.last_updated = now()
            _settle(version, build)
            self._built(version)
        self._targets.forget()
        return True


def _change(session: Session, build_id: str, **values: Any) -> Build | None:
    build = session.scalar(select(Build).where(Build.id == build_id))
    if build is not None:
        for name, value in values.items():
            setattr(build, name, value)
    return build


def _settle(version: Version, build: Build) -> None:
    """Set the status of a version after a build, unless another build follows."""
    if version.latest_build_id == build.id:
        # After a failed build, the earlier package stays in use.
        version.status = "available" if version.is_ready else "unavailable"
