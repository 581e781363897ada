"""The part of the emulator that acts: it builds packages and runs requests, and stores what came of it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ubiops.deployment_package import DataError, PackageError, RequestError, check_data, find_root, main_file_name
from ubiops.emulator.execution.instance import Instance, LogSink, Package
from ubiops.emulator.execution.package import unpack
from ubiops.emulator.execution.pool import Job, Outcome, Pool
from ubiops.emulator.store import Build, DeploymentRequest, LogLine, Store, Variable, Version, now
from ubiops.emulator.variables import effective_variables

_logger = logging.getLogger(__name__)

_BUILD_TIMEOUT = 600.0
"""Seconds that a package may take to be imported and initialized in its build."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "PYTHONHOME")
"""Variables of this process that user code gets. Not all of them: code must not work here for want of isolation."""


class Engine:
    """Builds and runs what is in the store.

    Args:
        store: Where everything is.
        directory: Where the packages are kept.
    """

    def __init__(self, store: Store, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._pools: dict[str, Pool] = {}
        self._builds: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    # Packages

    def archive(self, revision_id: str) -> Path:
        """Where the zip of a revision is kept."""
        return self._directory / f"{revision_id}.zip"

    def _unpacked(self, revision_id: str) -> Path:
        return self._directory / revision_id

    # Requests

    def submit(self, version: Version, request_id: str, *, express: bool, timeout: float) -> asyncio.Future[Outcome]:
        """Queue a stored request; gives what tells how it ends."""
        job = Job(request_id, express=express, timeout=timeout)
        self._pool(version).submit(job)
        return job.done

    def queued(self, version: Version, *, express: bool) -> int:
        """How many requests of a kind wait for an instance."""
        return self._pool(version).queued(express=express)

    def cancel(self, request: DeploymentRequest) -> None:
        """Take a request out of the queue, or off its instance, once the present transaction is committed."""
        pool = self._pools.get(request.version_id)
        if pool is not None:
            asyncio.get_running_loop().call_soon(pool.cancel, request.id)

    def restart(self, versions: Iterable[Version]) -> None:
        """Let versions pick up new settings or variables."""
        for version in versions:
            if version.id in self._pools:
                self._pool(version).restart()

    def forget(self, version_ids: Iterable[str]) -> None:
        """Stop the instances of versions that are being deleted."""
        for version_id in version_ids:
            pool = self._pools.pop(version_id, None)
            if pool is not None:
                self._spawn(pool.close())

    def _pool(self, version: Version) -> Pool:
        pool = self._pools.setdefault(version.id, Pool(self, version.id))
        pool.maximum_instances = version.maximum_instances
        pool.minimum_instances = version.minimum_instances
        pool.maximum_idle_time = version.maximum_idle_time
        return pool

    def new_instance(self, version_id: str) -> Instance:
        """An instance that will run the active package of a version."""
        return Instance(partial(self._describe, version_id, None), self._log_of(version_id))

    async def execute(self, instance: Instance, request_id: str) -> Outcome:
        """Let an instance answer a stored request."""
        with self._store.session() as session:
            request = session.scalar(select(DeploymentRequest).where(DeploymentRequest.id == request_id))
            if request is None:
                return Outcome("cancelled")
            request.status = "processing"
            request.time_started = now()
            data, deployment = request.data, request.version.deployment
            kind, fields = deployment.output_type, deployment.output_fields
            log = self._log_of(request.version_id, request_id=request_id)
            context = _request_context(request)
        try:
            result = await instance.run(data, context, log)
            check_data(result, kind, fields, "output")
        except (PackageError, RequestError, DataError) as error:
            return Outcome("failed", error_message=str(error))
        return Outcome("completed", result=result)

    def finish(self, request_id: str, outcome: Outcome) -> None:
        """Store how a request ended, as the retention mode of its version says."""
        with self._store.session() as session:
            request = session.scalar(select(DeploymentRequest).where(DeploymentRequest.id == request_id))
            if request is None:
                return
            mode = request.version.request_retention_mode
            if mode == "none":
                session.delete(request)
                return
            request.status = outcome.status
            request.success = outcome.status == "completed"
            request.error_message = outcome.error_message
            request.time_completed = now()
            request.result = outcome.result
            if mode == "metadata":
                request.data = request.result = None

    # Builds

    def build(self, build_id: str, version_id: str) -> None:
        """Start a build; those of one version run one after the other."""
        self._spawn(self._build(build_id, version_id))

    async def _build(self, build_id: str, version_id: str) -> None:
        async with self._builds[version_id]:
            log = self._log_of(version_id, build_id=build_id, system=True)
            revision_id = self._begin_build(build_id)
            if revision_id is None:
                return
            log("info", ["Build started"])
            try:
                methods = await self._validate(build_id, version_id, revision_id)
            except PackageError as error:
                log("error", [f"Build failed: {error}"])
                self._fail_build(build_id, str(error))
            except Exception:
                _logger.exception("Build %s failed inside the emulator", build_id)
                self._fail_build(build_id, "The emulator failed to build the package; its log says why")
            else:
                log("info", ["Build finished"])
                self._complete_build(build_id, methods)

    async def _validate(self, build_id: str, version_id: str, revision_id: str) -> dict[str, bool]:
        await asyncio.to_thread(unpack, self.archive(revision_id), self._unpacked(revision_id))
        self._set_status(build_id, "validating")
        describe = partial(self._describe, version_id, revision_id)
        instance = Instance(describe, self._log_of(version_id, build_id=build_id))
        try:
            return await asyncio.wait_for(instance.start(), _BUILD_TIMEOUT)
        except asyncio.TimeoutError:
            raise PackageError(f"The package wasn't initialized within {_BUILD_TIMEOUT:g} seconds") from None
        finally:
            await instance.stop()

    def _begin_build(self, build_id: str) -> str | None:
        with self._store.session() as session:
            build = session.scalar(select(Build).where(Build.id == build_id))
            if build is None:
                return None
            build.status = "building"
            return build.revision_id

    def _set_status(self, build_id: str, status: str) -> None:
        with self._store.session() as session:
            build = session.scalar(select(Build).where(Build.id == build_id))
            if build is not None:
                build.status = status

    def _fail_build(self, build_id: str, message: str) -> None:
        with self._store.session() as session:
            build = session.scalar(select(Build).where(Build.id == build_id))
            if build is not None:
                build.status = "failed"
                build.error_message = message[:1024]

    def _complete_build(self, build_id: str, methods: dict[str, bool]) -> None:
        with self._store.session() as session:
            build = session.scalar(select(Build).where(Build.id == build_id))
            if build is None:
                return
            build.status = "success"
            build.has_request_method = methods["has_request_method"]
            build.has_requests_method = methods["has_requests_method"]
            version = build.version
            version.status = "available"
            version.active_revision_id = build.revision_id
            version.last_updated = now()
            self.restart([version])

    # What user code sees

    def _describe(self, version_id: str, revision_id: str | None) -> Package:
        with self._store.session() as session:
            version = session.get(Version, version_id)
            if version is None:
                raise PackageError("The version was deleted")
            if version.language.startswith("r"):
                raise PackageError(f"The emulator runs Python, not {version.language}")
            revision_id = revision_id or version.active_revision_id
            assert revision_id is not None
            variables = effective_variables(session, version)
            context = _init_context(version, variables)
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= {variable.name: variable.value for variable in variables}
        root = find_root(self._unpacked(revision_id), main_file_name(environment))
        secrets = [variable.value for variable in variables if variable.secret and variable.value]
        return Package(root, context, environment, secrets)

    def _log_of(
        self, version_id: str, *, build_id: str | None = None, request_id: str | None = None, system: bool = False
    ) -> LogSink:
        def write(level: str, lines: list[str]) -> None:
            with self._store.session() as session:
                version = session.get(Version, version_id)
                if version is None:
                    return
                session.add_all(
                    LogLine(
                        project_id=version.deployment.project_id,
                        version_id=version_id,
                        build_id=build_id,
                        request_id=request_id,
                        level=level,
                        system=system,
                        log=line,
                    )
                    for line in lines
                )

        return write

    # The engine itself

    def recover(self) -> None:
        """Take up what an earlier process left: builds and batches run again, direct requests have failed."""
        with self._store.session() as session:
            for build in session.scalars(select(Build).where(Build.status.in_(["queued", "building", "validating"]))):
                self.build(build.id, build.version_id)
            unfinished = DeploymentRequest.status.in_(["pending", "processing", "cancelled_pending"])
            for request in session.scalars(select(DeploymentRequest).where(unfinished)):
                self._take_up(request)

    def _take_up(self, request: DeploymentRequest) -> None:
        if request.express or request.status == "cancelled_pending":
            request.status = "failed" if request.express else "cancelled"
            request.success = False
            request.error_message = "The emulator was stopped while the request ran"
            request.time_completed = now()
            return
        request.status = "pending"
        self.submit(request.version, request.id, express=False, timeout=request.timeout)

    async def stop(self) -> None:
        """Stop all instances and builds; `recover` takes them up again."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def clear(self) -> None:
        """Stop everything and delete the packages."""
        await self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _init_context(version: Version, variables: list[Variable]) -> dict[str, Any]:
    deployment = version.deployment
    return {
        "project": deployment.project.name,
        "deployment": deployment.name,
        "version": version.name,
        "input_type": deployment.input_type,
        "output_type": deployment.output_type,
        "input_fields": _plain_fields(deployment.input_fields),
        "output_fields": _plain_fields(deployment.output_fields),
        "language": version.language,
        "environment_variables": {variable.name: variable.value for variable in variables},
    }


def _plain_fields(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": field["name"], "data_type": field["data_type"]} for field in fields]


def _request_context(request: DeploymentRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "request_mode": "express" if request.express else "batch",
        "pipeline_id": None,
        "pipeline_version_id": None,
        "pipeline_object_id": None,
        "pipeline_request_id": None,
    }
