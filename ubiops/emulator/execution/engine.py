"""The engine of the emulator: it builds packages, runs requests, and stores the outcomes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Update, bindparam, delete, event, literal_column, or_, select, update
from sqlalchemy.orm import Session

from ubiops.deployment_package import DataError, PackageError, RequestError
from ubiops.emulator.access.internal_api import InternalApi
from ubiops.emulator.dates import now, timestamp
from ubiops.emulator.execution.builds import Builds
from ubiops.emulator.execution.code import Code
from ubiops.emulator.execution.environments import Environments
from ubiops.emulator.execution.events import INSTANCE_LOST, OUT_OF_MEMORY, note_event
from ubiops.emulator.execution.files import RequestFiles
from ubiops.emulator.execution.instance import Instance, LogSink, Process, RetiredError, WorkerLostError
from ubiops.emulator.execution.measure import measure_request
from ubiops.emulator.execution.notify import notify
from ubiops.emulator.execution.packages import Packages
from ubiops.emulator.execution.pipelines import Pipelines, find_pipeline_version, log_columns
from ubiops.emulator.execution.pool import Job, Outcome, Pool
from ubiops.emulator.execution.ports import ServedPorts
from ubiops.emulator.execution.public_ports import PublicPorts
from ubiops.emulator.execution.readiness import Readiness
from ubiops.emulator.execution.running import RunningRequest
from ubiops.emulator.execution.updates import Updates
from ubiops.emulator.execution.webhooks import Webhooks
from ubiops.emulator.storage.contents import Storage
from ubiops.emulator.store import Store
from ubiops.emulator.tables import (
    DeploymentRequest,
    Environment,
    EnvironmentTag,
    InstanceRun,
    PipelineVersion,
    Revision,
    Transfer,
    Version,
)
from ubiops.emulator.targets import Targets
from ubiops.emulator.templates.training import check
from ubiops.emulator.turns import Turns

_logger = logging.getLogger(__name__)

_NOTICED = 0.05
"""Seconds after which a request is stored as running; a request that ends sooner is only stored at its end."""

_MOST_RETRIES = 3
"""How often a request is restarted after its instance was lost: code may kill its instance every time."""

# Statements of every request, without a session's bookkeeping.
_REQUESTS: Any = DeploymentRequest.__table__
_READ = [_REQUESTS.c[field.name] for field in fields(RunningRequest) if field.name != "version"]
_REQUEST = select(*_READ, _REQUESTS.c.version_id).where(_REQUESTS.c.id == bindparam("id"))
_UPDATE = update(_REQUESTS).where(_REQUESTS.c.id == bindparam("key"))
# A request that was cancelled meanwhile stays cancelled.
_PENDING = _REQUESTS.c.status == literal_column("'pending'")


def _setting(*columns: str) -> Update:
    return _UPDATE.values({column: bindparam(column) for column in columns})


_BEGIN = _setting("status", "time_started", "delete_after").where(_PENDING)
_ENDED = ("status", "success", "error_message", "time_started", "time_completed", "result", "delete_after")
_FINISH = _setting(*_ENDED).returning(_REQUESTS.c.notification_group)
_FINISH_WITHOUT_DATA = _setting(*_ENDED, "data").returning(_REQUESTS.c.notification_group)
_DELETE = delete(_REQUESTS).where(_REQUESTS.c.id == bindparam("key"))


class Engine:
    """Builds packages and runs requests of the store.

    Args:
        store: The database.
        directory: Directory of the packages.
        storage: Files and blobs.
        install_requirements: Whether builds install the ``requirements.txt`` of their packages.
        allow_webhooks: Hosts other than this machine that webhooks may send to.
        quotas: The most resources of a kind that a project may have.

    Attributes:
        store (Store): The same.
        storage (Storage): The same.
        quotas (Mapping[str, int]): The same.
        targets (Targets): The versions that requests go to.
        packages (Packages): The zips of revisions, exports and imports.
        environments (Environments): Builds the environments that packages run in.
        builds (Builds): Builds the packages.
        internal_api (InternalApi): How code of deployments calls the API.
        webhooks (Webhooks): Sends the messages of webhooks.
        pipelines (Pipelines): Runs pipeline requests.
        readiness (Readiness): Finds the instances that serve a port.
        updates (Updates): What code sends while its requests run.
        turns (Turns): Spreads the beginnings and ends of requests over turns of the event loop.
        running (set[str]): Ids of the `InstanceRun`s of running instances.
    """

    def __init__(
        self,
        store: Store,
        directory: Path,
        storage: Storage,
        *,
        install_requirements: bool = False,
        allow_webhooks: Collection[str] = (),
        quotas: Mapping[str, int] | None = None,
    ) -> None:
        self.storage = storage
        self.store = self._store = store
        self.quotas = quotas or {}
        self.targets = Targets(store)
        self.packages = Packages(directory)
        self.environments = Environments(
            store,
            self.packages,
            directory.parent,
            install=install_requirements,
            spawn=self.spawn,
            changed=self.restart,
        )
        self._served = ServedPorts(store)
        self.internal_api = InternalApi()
        self._code = Code(store, self.packages, self.environments, self._served.of, self.internal_api)
        self.readiness = Readiness(self.instances, self._log_error)
        self._public_ports = PublicPorts(store, self.readiness.ready, self._log_error)
        self.builds = Builds(
            store,
            self.packages,
            self.environments,
            self._code,
            self.targets,
            spawn=self.spawn,
            built=lambda version: self.restart([version]),
        )
        self.updates = Updates()
        self.turns = Turns(lambda: self.updates.are_followed)
        self.running: set[str] = set()
        self._pools: dict[str, Pool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.webhooks = Webhooks(store, allow_webhooks, self.spawn)
        self.pipelines = Pipelines(store, self, self.webhooks)

    # Requests

    def submit(
        self,
        version: Version,
        request_id: str,
        *,
        express: bool,
        timeout: float,
        priority: int = 1,
        request: RunningRequest | None = None,
    ) -> asyncio.Future[Outcome]:
        """Queue a stored request; returns the future of its outcome. If `request` is passed, it isn't read again."""
        job = Job(request_id, express=express, timeout=timeout, priority=priority, request=request)
        self._pool(version).submit(job)
        return job.done

    def queue(self, version: Version, request_ids: Iterable[str], timeout: float, priority: int = 1) -> None:
        """Queue the stored requests of a batch."""
        self._pool(version).submit(*(Job(id, express=False, timeout=timeout, priority=priority) for id in request_ids))

    def queued(self, version: Version, *, express: bool | None = None) -> int:
        """Number of requests, of one kind or of both, that wait for an instance."""
        return self._pool(version).queued(express=express)

    def cancel(self, request: DeploymentRequest) -> None:
        """Remove a request from the queue or its instance, once the current transaction is committed."""
        pool = self._pools.get(request.version_id)
        if pool is not None:
            asyncio.get_running_loop().call_soon(pool.cancel, request.id)

    def restart(self, versions: Iterable[Version]) -> None:
        """Restart versions, so that they pick up new settings or variables."""
        for version in versions:
            if version.id in self._pools:
                self._pool(version).restart()
            self.keep_minimum(version)

    def keep_minimum(self, version: Version) -> None:
        """Start the minimum instances of a version: at least one if a service leads to it."""
        if version.is_ready and (version.minimum_instances or self._served.of(version.id)):
            pool = self._pool(version)
            pool.replace_lost()
            pool.keep_minimum()

    def _log_error(self, version_id: str, line: str) -> None:
        self._code.log_of(version_id, system=True)("error", [line])

    def _checked(self) -> Iterable[tuple[Version, int]]:
        """The versions that have a health check, with each port to check."""
        for version_id, ports in self._served.items():
            version = self.targets.find(version_id)
            if version is not None and version.health_check is not None:
                yield from ((version, port) for port in ports)

    def services_changed(self, session: Session) -> None:
        """Update versions to their services and public ports, once the current transaction is committed."""
        event.listen(session, "after_commit", lambda _: self._follow_services(), once=True)

    def _follow_services(self) -> None:
        if changed := self._served.refresh():
            with self._store.session() as session:
                self.restart(session.scalars(select(Version).where(Version.id.in_(changed))))
        self.spawn(self._public_ports.follow())

    def forget(self, session: Session, version_ids: Iterable[str]) -> None:
        """Stop the instances of versions that are being deleted, and delete their packages."""
        ids = list(version_ids)
        self.services_changed(session)
        for version_id in ids:
            pool = self._pools.pop(version_id, None)
            if pool is not None:
                self.spawn(pool.close())
        self.packages.remove_later(session, session.scalars(select(Revision.id).where(Revision.version_id.in_(ids))))
        self.environments.forget(
            session, select(EnvironmentTag).join(EnvironmentTag.environment).where(Environment.version_id.in_(ids))
        )

    def _pool(self, version: Version) -> Pool:
        pool = self._pools.get(version.id)
        if pool is None:
            pool = self._pools[version.id] = Pool(self, version.id)
        pool.maximum_instances = version.maximum_instances
        pool.minimum_instances = max(version.minimum_instances, 1 if self._served.of(version.id) else 0)
        pool.maximum_idle_time = version.maximum_idle_time
        pool.instance_processes = version.instance_processes
        pool.is_gradual = version.scaling_strategy == "moderate"
        return pool

    def new_instance(self, version_id: str, processes: int) -> Instance:
        """An instance that will run the active package of a version."""
        return Instance(partial(self._code.describe, version_id), self._code.log_of(version_id), processes)

    async def execute(self, process: Process, request_id: str, request: RunningRequest | None) -> Outcome:
        """Let a process answer a stored request, which is read unless it is passed.

        Raises:
            RetiredError: The process is retired, and the request has to run on another one.
        """
        request = request or self._read(request_id)
        if request is None:
            return Outcome("cancelled")
        request.time_started, request.delete_after = now(), _delete_after(request.version)
        if self.webhooks.watch(request.version):
            with self._store.transaction() as connection:
                self.webhooks.note(connection, request.version, request_id, "processing")
        # Most requests end before anyone could see them running.
        begin = asyncio.get_running_loop().call_later(_NOTICED, self._begin, request)
        data, deployment = request.data, request.version.deployment
        pipeline_version = self._pipeline_version(request)
        log = self._code.log_of(request.version.id, request_id=request_id, **log_columns(request, pipeline_version))
        context = _request_context(request, pipeline_version)
        context |= {"user_id": self.targets.user_id(request.created_by), "process_id": process.number}
        files = RequestFiles(self._store, self.storage, request)
        try:
            data = await files.fetch(data)
            result = await files.keep(await self._run(process, request, data, context, log))
            await self.turns.take()
            check(deployment, "output", result)
        except (PackageError, RequestError, DataError) as error:
            return Outcome("failed", error_message=str(error), request=request)
        finally:
            begin.cancel()
            files.clean()
        return Outcome("completed", result=result, memory_peak=process.memory_peak, request=request)

    def _read(self, request_id: str) -> RunningRequest | None:
        """A stored request, detached from any session; None if it was deleted."""
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
            connection.execute(_BEGIN, {"key": request.id, **begun})

    async def _run(
        self, process: Process, request: RunningRequest, data: Any, context: dict[str, Any], log: LogSink
    ) -> Any:
        update = partial(self.updates.publish, request.pipeline_request_id or request.id)
        while True:
            try:
                return await process.run(data, context, log, update)
            except WorkerLostError as error:
                reason = "The instance was stopped" if process.is_retired else str(error)
                if not process.is_retired:
                    self._note_lost(request, error)
                if not self._count_retry(request.id):
                    raise RequestError(reason) from error
                log("error", [f"{reason}; the request is restarted"])
                if process.is_retired:
                    raise RetiredError from error

    def _note_lost(self, request: RunningRequest, error: WorkerLostError) -> None:
        with self._store.session() as session:
            version = session.get(Version, request.version.id)
            if version is not None:
                type = OUT_OF_MEMORY if error.was_killed else INSTANCE_LOST
                note_event(session, version, type, f"{error} while it ran the request {request.id}")

    def _count_retry(self, request_id: str) -> bool:
        """Whether a request whose instance was lost is to run again, by the settings of its version."""
        with self._store.session() as session:
            request = session.scalar(select(DeploymentRequest).where(DeploymentRequest.id == request_id))
            if request is None or not request.version.restart_request_interruption:
                return False
            request.retries += 1
            return request.retries <= _MOST_RETRIES

    def finish(self, request_id: str, outcome: Outcome) -> None:
        """Store how a request ended, by the retention mode of its version."""
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
                stored = connection.execute(_FINISH, {**ended, "key": request_id})
            else:
                stored = connection.execute(
                    _FINISH_WITHOUT_DATA, {**ended, "key": request_id, "result": None, "data": None}
                )
            row = stored.first()
            if row is None:
                # It was deleted while it ran.
                return
            measure_request(connection, request, ended, outcome.memory_peak)
            self.webhooks.note(connection, request.version, request_id, outcome.status, outcome.result)
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

    def instances(self, version_id: str) -> list[Instance]:
        """The instances of a version, oldest first."""
        pool = self._pools.get(version_id)
        return pool.instances if pool is not None else []

    def stop_instance(self, version_id: str, instance: Instance) -> None:
        """Stop an instance at once. Another one starts if the version's minimum, or a request, needs it."""
        pool = self._pools.get(version_id)
        if pool is not None:
            self.spawn(pool.stop_instance(instance))

    def instance_started(self, version_id: str, instance: Instance) -> None:
        """Store that an instance started, and its type."""
        with self._store.session() as session:
            version = session.get(Version, version_id)
            if version is None:
                return
            instance.instance_type = version.instance_type
            session.add(
                InstanceRun(
                    id=instance.id,
                    project_id=version.deployment.project_id,
                    version_id=version_id,
                    instance_type=version.instance_type,
                )
            )
        self.running.add(instance.id)

    def instance_stopped(self, instance: Instance) -> None:
        """Store that an instance stopped."""
        self.running.discard(instance.id)
        with self._store.session() as session:
            session.execute(update(InstanceRun).where(InstanceRun.id == instance.id).values(ended=now()))

    def note_instances(self, session: Session) -> None:
        """Store that the running instances ran until now."""
        session.execute(update(InstanceRun).where(InstanceRun.id.in_(self.running)).values(ended=now()))

    # The engine itself

    def recover(self) -> None:
        """Resume what an earlier process left unfinished: builds and batches run again, direct requests fail."""
        with self._store.session() as session:
            known = (session.scalars(select(table.id)) for table in (Revision, Transfer, EnvironmentTag))
            self.packages.sweep({id for ids in known for id in ids})
            self.environments.recover(session)
            self.builds.recover(session)
            self.pipelines.recover(session)
            self.webhooks.recover(session)
            unfinished = DeploymentRequest.status.in_(["pending", "processing", "cancelled_pending"])
            for request in session.scalars(select(DeploymentRequest).where(unfinished)):
                self._take_up(session, request)
            self._served.clear()
            self.spawn(self._public_ports.follow())
            self.spawn(self.readiness.watch(self._checked))
            kept = or_(Version.minimum_instances > 0, Version.id.in_(self._served.refresh()))
            self.restart(session.scalars(select(Version).where(kept, Version.active_revision_id.is_not(None))))
        self.environments.collect()

    def _take_up(self, session: Session, request: DeploymentRequest) -> None:
        # Batches to pipelines start over, with new requests to their deployments.
        lost = request.express or request.pipeline_request_id is not None
        if lost or request.status == "cancelled_pending":
            request.status = "failed" if lost else "cancelled"
            request.success = False
            request.error_message = "The emulator was stopped while the request ran"
            request.time_completed = now()
            self.webhooks.note(session.connection(), request.version, request.id, request.status)
            return
        request.status = "pending"
        self.queue(request.version, [request.id], request.timeout, request.priority)

    async def stop(self) -> None:
        """Stop all instances and builds; `recover` resumes them."""
        pools, self._pools = list(self._pools.values()), {}
        await self.pipelines.stop()
        for pool in pools:
            await pool.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._public_ports.close()
        self.builds.stop()
        self.environments.stop()
        self.webhooks.stop()

    async def clear(self) -> None:
        """Stop everything and delete the packages, files and blobs."""
        await self.stop()
        self.storage.clear()
        self.packages.clear()
        self.environments.clear()
        self.targets.forget()
        self.webhooks.forget()
        self._served.clear()
        self.spawn(self.readiness.watch(self._checked))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine until it is done, or the engine stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _delete_after(version: Version) -> str:
    """When a request that starts or is cancelled now is to be deleted."""
    return timestamp(datetime.now(timezone.utc) + timedelta(seconds=version.request_retention_time))


def _request_context(request: RunningRequest, pipeline_version: PipelineVersion | None) -> dict[str, Any]:
    return {
        "id": request.id,
        "request_mode": "express" if request.express else "batch",
        "pipeline_id": pipeline_version.pipeline_id if pipeline_version is not None else None,
        "pipeline_version_id": pipeline_version.id if pipeline_version is not None else None,
        "pipeline_object_id": request.pipeline_object_id,
        "pipeline_request_id": request.pipeline_request_id,
    }
