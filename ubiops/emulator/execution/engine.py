"""The part of the emulator that acts: it builds packages and runs requests, and stores what came of it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, delete, literal_column, select, update
from sqlalchemy.orm import Session

from ubiops.deployment_package import (
    DataError,
    PackageError,
    RequestError,
    check_data,
    find_root,
    inherited_environment,
    main_file_name,
)
from ubiops.emulator.execution.files import RequestFiles
from ubiops.emulator.execution.instance import Instance, LogSink, Package, WorkerLostError
from ubiops.emulator.execution.measure import measure_request
from ubiops.emulator.execution.notify import notify
from ubiops.emulator.execution.package import unpack
from ubiops.emulator.execution.pipelines import Pipelines, find_pipeline_version, log_columns
from ubiops.emulator.execution.pool import Job, Outcome, Pool
from ubiops.emulator.execution.requirements import Requirements
from ubiops.emulator.execution.running import RunningRequest
from ubiops.emulator.storage import Storage
from ubiops.emulator.store import (
    Build,
    DeploymentRequest,
    InstanceRun,
    LogLine,
    PipelineVersion,
    Prepared,
    Store,
    Variable,
    Version,
    now,
    timestamp,
    to_json,
)
from ubiops.emulator.targets import Targets
from ubiops.emulator.variables import effective_variables
from ubiops.package_format import read_variables

_logger = logging.getLogger(__name__)

_BUILD_TIMEOUT = 600.0
"""Seconds that a package may take to be imported and initialized in its build."""

_NOTICED = 0.05
"""Seconds after which it is stored that a request runs; one that ends sooner is stored once."""

_MOST_RETRIES = 3
"""How often a request is restarted whose instance was lost, so that code which kills it doesn't do so for ever."""

# What every request runs is made once, and goes past the session's bookkeeping.
_REQUESTS: Any = DeploymentRequest.__table__
_READ = [_REQUESTS.c[field.name] for field in fields(RunningRequest) if field.name != "version"]
_REQUEST = select(*_READ, _REQUESTS.c.version_id).where(_REQUESTS.c.id == bindparam("id"))
_UPDATE = update(_REQUESTS).where(_REQUESTS.c.id == bindparam("key"))
# One that was cancelled meanwhile stays so.
_PENDING = _REQUESTS.c.status == literal_column("'pending'")
_BEGIN = Prepared(_UPDATE.where(_PENDING), "status", "time_started", "delete_after")
_ENDED = ("status", "success", "error_message", "time_started", "time_completed", "result", "delete_after")
_FINISH = Prepared(_UPDATE.returning(_REQUESTS.c.notification_group), *_ENDED)
_FINISH_WITHOUT_DATA = Prepared(_UPDATE.returning(_REQUESTS.c.notification_group), *_ENDED, "data")
_DELETE = delete(_REQUESTS).where(_REQUESTS.c.id == bindparam("key"))


class Engine:
    """Builds and runs what is in the store.

    Args:
        store: Where everything is.
        directory: Where the packages are kept.
        storage: Files and blobs.
        install_requirements: Whether builds install the ``requirements.txt`` of their packages.

    Attributes:
        store (Store): The same.
        storage (Storage): The same.
        targets (Targets): The versions that requests go to.
        pipelines (Pipelines): Runs pipeline requests.
        running (set[str]): Ids of the `InstanceRun`s of the instances that there are.
    """

    def __init__(self, store: Store, directory: Path, storage: Storage, *, install_requirements: bool = False) -> None:
        self.storage = storage
        self.store = self._store = store
        self.targets = Targets(store)
        self._directory = directory
        self._requirements = Requirements(directory.parent / "environments", install=install_requirements)
        self.running: set[str] = set()
        self._pools: dict[str, Pool] = {}
        self._builds: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        self.pipelines = Pipelines(store, self)

    # Packages

    def archive(self, revision_id: str) -> Path:
        """Where the zip of a revision is kept."""
        return self._directory / f"{revision_id}.zip"

    def _unpacked(self, revision_id: str) -> Path:
        return self._directory / revision_id

    # Requests

    def submit(
        self,
        version: Version,
        request_id: str,
        *,
        express: bool,
        timeout: float,
        request: RunningRequest | None = None,
    ) -> asyncio.Future[Outcome]:
        """Queue a stored request; gives what tells how it ends. A `request` at hand needn't be read again."""
        job = Job(request_id, express=express, timeout=timeout, request=request)
        self._pool(version).submit(job)
        return job.done

    def queue(self, version: Version, request_ids: Iterable[str], timeout: float) -> None:
        """Queue the stored requests of a batch."""
        self._pool(version).submit(*(Job(id, express=False, timeout=timeout) for id in request_ids))

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
            if version.minimum_instances and version.is_ready:
                self._pool(version).keep_minimum()

    def forget(self, version_ids: Iterable[str]) -> None:
        """Stop the instances of versions that are being deleted."""
        for version_id in version_ids:
            pool = self._pools.pop(version_id, None)
            if pool is not None:
                self.spawn(pool.close())

    def _pool(self, version: Version) -> Pool:
        pool = self._pools.get(version.id)
        if pool is None:
            pool = self._pools[version.id] = Pool(self, version.id)
        pool.maximum_instances = version.maximum_instances
        pool.minimum_instances = version.minimum_instances
        pool.maximum_idle_time = version.maximum_idle_time
        return pool

    def new_instance(self, version_id: str) -> Instance:
        """An instance that will run the active package of a version."""
        return Instance(partial(self._describe, version_id, None), self._log_of(version_id))

    async def execute(self, instance: Instance, request_id: str, request: RunningRequest | None) -> Outcome:
        """Let an instance answer a stored request, which is read where it isn't at hand."""
        request = request or self._read(request_id)
        if request is None:
            return Outcome("cancelled")
        request.time_started, request.delete_after = now(), _delete_after(request.version)
        # Most end before anybody could ask.
        begin = asyncio.get_running_loop().call_later(_NOTICED, self._begin, request)
        data, deployment = request.data, request.version.deployment
        pipeline_version = self._pipeline_version(request)
        log = self._log_of(request.version.id, request_id=request_id, **log_columns(request, pipeline_version))
        context = _request_context(request, pipeline_version)
        files = RequestFiles(self._store, self.storage, request)
        try:
            data = await files.fetch(data)
            result = await files.keep(await self._run(instance, request_id, data, context, log))
            check_data(result, deployment.output_type, deployment.output_fields, "output")
        except (PackageError, RequestError, DataError) as error:
            return Outcome("failed", error_message=str(error), request=request)
        finally:
            begin.cancel()
            files.clean()
        return Outcome("completed", result=result, memory_peak=instance.memory_peak, request=request)

    def _read(self, request_id: str) -> RunningRequest | None:
        """A stored request, apart from any session; None where it was deleted."""
        with self._store.transaction() as connection:
            row = connection.execute(_REQUEST, {"id": request_id}).first()
        version = self.targets.find(row.version_id) if row is not None else None
        if row is None or version is None:
            return None
        values = dict(row._mapping)
        del values["version_id"]
        return RunningRequest(version=version, **values)

    def _pipeline_version(self, request: RunningRequest) -> PipelineVersion | None:
        if request.pipeline_request_id is None:
            return None
        with self._store.session() as session:
            return find_pipeline_version(session, request.pipeline_request_id)

    def _begin(self, request: RunningRequest) -> None:
        """Store that a request runs."""
        begun = {"status": "processing", "time_started": request.time_started, "delete_after": request.delete_after}
        with self._store.transaction() as connection:
            _BEGIN.execute(connection, {"key": request.id, **begun})

    async def _run(self, instance: Instance, request_id: str, data: Any, context: dict[str, Any], log: LogSink) -> Any:
        while True:
            try:
                return await instance.run(data, context, log)
            except WorkerLostError as error:
                if not self._count_retry(request_id):
                    raise
                log("error", [f"{error}; the request is restarted"])

    def _count_retry(self, request_id: str) -> bool:
        """Whether a request whose instance was lost is to run again, as its version says."""
        with self._store.session() as session:
            request = session.scalar(select(DeploymentRequest).where(DeploymentRequest.id == request_id))
            if request is None or not request.version.restart_request_interruption:
                return False
            request.retries += 1
            return request.retries <= _MOST_RETRIES

    def finish(self, request_id: str, outcome: Outcome) -> None:
        """Store how a request ended, as the retention mode of its version says."""
        request = outcome.request or self._read(request_id)
        if request is None:
            return
        ended = {
            "status": outcome.status,
            "success": outcome.status == "completed",
            "error_message": outcome.error_message,
            "time_started": request.time_started,
            "time_completed": now(),
            "result": outcome.result,
            "delete_after": request.delete_after or _delete_after(request.version),
        }
        mode = request.version.request_retention_mode
        with self._store.transaction() as connection:
            if mode == "full":
                stored = _FINISH.execute(connection, {**ended, "key": request_id, "result": to_json(outcome.result)})
            else:
                stored = _FINISH_WITHOUT_DATA.execute(
                    connection, {**ended, "key": request_id, "result": None, "data": None}
                )
            row = stored.first()
            if row is None:
                # It was deleted while it ran.
                return
            measure_request(connection, request, ended, outcome.memory_peak)
            if mode == "none":
                connection.execute(_DELETE, {"key": request_id})
        self._notify(request.version, request_id, outcome.status, row.notification_group)

    def _notify(self, version: Version, request_id: str, status: str, group: str | None) -> None:
        group = group or version.default_notification_group
        monitoring = version.monitoring if status == "failed" else None
        if group is None and monitoring is None:
            return
        place = {"version_id": version.id, "request_id": request_id}
        what = f"request {request_id} to the version {version.name} of the deployment {version.deployment.name}"
        with self._store.session() as session:
            notify(session, version.deployment.project_id, group, f"The {what} is {status}", **place)
            notify(session, version.deployment.project_id, monitoring, f"The {what} has failed", **place)

    # Instances

    def instance_started(self, version_id: str) -> str | None:
        """Note that an instance came to life; gives what `instance_stopped` takes."""
        with self._store.session() as session:
            version = session.get(Version, version_id)
            if version is None:
                return None
            run = InstanceRun(
                project_id=version.deployment.project_id, version_id=version_id, instance_type=version.instance_type
            )
            session.add(run)
            session.flush()
            self.running.add(run.id)
            return run.id

    def instance_stopped(self, run_id: str | None) -> None:
        """Note its end."""
        if run_id is not None:
            self.running.discard(run_id)
            with self._store.session() as session:
                session.execute(update(InstanceRun).where(InstanceRun.id == run_id).values(ended=now()))

    def note_instances(self, session: Session) -> None:
        """Note that the instances that run have lived until now."""
        session.execute(update(InstanceRun).where(InstanceRun.id.in_(self.running)).values(ended=now()))

    # Builds

    def build(self, build_id: str, version_id: str) -> None:
        """Start a build; those of one version run one after the other."""
        self.spawn(self._build(build_id, version_id))

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
        describe = partial(self._describe, version_id, revision_id)
        log = self._log_of(version_id, build_id=build_id, system=True)
        await self._requirements.provide(describe().directory, log)
        self._set_status(build_id, "validating")
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
                version = build.version
                _end_build(version, build)
                text = f"The build {build_id} of the version {version.name} of the deployment {version.deployment.name}"
                place = {"version_id": version.id, "build_id": build_id}
                notify(session, version.deployment.project_id, version.monitoring, f"{text} has failed", **place)

    def _complete_build(self, build_id: str, methods: dict[str, bool]) -> None:
        with self._store.session() as session:
            build = session.scalar(select(Build).where(Build.id == build_id))
            if build is None:
                return
            build.status = "success"
            build.has_request_method = methods["has_request_method"]
            build.has_requests_method = methods["has_requests_method"]
            version = build.version
            version.active_revision_id = build.revision_id
            _end_build(version, build)
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
        environment = inherited_environment()
        own = {variable.name: variable.value for variable in variables}
        root = find_root(self._unpacked(revision_id), main_file_name(own))
        environment |= {**read_variables(root), **own}
        installed = self._requirements.path(root)
        if installed is not None:
            search = [str(installed), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, search))
        secrets = [variable.value for variable in variables if variable.secret and variable.value]
        return Package(root, context, environment, secrets)

    def _log_of(
        self,
        version_id: str,
        *,
        build_id: str | None = None,
        request_id: str | None = None,
        system: bool = False,
        **columns: str | None,
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
                        **columns,
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
            self.pipelines.recover(session)
            unfinished = DeploymentRequest.status.in_(["pending", "processing", "cancelled_pending"])
            for request in session.scalars(select(DeploymentRequest).where(unfinished)):
                self._take_up(request)
            kept = Version.minimum_instances > 0
            self.restart(session.scalars(select(Version).where(kept, Version.active_revision_id.is_not(None))))

    def _take_up(self, request: DeploymentRequest) -> None:
        # Batches to pipelines begin anew, with new requests to their deployments.
        lost = request.express or request.pipeline_request_id is not None
        if lost or request.status == "cancelled_pending":
            request.status = "failed" if lost else "cancelled"
            request.success = False
            request.error_message = "The emulator was stopped while the request ran"
            request.time_completed = now()
            return
        request.status = "pending"
        self.queue(request.version, [request.id], request.timeout)

    async def stop(self) -> None:
        """Stop all instances and builds; `recover` takes them up again."""
        pools, self._pools = list(self._pools.values()), {}
        await self.pipelines.stop()
        for pool in pools:
            await pool.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A lock belongs to the event loop that it was waited for in.
        self._builds.clear()

    async def clear(self) -> None:
        """Stop everything and delete the packages, files and blobs."""
        await self.stop()
        self.storage.clear()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something until it is done, or the engine stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _end_build(version: Version, build: Build) -> None:
    """Give a version the status that it has after a build, unless another one follows."""
    if version.latest_build_id == build.id:
        # What a failed build would have replaced goes on.
        version.status = "available" if version.is_ready else "unavailable"


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


def _delete_after(version: Version) -> str:
    """When a request that starts or is cancelled now is old enough to be deleted."""
    return timestamp(datetime.now(timezone.utc) + timedelta(seconds=version.request_retention_time))


def _plain_fields(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": field["name"], "data_type": field["data_type"]} for field in fields]


def _request_context(request: RunningRequest, pipeline_version: PipelineVersion | None) -> dict[str, Any]:
    return {
        "id": request.id,
        "request_mode": "express" if request.express else "batch",
        "pipeline_id": pipeline_version.pipeline_id if pipeline_version is not None else None,
        "pipeline_version_id": pipeline_version.id if pipeline_version is not None else None,
        "pipeline_object_id": request.pipeline_object_id,
        "pipeline_request_id": request.pipeline_request_id,
    }
