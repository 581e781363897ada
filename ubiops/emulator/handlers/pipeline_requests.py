"""Requests to pipelines: direct ones, batches, and their stored results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import select
from starlette.responses import Response

from ubiops.deployment_package import DataError, check_data
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.execution.files import check_references
from ubiops.emulator.execution.measure import size_of
from ubiops.emulator.execution.pipelines import PipelineOutcome, delete_parts, operator_view, part_view
from ubiops.emulator.handlers.event_stream import EventStream
from ubiops.emulator.handlers.find import find_pipeline, find_pipeline_version
from ubiops.emulator.handlers.notification_groups import find_notification_group
from ubiops.emulator.handlers.request_filters import (
    check_cancelled,
    check_priority,
    check_size,
    check_timeout,
    content_of,
    filtered,
)
from ubiops.emulator.handlers.resource import serves
from ubiops.emulator.tables import DeploymentRequest, OperatorRequest, PipelineRequest, PipelineVersion
from ubiops.emulator.web.responses import JsonResponse

R = TypeVar("R")

_MAXIMUM_BATCH = 250
_DIRECT_TIMEOUT, _LONGEST_DIRECT_TIMEOUT = 3600, 7200
_DEPLOYMENT_TIMEOUT, _LONGEST_DEPLOYMENT_TIMEOUT = 300, 3600
_BATCH_TIMEOUT, _LONGEST_BATCH_TIMEOUT = 14400, 172800


# Making requests


def find_target(context: Context, project_name: str, pipeline_name: str, version: str | None = None) -> PipelineVersion:
    if version is not None:
        return find_pipeline_version(context, project_name, pipeline_name, version)
    pipeline = find_pipeline(context, project_name, pipeline_name)
    if pipeline.default_version is None:
        raise not_found(f"The pipeline '{pipeline_name}' has no default version; create a version")
    return pipeline.default_version


def _to_versions(name: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Serve an operation on requests, both for the default version and for a named one."""
    return serves(find_target, name, name.replace("pipeline_", "pipeline_version_"))


@_to_versions("pipeline_requests_create")
async def _create(
    context: Context,
    version: PipelineVersion,
    data: Any,
    pipeline_timeout: int | None,
    deployment_timeout: int | None,
    timeout: int | None = None,
    priority: int | None = None,
) -> JsonResponse:
    name, given = ("pipeline_timeout", pipeline_timeout) if timeout is None else ("timeout", timeout)
    request, done = start_request(context, version, data, name, given, deployment_timeout, priority)
    answer = direct_answer(request, await done)
    return JsonResponse(answer, 201 if answer["success"] else 400)


@_to_versions("pipeline_requests_stream")
def _stream(context: Context, version: PipelineVersion, data: Any, timeout: int | None) -> EventStream:
    request, done = start_request(context, version, data, "timeout", timeout)
    updates = context.engine.updates.follow(request["id"], done)
    return EventStream(updates, lambda: direct_answer(request, done.result()))


def start_request(
    context: Context,
    version: PipelineVersion,
    data: Any,
    name: str,
    timeout: int | None,
    deployment_timeout: int | None = None,
    priority: int | None = None,
) -> tuple[dict[str, str], asyncio.Future[PipelineOutcome]]:
    """Make a direct request; returns its id and the names of what it was made to, and the future of its outcome."""
    _check_input(version, data)
    seconds = check_timeout(name, timeout, _DIRECT_TIMEOUT, _LONGEST_DIRECT_TIMEOUT)
    request = PipelineRequest(
        version=version,
        express=True,
        priority=check_priority(priority),
        timeout=seconds,
        # If there is one timeout for the whole pipeline, each step may take what is left of it.
        deployment_timeout=seconds
        if name == "timeout" and deployment_timeout is None
        else check_timeout("deployment_timeout", deployment_timeout, _DEPLOYMENT_TIMEOUT, _LONGEST_DEPLOYMENT_TIMEOUT),
        data=data,
        created_by=context.user,
    )
    context.session.add(request)
    context.session.commit()
    pipeline = version.pipeline
    named = {
        "id": request.id,
        "project": pipeline.project.name,
        "pipeline": pipeline.name,
        "version": version.name,
    }
    return named, context.engine.pipelines.submit(request)


def direct_answer(request: dict[str, str], outcome: PipelineOutcome) -> dict[str, Any]:
    return {
        **request,
        "status": outcome.status,
        "success": outcome.status == "completed",
        "error_message": outcome.error_message,
        "deployment_requests": outcome.deployment_requests,
        "operator_requests": outcome.operator_requests,
        "pipeline_requests": outcome.pipeline_requests,
        "result": outcome.result,
    }


@_to_versions("batch_pipeline_requests_create")
def _create_batch(
    context: Context,
    version: PipelineVersion,
    data: Any,
    timeout: int | None,
    notification_group: str | None,
    priority: int | None = None,
) -> list[dict[str, Any]]:
    return queue_pipeline_requests(
        context, version, data, timeout=timeout, notification_group=notification_group, priority=priority
    )


def queue_pipeline_requests(
    context: Context,
    version: PipelineVersion,
    data: Any,
    *,
    timeout: int | None = None,
    notification_group: str | None = None,
    request_schedule: str | None = None,
    priority: int | None = None,
) -> list[dict[str, Any]]:
    """Queue a batch of requests, made by a user or a schedule."""
    seconds = check_timeout("timeout", timeout, _BATCH_TIMEOUT, _LONGEST_BATCH_TIMEOUT)
    if notification_group is not None:
        find_notification_group(context, version.pipeline.project, notification_group)
    inputs = data if isinstance(data, list) else [data]
    check_size(inputs, _MAXIMUM_BATCH, "requests")
    for item in inputs:
        if isinstance(item, list):
            raise invalid("Each input of a batch is one request; a list of inputs goes to a direct request")
    _check_input(version, inputs)
    created = now()
    requests = [
        PipelineRequest(
            version=version,
            express=False,
            priority=check_priority(priority),
            timeout=seconds,
            deployment_timeout=_BATCH_TIMEOUT,
            data=item,
            created_by=context.user,
            notification_group=notification_group,
            request_schedule=request_schedule,
            time_created=created,
        )
        for item in inputs
    ]
    context.session.add_all(requests)
    context.session.flush()
    for request in requests:
        context.engine.pipelines.submit(request)
    return [_created_view(request) for request in requests]


def _check_input(version: PipelineVersion, data: Any) -> None:
    pipeline = version.pipeline
    if data == []:
        raise invalid("The list of inputs is empty")
    try:
        check_data(data, pipeline.input_type, pipeline.input_fields, "input")
        check_references(data, pipeline.input_fields)
    except DataError as error:
        raise invalid(str(error)) from error


# Reading and deleting them


def _find_all(context: Context, version: PipelineVersion, ids: Sequence[str]) -> list[PipelineRequest]:
    query = select(PipelineRequest).where(PipelineRequest.version_id == version.id, PipelineRequest.id.in_(ids))
    found = list(context.session.scalars(query.order_by(PipelineRequest.id)))
    missing = set(ids) - {request.id for request in found}
    if missing:
        raise not_found(f"The requests {', '.join(sorted(missing))} were not found in the version '{version.name}'")
    return found


@_to_versions("pipeline_requests_batch_get")
def _collect(context: Context, version: PipelineVersion, data: list[str]) -> list[dict[str, Any]]:
    check_size(data, _MAXIMUM_BATCH, "ids")
    # Ordered by id, so that no program comes to rely on the order of the ids that it passed.
    requests = _find_all(context, version, data)
    parts = _parts(context, requests)
    return [_full_view(request, parts[request.id]) for request in requests]


@_to_versions("pipeline_requests_delete")
def _delete_one(context: Context, version: PipelineVersion, request_id: str) -> None:
    _delete(context, version, [request_id])


@_to_versions("pipeline_requests_batch_delete")
def _delete_batch(context: Context, version: PipelineVersion, data: list[str]) -> dict[str, Any]:
    _delete(context, version, data)
    return {}


def _delete(context: Context, version: PipelineVersion, ids: list[str]) -> None:
    check_size(ids, _MAXIMUM_BATCH, "ids")
    for request in _find_all(context, version, ids):
        context.engine.pipelines.cancel([request.id])
        for part in delete_parts(context.session, request.id):
            context.engine.cancel(part)
        context.session.delete(request)


@_to_versions("pipeline_requests_list")
def _list(context: Context, version: PipelineVersion, **filters: Any) -> list[dict[str, Any]]:
    query = select(PipelineRequest).where(PipelineRequest.version_id == version.id)
    return [summary(request) for request in context.session.scalars(filtered(query, PipelineRequest, **filters))]


@_to_versions("pipeline_requests_update")
def _update(context: Context, version: PipelineVersion, request_id: str, data: dict[str, Any]) -> dict[str, Any]:
    if data.get("status") != "cancelled":
        raise invalid(f"status: it can be set to cancelled, not to '{data.get('status')}'")
    _cancel(context, _find_all(context, version, [request_id])[0])
    return {}


@_to_versions("pipeline_requests_batch_cancel")
def _cancel_batch(context: Context, version: PipelineVersion, data: list[str], status: str | None) -> dict[str, Any]:
    query = select(PipelineRequest).where(PipelineRequest.version_id == version.id, PipelineRequest.parent_id.is_(None))
    wanted = check_cancelled(data, status)
    found = _find_all(context, version, data) if data else context.session.scalars(query.filter_by(status=wanted)).all()
    for request in found:
        _cancel(context, request)
    return {}


def _cancel(context: Context, request: PipelineRequest) -> None:
    if request.time_completed is not None:
        raise invalid(f"The request is {request.status}; only one that is not finished can be cancelled")
    request.status = "cancelled_pending"
    context.engine.pipelines.end(request.id)


@_to_versions("pipeline_requests_input_get")
def _get_input(context: Context, version: PipelineVersion, request_id: str) -> Response:
    return content_of(_find_all(context, version, [request_id])[0], "input")


@_to_versions("pipeline_requests_output_get")
def _get_output(context: Context, version: PipelineVersion, request_id: str) -> Response:
    return content_of(_find_all(context, version, [request_id])[0], "output")


# What operators did


def _find_part(
    context: Context, project_name: str, pipeline_name: str, version: str, request_id: str
) -> OperatorRequest:
    found = find_pipeline_version(context, project_name, pipeline_name, version)
    query = select(OperatorRequest).join(OperatorRequest.pipeline_request)
    query = query.where(PipelineRequest.version_id == found.id, OperatorRequest.id == request_id)
    part = context.session.scalar(query)
    if part is None:
        raise not_found(f"The request '{request_id}' of an operator was not found in the version '{version}'")
    return part


def pipeline_version_object_requests_get(
    context: Context,
    project_name: str,
    pipeline_name: str,
    version: str,
    request_id: str,
    metadata_only: bool | None,
    pipeline_request_id: str | None,
    pipeline_object_id: str | None,
) -> dict[str, Any]:
    part = _find_part(context, project_name, pipeline_name, version, request_id)
    given = {"pipeline_request_id": pipeline_request_id, "pipeline_object_id": pipeline_object_id}
    for name, value in given.items():
        if value is not None and value != getattr(part, name):
            raise not_found(f"The request '{request_id}' of an operator doesn't have the {name} '{value}'")
    view = operator_view(part)
    del view["sequence_id"]
    view |= {"pipeline_request_id": part.pipeline_request_id, "pipeline": pipeline_name, "version": version}
    return view if metadata_only else {**view, "request_data": part.data, "result": part.result}


def pipeline_version_object_requests_input_get(
    context: Context, project_name: str, pipeline_name: str, version: str, request_id: str
) -> Response:
    return content_of(_find_part(context, project_name, pipeline_name, version, request_id), "input")


def pipeline_version_object_requests_output_get(
    context: Context, project_name: str, pipeline_name: str, version: str, request_id: str
) -> Response:
    return content_of(_find_part(context, project_name, pipeline_name, version, request_id), "output")


# Views


def _created_view(request: PipelineRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "pipeline": request.version.pipeline.name,
        "version": request.version.name,
        "status": request.status,
        "time_created": request.time_created,
    }


def summary(request: PipelineRequest) -> dict[str, Any]:
    """A request in the form in which lists show it."""
    return {
        **_created_view(request),
        "success": request.success,
        "time_started": request.time_started,
        "time_completed": request.time_completed,
        "input_size": size_of(request.data),
        "output_size": size_of(request.result),
    }


Parts = dict[str, list[dict[str, Any]]]


def _parts(context: Context, requests: Sequence[PipelineRequest]) -> dict[str, Parts]:
    """What the objects of requests did, by the ids of the requests."""
    kinds: dict[str, tuple[Any, Callable[[Any], dict[str, Any]]]] = {
        "deployment_requests": (DeploymentRequest.pipeline_request_id, part_view),
        "operator_requests": (OperatorRequest.pipeline_request_id, operator_view),
        "pipeline_requests": (PipelineRequest.parent_id, part_view),
    }
    parts: dict[str, Parts] = {request.id: {name: [] for name in kinds} for request in requests}
    for name, (column, view) in kinds.items():
        query = select(column.class_).where(column.in_(parts)).order_by(column.class_.number)
        for part in context.session.scalars(query):
            parts[getattr(part, column.key)][name].append(view(part))
    return parts


def _metadata(request: PipelineRequest, parts: Parts) -> dict[str, Any]:
    return {
        **summary(request),
        **parts,
        "error_message": request.error_message,
        "pipeline_timeout": request.timeout,
        "deployment_timeout": request.deployment_timeout,
    }


def _full_view(request: PipelineRequest, parts: Parts) -> dict[str, Any]:
    return {**_metadata(request, parts), "request_data": request.data, "result": request.result}


@_to_versions("pipeline_requests_get")
def _get(context: Context, version: PipelineVersion, request_id: str, metadata_only: bool | None) -> dict[str, Any]:
    request = _find_all(context, version, [request_id])[0]
    parts = _parts(context, [request])[request.id]
    pipeline_version = request.version
    origin = {"pipeline": pipeline_version.pipeline.name, "pipeline_version": pipeline_version.name}
    if request.request_schedule is not None:
        origin = {"request_schedule": request.request_schedule}
    return {
        **(_metadata(request, parts) if metadata_only else _full_view(request, parts)),
        "notification_group": request.notification_group,
        "origin": origin,
        "created_by": request.created_by,
    }
