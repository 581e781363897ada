"""Runs pipelines: objects in topological order, with data flowing from one to the next along the attachments.

A flow goes along an attachment: values, each with the path of the subrequests that it belongs to. An undivided request
is a single value with the empty path; ``one-to-many`` adds a number to the path of each part, ``many-to-one`` removes
it. An object that isn't reached has an empty flow, and so has everything that depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ubiops.deployment_package import DataError, check_data
from ubiops.emulator.dates import now, timestamp
from ubiops.emulator.execution.expressions import ExpressionError, evaluate
from ubiops.emulator.execution.measure import add_measurement, seconds_between, size_of, volume
from ubiops.emulator.execution.notify import notify
from ubiops.emulator.execution.pool import Outcome
from ubiops.emulator.execution.running import RunningRequest
from ubiops.emulator.execution.updates import Updates
from ubiops.emulator.execution.webhooks import Webhooks
from ubiops.emulator.ids import new_id
from ubiops.emulator.shapes import END, START, Fields, Shape, shapes_of
from ubiops.emulator.store import Store
from ubiops.emulator.tables import (
    Deployment,
    DeploymentRequest,
    OperatorRequest,
    Pipeline,
    PipelineObject,
    PipelineRequest,
    PipelineVersion,
    Version,
)

_logger = logging.getLogger(__name__)

_AT_ONCE = 20
"""How many batch requests to a pipeline version run at a time; the others are pending."""

_STOPPED = "The emulator was stopped while the request ran"

_WHOLE = "0"
"""The sequence id of an object that ran once in a request."""

Path = tuple[int, ...]
Flow = list[tuple[Path, Any]]


class PipelineError(Exception):
    """Ends a pipeline request; the message is for the caller."""


@dataclass
class PipelineOutcome:
    """How a pipeline request ended.

    Attributes:
        status: ``completed``, ``failed`` or ``cancelled``.
        result: What arrived at the end; None if nothing did.
        error_message: Why it failed.
        deployment_requests: Those that its objects made, in the form of the answer to a direct request.
        operator_requests: Those of its operators, likewise.
        pipeline_requests: Those that its objects made to other pipelines, likewise.
    """

    status: str
    result: Any = None
    error_message: str | None = None
    deployment_requests: list[dict[str, Any]] = field(default_factory=list)
    operator_requests: list[dict[str, Any]] = field(default_factory=list)
    pipeline_requests: list[dict[str, Any]] = field(default_factory=list)


class Deployments(Protocol):
    """What pipelines need from the engine that owns them."""

    def submit(
        self, version: Version, request_id: str, *, express: bool, timeout: float, priority: int
    ) -> asyncio.Future[Outcome]:
        """Queue a stored request; returns the future of its outcome."""

    def cancel(self, request: DeploymentRequest) -> None:
        """Remove a request from the queue or its instance."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine until it is done, or the emulator stops."""

    @property
    def updates(self) -> Updates:
        """What code sends while its requests run."""


class Pipelines:
    """Runs the pipeline requests of the store.

    Args:
        store: The database.
        deployments: Runs the requests to deployments.
        webhooks: Notified of the requests.
    """

    def __init__(self, store: Store, deployments: Deployments, webhooks: Webhooks) -> None:
        self.store = store
        self._webhooks = webhooks
        self.deployments = deployments
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: set[str] = set()
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))

    def submit(self, request: PipelineRequest) -> asyncio.Future[PipelineOutcome]:
        """Run a stored request, once the current transaction is committed; returns the future of its outcome."""
        done: asyncio.Future[PipelineOutcome] = asyncio.get_running_loop().create_future()
        task = self.deployments.spawn(self._serve(request.id, request.version_id, request.express, done))
        self._tasks[request.id] = task
        task.add_done_callback(lambda _task, id=request.id: self._tasks.pop(id, None))  # type: ignore[misc]
        return done

    def cancel(self, request_ids: Iterable[str]) -> None:
        """Stop requests, and the requests that their objects made."""
        for request_id in request_ids:
            if request_id in self._tasks:
                self._tasks[request_id].cancel()

    def end(self, request_id: str) -> None:
        """Stop a request that its user has cancelled, once the current transaction is committed."""
        asyncio.get_running_loop().call_soon(self._end, request_id)

    def _end(self, request_id: str) -> None:
        if request_id in self._tasks:
            self._ended.add(request_id)
            self._tasks[request_id].cancel()

    def recover(self, session: Session) -> None:
        """Resume what an earlier process left unfinished: batches run again from the start, all others fail."""
        unfinished = PipelineRequest.status.in_(["pending", "processing"])
        for request in session.scalars(select(PipelineRequest).where(unfinished, PipelineRequest.parent_id.is_(None))):
            if request.express:
                self._fail(session, request)
                continue
            delete_parts(session, request.id)
            request.status, request.time_started = "pending", None
            self.submit(request)
        session.flush()
        for request in session.scalars(
            select(PipelineRequest).where(unfinished, PipelineRequest.parent_id.is_not(None))
        ):
            self._fail(session, request)

    def _fail(self, session: Session, request: PipelineRequest) -> None:
        _close(request, PipelineOutcome("failed", error_message=_STOPPED))
        self._webhooks.note(session.connection(), request.version, request.id, request.status)

    async def stop(self) -> None:
        """Stop all requests; `recover` resumes them."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A semaphore belongs to the event loop in which it was awaited.
        self._slots.clear()

    async def _serve(
        self, request_id: str, version_id: str, express: bool, done: asyncio.Future[PipelineOutcome]
    ) -> None:
        outcome = PipelineOutcome("failed", error_message="The request was stopped before it ended")
        try:
            async with contextlib.nullcontext() if express else self._slots[version_id]:
                outcome = await self.run(request_id)
        except asyncio.CancelledError:
            if request_id not in self._ended:
                raise
            self._ended.discard(request_id)
            outcome = PipelineOutcome("cancelled", error_message="The request was cancelled")
            self.finish(request_id, outcome)
        except Exception:
            _logger.exception("Pipeline request %s failed inside the emulator", request_id)
            outcome = PipelineOutcome("failed", error_message="The emulator failed to run it; its log says why")
            self.finish(request_id, outcome)
        finally:
            if not done.done():
                done.set_result(outcome)

    async def run(self, request_id: str) -> PipelineOutcome:
        """Run a stored request and store how it ended."""
        with self.store.session() as session:
            request = session.scalar(select(PipelineRequest).where(PipelineRequest.id == request_id))
            if request is None:
                return PipelineOutcome("cancelled")
            request.status = "processing"
            request.time_started = now()
            request.delete_after = _delete_after(request)
            self._webhooks.note(session.connection(), request.version, request_id, request.status)
            run = _Run(self, request)
            timeout = request.timeout
        outcome = PipelineOutcome("failed", None, None, *run.parts)
        try:
            outcome.result = await asyncio.wait_for(run.execute(), timeout)
            outcome.status = "completed"
        except asyncio.TimeoutError:
            outcome.error_message = f"The pipeline request timed out after {timeout:g} seconds"
        except (PipelineError, DataError, ExpressionError) as error:
            outcome.error_message = str(error)
        except asyncio.CancelledError:
            if run.is_part:
                # Its parent request failed, timed out or was deleted.
                self.finish(request_id, PipelineOutcome("cancelled", error_message="The request above it has ended"))
            raise
        self.finish(request_id, outcome)
        return outcome

    def finish(self, request_id: str, outcome: PipelineOutcome) -> None:
        """Store how a request ended, by the retention mode of its version."""
        with self.store.session() as session:
            request = session.scalar(select(PipelineRequest).where(PipelineRequest.id == request_id))
            if request is None:
                return
            version = request.version
            _close(request, outcome)
            _measure(session, request, outcome)
            _notify(session, request)
            self._webhooks.note(session.connection(), version, request_id, outcome.status, outcome.result)
            if version.request_retention_mode == "none":
                session.delete(request)
            elif version.request_retention_mode == "metadata":
                request.data = request.result = None
                of_request = OperatorRequest.pipeline_request_id == request_id
                session.execute(update(OperatorRequest).where(of_request).values(data=None, result=None))


def _close(request: PipelineRequest, outcome: PipelineOutcome) -> None:
    request.status = outcome.status
    request.success = outcome.status == "completed"
    request.result = outcome.result
    request.error_message = outcome.error_message
    request.time_completed = now()
    request.delete_after = request.delete_after or _delete_after(request)


def _delete_after(request: PipelineRequest) -> str:
    kept = timedelta(seconds=request.version.request_retention_time)
    return timestamp(datetime.now(timezone.utc) + kept)


def _measure(session: Session, request: PipelineRequest, outcome: PipelineOutcome) -> None:
    assert request.time_completed is not None
    add_measurement(
        session.connection(),
        project_id=request.version.pipeline.project_id,
        object_type="pipeline_version",
        object_id=request.version_id,
        user=request.created_by,
        moment=request.time_completed,
        requests=1,
        failed_requests=int(request.status == "failed"),
        input_volume=volume(request.data),
        output_volume=volume(request.result),
        seconds=seconds_between(request.time_started or request.time_completed, request.time_completed),
        object_requests=len(outcome.deployment_requests),
        object_failed_requests=sum(not part["success"] for part in outcome.deployment_requests),
    )


def _notify(session: Session, request: PipelineRequest) -> None:
    version = request.version
    project_id = version.pipeline.project_id
    what = f"request {request.id} to the version {version.name} of the pipeline {version.pipeline.name}"
    group = request.notification_group or version.default_notification_group
    place = {"pipeline_version_id": version.id, "pipeline_request_id": request.id}
    notify(session, project_id, group, f"The {what} is {request.status}", **place)
    if request.status == "failed":
        notify(session, project_id, version.monitoring, f"The {what} has failed", **place)


def find_pipeline_version(session: Session, pipeline_request_id: str) -> PipelineVersion | None:
    """The version that a pipeline request was made to."""
    query = select(PipelineVersion).join(PipelineRequest, PipelineRequest.version_id == PipelineVersion.id)
    return session.scalar(query.where(PipelineRequest.id == pipeline_request_id))


def log_columns(request: RunningRequest, pipeline_version: PipelineVersion | None) -> dict[str, Any]:
    """The columns that place the log lines of a deployment request in the pipeline that it is part of."""
    return {
        "pipeline_version_id": pipeline_version.id if pipeline_version is not None else None,
        "pipeline_request_id": request.pipeline_request_id,
        "pipeline_object": request.pipeline_object,
    }


def delete_parts(session: Session, request_id: str) -> list[DeploymentRequest]:
    """Delete the deployment and pipeline requests that the objects of a request made; returns the former."""
    parts = list(session.scalars(select(DeploymentRequest).where(DeploymentRequest.pipeline_request_id == request_id)))
    for part in parts:
        session.delete(part)
    session.execute(delete(OperatorRequest).where(OperatorRequest.pipeline_request_id == request_id))
    for child in session.scalars(select(PipelineRequest).where(PipelineRequest.parent_id == request_id)).all():
        parts += delete_parts(session, child.id)
        session.delete(child)
    return parts


def part_view(part: DeploymentRequest | PipelineRequest) -> dict[str, Any]:
    """A request that an object of a pipeline made, in the form in which the pipeline request shows it."""
    if isinstance(part, PipelineRequest):
        reference = {"pipeline": part.version.pipeline.name}
    else:
        reference = {"deployment": part.version.deployment.name}
    return {
        "id": part.id,
        "pipeline_object": part.pipeline_object,
        **reference,
        "version": part.version.name,
        "status": part.status,
        "success": part.success,
        "error_message": part.error_message,
        "sequence_id": part.sequence_id or _WHOLE,
        "time_created": part.time_created,
        "time_started": part.time_started,
        "time_completed": part.time_completed,
        "input_size": size_of(part.data),
        "output_size": size_of(part.result),
    }


def operator_view(part: OperatorRequest) -> dict[str, Any]:
    """A request of an operator, in the form in which the pipeline request shows it."""
    return {
        "id": part.id,
        "pipeline_object": part.pipeline_object,
        "operator": part.operator,
        "status": part.status,
        "success": part.status == "completed",
        "error_message": part.error_message,
        "sequence_id": _WHOLE,
        "time_created": part.time_created,
        "time_started": part.time_created,
        "time_completed": part.time_completed,
        "input_size": size_of(part.data),
        "output_size": size_of(part.result),
    }


class _Run:
    """One request on its way through the objects of its pipeline version."""

    def __init__(self, pipelines: Pipelines, request: PipelineRequest) -> None:
        version = request.version
        self.deployment_requests: list[dict[str, Any]] = []
        self.operator_requests: list[dict[str, Any]] = []
        self.pipeline_requests: list[dict[str, Any]] = []
        self.parts = (self.deployment_requests, self.operator_requests, self.pipeline_requests)
        self.is_part = request.parent_id is not None
        self._pipelines = pipelines
        self._request = request
        self._objects = {item.name: item for item in version.objects}
        self._shapes = shapes_of(version)
        self._attachments: defaultdict[str, list[list[dict[str, Any]]]] = defaultdict(list)
        for attachment in version.attachments:
            self._attachments[attachment["destination_name"]].append(attachment["sources"])
        self._flows: dict[str, Flow] = {START: [((), request.data)]}
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reached[START].set()

    async def execute(self) -> Any:
        """Run the objects, and return what arrives at the end of the pipeline.

        Raises:
            PipelineError: An object failed; all others were stopped.
        """
        async with _together(self._reach(name) for name in (*self._objects, END)) as tasks:
            await asyncio.gather(*tasks)
        return self._result()

    async def _reach(self, name: str) -> None:
        """Run an object for every value that arrives, once everything that it depends on has run."""
        arrivals: Flow = []
        for sources in self._attachments[name]:
            for source in sources:
                await self._reached[source["source_name"]].wait()
            arrivals += self._arrivals(name, sources)
        arrivals.sort(key=lambda arrival: arrival[0])
        if name in self._objects:
            self._flows[name] = await self._pass(self._objects[name], arrivals)
        else:
            self._flows[name] = arrivals
        self._reached[name].set()

    def _result(self) -> Any:
        arrived = self._flows[END]
        if not arrived:
            return None
        # Subrequests that nothing collected arrive as a list.
        result = _one_or_all(arrived)
        shape = self._shapes[END]
        assert shape.input_type is not None
        check_data(result, shape.input_type, shape.input_fields, "output")
        return result

    # From object to object

    def _arrivals(self, name: str, sources: Sequence[Mapping[str, Any]]) -> Flow:
        shape, item = self._shapes[name], self._objects.get(name)
        joined = _join([self._flows[source["source_name"]] for source in sources])
        if item is not None and item.operator == "count-many":
            return [(path, values[0]) for path, values in joined]
        given = [self._shapes[source["source_name"]] for source in sources]
        mappings = [source["mapping"] for source in sources]
        return [(path, _feed(name, shape, given, mappings, values)) for path, values in joined]

    async def _pass(self, item: PipelineObject, arrivals: Flow) -> Flow:
        if item.operator == "pipeline-variable" and not self._attachments[item.name]:
            # It depends on nothing, so it runs from the start.
            arrivals = [((), {})]
        if item.operator is not None:
            return self._operate(item, item.operator, arrivals)
        work = self._request_deployment if item.deployment is not None else self._request_pipeline
        async with _together(work(item, path, value) for path, value in arrivals) as tasks:
            results = await asyncio.gather(*tasks)
        return [(path, result) for (path, _), result in zip(arrivals, results, strict=True)]

    def _operate(self, item: PipelineObject, operator: str, arrivals: Flow) -> Flow:
        begun, passed, failure = now(), [], None
        try:
            passed = _OPERATORS[operator](item.configuration, arrivals)
        except PipelineError as error:
            failure = error
        except (DataError, ExpressionError) as error:
            failure = PipelineError(f"The operator '{item.name}' failed: {error}")
        if arrivals:
            self._keep(item, operator, begun, arrivals, passed, failure)
        if failure is not None:
            raise failure
        return passed

    def _keep(
        self,
        item: PipelineObject,
        operator: str,
        begun: str,
        arrivals: Flow,
        passed: Flow,
        failure: PipelineError | None,
    ) -> None:
        """Store what an operator did."""
        part = OperatorRequest(
            pipeline_request_id=self._request.id,
            pipeline_object=item.name,
            pipeline_object_id=item.id,
            operator=operator,
            status="completed" if failure is None else "failed",
            time_created=begun,
            time_completed=now(),
            data=_one_or_all(arrivals),
            result=_one_or_all(passed),
            error_message=None if failure is None else str(failure),
        )
        with self._pipelines.store.session() as session:
            if session.scalar(select(PipelineRequest.number).where(PipelineRequest.id == self._request.id)) is None:
                # It was deleted while it ran.
                return
            session.add(part)
            session.flush()
            self.operator_requests.append(operator_view(part))

    # Objects

    async def _request_deployment(self, item: PipelineObject, path: Path, data: Any) -> Any:
        deployments, request = self._pipelines.deployments, self._request
        with self._pipelines.store.session() as session:
            deployment, version = self._deployment_of(session, item)
            # The newest client can't read a request without an id, not even one that couldn't be made.
            view: dict[str, Any] = {
                "id": new_id(),
                "pipeline_object": item.name,
                "deployment": deployment.name,
                "version": version.name if version is not None else None,
                "status": "failed",
                "success": False,
                "error_message": None,
                "sequence_id": _sequence_id(path),
                "input_size": size_of(data),
            }
            self.deployment_requests.append(view)
            try:
                if version is None or not version.is_ready:
                    raise DataError(f"The deployment '{deployment.name}' has no version that is available")
                check_data(data, deployment.input_type, deployment.input_fields, "input")
            except DataError as error:
                view["error_message"] = str(error)
                raise self._failure(item) from error
            part = DeploymentRequest(
                id=view["id"],
                version=version,
                express=request.express,
                priority=request.priority,
                timeout=request.deployment_timeout,
                data=data,
                created_by=request.created_by,
                pipeline_request_id=request.id,
                pipeline_object=item.name,
                pipeline_object_id=item.id,
                sequence_id=view["sequence_id"],
            )
            session.add(part)
            session.flush()
            view["time_created"] = part.time_created
            done = deployments.submit(
                version, part.id, express=part.express, timeout=part.timeout, priority=part.priority
            )
        try:
            outcome = await done
        except asyncio.CancelledError:
            deployments.cancel(part)
            raise
        view["status"] = outcome.status
        view["success"] = outcome.status == "completed"
        view["error_message"] = outcome.error_message
        view["time_started"] = outcome.request.time_started if outcome.request is not None else None
        view["time_completed"] = now()
        view["output_size"] = size_of(outcome.result)
        if not view["success"]:
            raise self._failure(item)
        return outcome.result

    def _deployment_of(self, session: Session, item: PipelineObject) -> tuple[Deployment, Version | None]:
        # Looked up again: versions and their status may have changed since the request began.
        deployment = session.get(Deployment, item.deployment_id)
        version = session.get(Version, item.version_id) if item.version_id is not None else None
        if deployment is None:
            raise PipelineError(f"The deployment of the object '{item.name}' was deleted")
        return deployment, version or deployment.default_version

    def _pipeline_version_of(self, session: Session, item: PipelineObject) -> PipelineVersion:
        pipeline = session.get(Pipeline, item.subpipeline_id)
        version = session.get(PipelineVersion, item.subversion_id) if item.subversion_id is not None else None
        version = version or (pipeline.default_version if pipeline is not None else None)
        if version is None:
            raise PipelineError(f"The pipeline of the object '{item.name}' has no version")
        return version

    def _failure(self, item: PipelineObject) -> PipelineError:
        return PipelineError(f"Error while processing a deployment request: the object '{item.name}' failed")

    async def _request_pipeline(self, item: PipelineObject, path: Path, data: Any) -> Any:
        request = self._request
        with self._pipelines.store.session() as session:
            version = self._pipeline_version_of(session, item)
            try:
                check_data(data, version.pipeline.input_type, version.pipeline.input_fields, "input")
            except DataError as error:
                raise PipelineError(f"The object '{item.name}' failed: {error}") from error
            part = PipelineRequest(
                version=version,
                parent_id=request.id,
                pipeline_object=item.name,
                sequence_id=_sequence_id(path),
                express=request.express,
                priority=request.priority,
                timeout=request.timeout,
                deployment_timeout=request.deployment_timeout,
                data=data,
                created_by=request.created_by,
            )
            session.add(part)
            session.flush()
        with self._pipelines.deployments.updates.part_of(request.id, part.id):
            outcome = await self._pipelines.run(part.id)
        view = {**part_view(part), "time_completed": now(), "output_size": size_of(outcome.result)}
        ended = {"status": outcome.status, "success": outcome.status == "completed"}
        self.pipeline_requests.append({**view, **ended, "error_message": outcome.error_message})
        if outcome.status != "completed":
            raise PipelineError(f"The object '{item.name}' failed: {outcome.error_message}")
        return outcome.result


def _sequence_id(path: Path) -> str:
    return ".".join(map(str, path)) or _WHOLE


def _one_or_all(flow: Flow) -> Any:
    """The input or output of an operator in the form of its request: subrequests as a list."""
    if not flow:
        return None
    return flow[0][1] if [path for path, _ in flow] == [()] else [value for _, value in flow]


@contextlib.asynccontextmanager
async def _together(work: Iterable[Any]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Tasks that end with the block: those still running when it ends are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _join(flows: Sequence[Flow]) -> list[tuple[Path, list[Any]]]:
    """The values of several flows that belong together: their paths are the same, or one begins with the other."""
    joined: list[tuple[Path, list[Any]]] = [((), [])]
    for flow in flows:
        within: defaultdict[Path, Flow] = defaultdict(list)
        exactly: defaultdict[Path, Flow] = defaultdict(list)
        for path, value in flow:
            exactly[path].append((path, value))
            for length in range(len(path) + 1):
                within[path[:length]].append((path, value))
        joined = [
            (max(path, other, key=len), [*values, value])
            for path, values in joined
            for other, value in (
                *within[path],
                *(entry for length in range(len(path)) for entry in exactly[path[:length]]),
            )
        ]
    return joined


def _feed(
    name: str, shape: Shape, sources: Sequence[Shape], mappings: Sequence[list[dict[str, str]]], values: Sequence[Any]
) -> Any:
    """The input of an object, from the values of its sources."""
    if shape.input_type == "plain":
        plain = [value for source, value in zip(sources, values, strict=True) if source.output_type == "plain"]
        if not plain:
            raise PipelineError(f"The object '{name}' takes plain data, but nothing is attached to it")
        return plain[0]
    # A source without a mapping only starts the object.
    mapped = [_mapped(mapping, value) for mapping, value in zip(mappings, values, strict=True) if mapping]
    lengths = {len(part) for part in mapped if isinstance(part, list)}
    if len(lengths) > 1:
        raise PipelineError(f"The object '{name}' gets lists of different lengths: {sorted(lengths)}")
    if not lengths:
        return _merged(mapped)
    return [
        _merged([part[index] if isinstance(part, list) else part for part in mapped]) for index in range(lengths.pop())
    ]


def _mapped(mapping: list[dict[str, str]], value: Any) -> Any:
    if isinstance(value, list):
        return [_mapped(mapping, item) for item in value]
    return {pair["destination_field_name"]: value[pair["source_field_name"]] for pair in mapping}


def _merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


# Operators: from what arrives to what is passed on

Configuration = Mapping[str, Any]


def _function(configuration: Configuration, arrivals: Flow) -> Flow:
    def apply(value: Any) -> Any:
        if isinstance(value, list):
            return [apply(item) for item in value]
        _check_structured(value, configuration["input_fields"], "input")
        output = {"output": evaluate(configuration["expression"], value)}
        _check_structured(output, configuration["output_fields"], "output")
        return output

    return [(path, apply(value)) for path, value in arrivals]


def _if_condition(configuration: Configuration, arrivals: Flow) -> Flow:
    handed_on = [output["name"] for output in configuration["output_fields"]]
    passed: Flow = []
    for path, value in arrivals:
        if isinstance(value, list):
            raise DataError("It decides on single requests, not on a list; put a one-to-many in front")
        _check_structured(value, configuration["input_fields"], "input")
        if evaluate(configuration["expression"], value):
            passed.append((path, {name: value[name] for name in handed_on}))
    return passed


def _check_structured(value: Any, fields: Fields, what: str) -> None:
    check_data(value, "structured", fields, what)


def _raise_error(configuration: Configuration, arrivals: Flow) -> Flow:
    if arrivals:
        raise PipelineError(configuration["error_message"])
    return []


def _one_to_many(configuration: Configuration, arrivals: Flow) -> Flow:
    parts: Flow = []
    size = configuration["batch_size"]
    for path, value in arrivals:
        items = value if isinstance(value, list) else [value]
        chunks = [items[start : start + size] for start in range(0, len(items), size)] if size else items
        parts += [((*path, index), chunk) for index, chunk in enumerate(chunks)]
    return parts


def _grouped(arrivals: Flow) -> dict[Path, list[Any]]:
    """All items that arrived, in order, by their parent request."""
    groups: dict[Path, list[Any]] = {}
    for path, value in arrivals:
        groups.setdefault(path[:-1], []).extend(value if isinstance(value, list) else [value])
    return groups


def _many_to_one(_configuration: Configuration, arrivals: Flow) -> Flow:
    return list(_grouped(arrivals).items())


def _count_many(configuration: Configuration, arrivals: Flow) -> Flow:
    name = configuration["output_fields"][0]["name"]
    return [(path, {name: len(items)}) for path, items in _grouped(arrivals).items()]


def _pipeline_variable(configuration: Configuration, arrivals: Flow) -> Flow:
    values = {pair["name"]: pair["value"] for pair in configuration["output_values"]}
    return [(path, values) for path, _ in arrivals]


_OPERATORS: dict[str, Callable[[Configuration, Flow], Flow]] = {
    "function": _function,
    "if-condition": _if_condition,
    "raise-error": _raise_error,
    "one-to-many": _one_to_many,
    "many-to-one": _many_to_one,
    "count-many": _count_many,
    "pipeline-variable": _pipeline_variable,
}
