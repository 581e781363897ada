"""Requests to deployments: direct ones, batches, and what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, false, select

from ubiops.deployment_package import DataError, check_data
from ubiops.emulator.context import Context
from ubiops.emulator.dates import parse_moment
from ubiops.emulator.errors import ApiError, invalid, not_found
from ubiops.emulator.execution.pool import Outcome
from ubiops.emulator.handlers.find import find_deployment, find_project, find_version
from ubiops.emulator.responses import JsonResponse
from ubiops.emulator.store import Deployment, DeploymentRequest, Version, now

_MAXIMUM_BATCH = 250
_SHORTEST_TIMEOUT = 10
_DIRECT_TIMEOUT, _LONGEST_DIRECT_TIMEOUT = 300, 3600
_BATCH_TIMEOUT, _LONGEST_BATCH_TIMEOUT = 14400, 172800
_DEFAULT_LIMIT = 50
_STATUSES = ("pending", "processing", "failed", "completed", "cancelled", "cancelled_pending")
_FINISHED = ("failed", "completed", "cancelled")


# To the default version


async def deployment_requests_create(
    context: Context, project_name: str, deployment_name: str, data: Any, timeout: int | None
) -> JsonResponse:
    return await _run(context, _default_version(context, project_name, deployment_name), data, timeout)


def batch_deployment_requests_create(
    context: Context,
    project_name: str,
    deployment_name: str,
    data: Any,
    timeout: int | None,
    notification_group: str | None,
) -> list[dict[str, Any]]:
    version = _default_version(context, project_name, deployment_name)
    return _queue(context, version, data, timeout, notification_group)


def deployment_requests_list(
    context: Context, project_name: str, deployment_name: str, **filters: Any
) -> list[dict[str, Any]]:
    return _list(context, _default_version(context, project_name, deployment_name), **filters)


def deployment_requests_get(
    context: Context, project_name: str, deployment_name: str, request_id: str, metadata_only: bool | None
) -> dict[str, Any]:
    version = _default_version(context, project_name, deployment_name)
    return _single_view(_find(context, version, request_id), metadata_only)


def deployment_requests_update(
    context: Context, project_name: str, deployment_name: str, request_id: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _update(context, _default_version(context, project_name, deployment_name), request_id, data)


def deployment_requests_delete(context: Context, project_name: str, deployment_name: str, request_id: str) -> None:
    _delete(context, _default_version(context, project_name, deployment_name), [request_id])


def deployment_requests_batch_get(
    context: Context, project_name: str, deployment_name: str, data: list[str]
) -> list[dict[str, Any]]:
    return _collect(context, _default_version(context, project_name, deployment_name), data)


def deployment_requests_batch_delete(
    context: Context, project_name: str, deployment_name: str, data: list[str]
) -> dict[str, Any]:
    _delete(context, _default_version(context, project_name, deployment_name), data)
    return {}


# To a version


async def deployment_version_requests_create(
    context: Context, project_name: str, deployment_name: str, version: str, data: Any, timeout: int | None
) -> JsonResponse:
    return await _run(context, find_version(context, project_name, deployment_name, version), data, timeout)


def batch_deployment_version_requests_create(
    context: Context,
    project_name: str,
    deployment_name: str,
    version: str,
    data: Any,
    timeout: int | None,
    notification_group: str | None,
) -> list[dict[str, Any]]:
    found = find_version(context, project_name, deployment_name, version)
    return _queue(context, found, data, timeout, notification_group)


def deployment_version_requests_list(
    context: Context, project_name: str, deployment_name: str, version: str, **filters: Any
) -> list[dict[str, Any]]:
    return _list(context, find_version(context, project_name, deployment_name, version), **filters)


def deployment_version_requests_get(
    context: Context,
    project_name: str,
    deployment_name: str,
    version: str,
    request_id: str,
    metadata_only: bool | None,
) -> dict[str, Any]:
    found = find_version(context, project_name, deployment_name, version)
    return _single_view(_find(context, found, request_id), metadata_only)


def deployment_version_requests_update(
    context: Context, project_name: str, deployment_name: str, version: str, request_id: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _update(context, find_version(context, project_name, deployment_name, version), request_id, data)


def deployment_version_requests_delete(
    context: Context, project_name: str, deployment_name: str, version: str, request_id: str
) -> None:
    _delete(context, find_version(context, project_name, deployment_name, version), [request_id])


def deployment_version_requests_batch_get(
    context: Context, project_name: str, deployment_name: str, version: str, data: list[str]
) -> list[dict[str, Any]]:
    return _collect(context, find_version(context, project_name, deployment_name, version), data)


def deployment_version_requests_batch_delete(
    context: Context, project_name: str, deployment_name: str, version: str, data: list[str]
) -> dict[str, Any]:
    _delete(context, find_version(context, project_name, deployment_name, version), data)
    return {}


# Making requests


def _default_version(context: Context, project_name: str, deployment_name: str) -> Version:
    deployment = find_deployment(context, project_name, deployment_name)
    if deployment.default_version is None:
        raise not_found(f"The deployment '{deployment_name}' has no default version; create a version")
    return deployment.default_version


async def _run(context: Context, version: Version, data: Any, timeout: int | None) -> JsonResponse:
    seconds = _check_timeout(timeout, _DIRECT_TIMEOUT, _LONGEST_DIRECT_TIMEOUT)
    _check_ready(version)
    _check_input(version, data)
    _check_queue(context, version, 1, express=True)
    request = DeploymentRequest(version=version, express=True, timeout=seconds, data=data, created_by=context.user)
    context.session.add(request)
    context.session.commit()
    outcome = await context.engine.submit(version, request.id, express=True, timeout=seconds)
    return _direct_answer(version, request.id, outcome)


def _direct_answer(version: Version, request_id: str, outcome: Outcome) -> JsonResponse:
    success = outcome.status == "completed"
    answer = {
        "id": request_id,
        "deployment": version.deployment.name,
        "version": version.name,
        "success": success,
        "result": outcome.result,
        "error_message": outcome.error_message,
    }
    return JsonResponse(answer, 201 if success else 400)


def _queue(
    context: Context, version: Version, data: Any, timeout: int | None, notification_group: str | None
) -> list[dict[str, Any]]:
    seconds = _check_timeout(timeout, _BATCH_TIMEOUT, _LONGEST_BATCH_TIMEOUT)
    if notification_group is not None:
        raise not_found(f"The notification group '{notification_group}' was not found")
    inputs = data if isinstance(data, list) else [data]
    _check_batch_size(inputs, "requests")
    _check_ready(version)
    for item in inputs:
        if isinstance(item, list):
            raise invalid("Each input of a batch is one request; a list of inputs goes to a direct request")
    _check_input(version, inputs)
    _check_queue(context, version, len(inputs), express=False)
    created = now()
    requests = [
        DeploymentRequest(
            version=version,
            express=False,
            timeout=seconds,
            data=item,
            created_by=context.user,
            time_created=created,
        )
        for item in inputs
    ]
    context.session.add_all(requests)
    context.session.flush()
    for request in requests:
        context.engine.submit(version, request.id, express=False, timeout=seconds)
    return [_created_view(request) for request in requests]


def _check_timeout(timeout: int | None, default: int, longest: int) -> int:
    if timeout is None:
        return default
    if not _SHORTEST_TIMEOUT <= timeout <= longest:
        raise invalid(f"timeout: it must be from {_SHORTEST_TIMEOUT} to {longest} seconds, not {timeout}")
    return timeout


def _check_batch_size(items: Sequence[Any], kind: str) -> None:
    if not 1 <= len(items) <= _MAXIMUM_BATCH:
        raise invalid(f"A batch takes from 1 to {_MAXIMUM_BATCH} {kind}, not {len(items)}")


def _check_ready(version: Version) -> None:
    if version.status != "available":
        raise invalid(
            f"The version '{version.name}' is {version.status}: upload a package and wait until its build succeeds"
        )


def _check_input(version: Version, data: Any) -> None:
    deployment = version.deployment
    if data == []:
        raise invalid("The list of inputs is empty")
    try:
        check_data(data, deployment.input_type, deployment.input_fields, "input")
    except DataError as error:
        raise invalid(str(error)) from error
    _refuse_files(deployment)


def _refuse_files(deployment: Deployment) -> None:
    for field in (*deployment.input_fields, *deployment.output_fields):
        if field["data_type"] in ("file", "blob"):
            raise ApiError(501, f"The emulator doesn't pass files yet, as the field '{field['name']}' asks for")


def _check_queue(context: Context, version: Version, number: int, *, express: bool) -> None:
    most = version.maximum_queue_size_express if express else version.maximum_queue_size_batch
    if context.engine.queued(version, express=express) + number > most:
        raise ApiError(429, f"The queue of the version '{version.name}' is full ({most} requests); try again later")


# Reading and changing them


def _find(context: Context, version: Version, request_id: str) -> DeploymentRequest:
    query = select(DeploymentRequest).where(
        DeploymentRequest.version_id == version.id, DeploymentRequest.id == request_id
    )
    request = context.session.scalar(query)
    if request is None:
        raise not_found(f"The request '{request_id}' was not found in the version '{version.name}'")
    return request


def _find_all(context: Context, version: Version, ids: list[str]) -> list[DeploymentRequest]:
    query = select(DeploymentRequest).where(DeploymentRequest.version_id == version.id, DeploymentRequest.id.in_(ids))
    found = list(context.session.scalars(query.order_by(DeploymentRequest.id)))
    missing = set(ids) - {request.id for request in found}
    if missing:
        raise not_found(f"The requests {', '.join(sorted(missing))} were not found in the version '{version.name}'")
    return found


def _collect(context: Context, version: Version, ids: list[str]) -> list[dict[str, Any]]:
    _check_batch_size(ids, "ids")
    # Ordered by id, so that no program comes to rely on the order in which it asked.
    return [_full_view(request) for request in _find_all(context, version, ids)]


def _delete(context: Context, version: Version, ids: list[str]) -> None:
    _check_batch_size(ids, "ids")
    for request in _find_all(context, version, ids):
        context.engine.cancel(request)
        context.session.delete(request)


def _update(context: Context, version: Version, request_id: str, data: dict[str, Any]) -> dict[str, Any]:
    request = _find(context, version, request_id)
    if data.get("notification_group") is not None:
        raise not_found(f"The notification group '{data['notification_group']}' was not found")
    if "status" in data:
        _cancel(context, request)
    return {**_full_view(request), "notification_group": None}


def _cancel(context: Context, request: DeploymentRequest) -> None:
    if request.status in _FINISHED:
        raise invalid(f"The request is {request.status}; only one that is not finished can be cancelled")
    request.status = "cancelled" if request.status == "pending" else "cancelled_pending"
    context.engine.cancel(request)


def _list(context: Context, version: Version, **filters: Any) -> list[dict[str, Any]]:
    query = select(DeploymentRequest).where(DeploymentRequest.version_id == version.id)
    return [_summary(request) for request in context.session.scalars(_filtered(query, **filters))]


def project_requests_list(
    context: Context, project_name: str, object_type: str, **filters: Any
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    if object_type not in ("deployment", "pipeline"):
        raise invalid(f"object_type: it must be deployment or pipeline, not '{object_type}'")
    query = select(DeploymentRequest).join(DeploymentRequest.version).join(Version.deployment)
    query = _filtered(query.where(Deployment.project_id == project.id), **filters)
    # There are no pipelines yet, so there are no requests to them.
    requests = context.session.scalars(query) if object_type == "deployment" else ()
    return [{**_summary(request), "pipeline": None} for request in requests]


def _filtered(
    query: Select[DeploymentRequest],
    *,
    status: str | None,
    success: bool | None,
    limit: int | None,
    offset: int | None,
    sort: str | None,
    pipeline: bool | None,
    start_date: str | None,
    end_date: str | None,
    search_id: str | None,
) -> Select[DeploymentRequest]:
    if status is not None:
        query = query.where(DeploymentRequest.status == _one_of("status", status, _STATUSES))
    if success is not None:
        query = query.where(DeploymentRequest.success == success)
    if start_date is not None:
        query = query.where(DeploymentRequest.time_created >= parse_moment("start_date", start_date))
    if end_date is not None:
        query = query.where(DeploymentRequest.time_created <= parse_moment("end_date", end_date))
    if search_id is not None:
        query = query.where(DeploymentRequest.id.contains(search_id, autoescape=True))
    if pipeline:
        # There are no pipelines yet, so no request comes from one.
        query = query.where(false())
    number = DeploymentRequest.number
    ascending = _one_of("sort", sort or "desc", ("asc", "desc")) == "asc"
    query = query.order_by(number.asc() if ascending else number.desc())
    return query.limit(_not_negative("limit", limit, _DEFAULT_LIMIT)).offset(_not_negative("offset", offset, 0))


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise invalid(f"{name}: it must be one of {', '.join(allowed)}, not '{value}'")
    return value


def _not_negative(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 0:
        raise invalid(f"{name}: it must not be negative, as {value} is")
    return value


# Views


def _created_view(request: DeploymentRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "deployment": request.version.deployment.name,
        "version": request.version.name,
        "status": request.status,
        "time_created": request.time_created,
    }


def _summary(request: DeploymentRequest) -> dict[str, Any]:
    return {
        **_created_view(request),
        "success": request.success,
        "time_started": request.time_started,
        "time_completed": request.time_completed,
    }


def _metadata(request: DeploymentRequest) -> dict[str, Any]:
    return {**_summary(request), "error_message": request.error_message, "retries": 0}


def _full_view(request: DeploymentRequest) -> dict[str, Any]:
    return {**_metadata(request), "request_data": request.data, "result": request.result}


def _single_view(request: DeploymentRequest, metadata_only: bool | None) -> dict[str, Any]:
    return {
        **(_metadata(request) if metadata_only else _full_view(request)),
        "notification_group": None,
        "origin": {"deployment": request.version.deployment.name, "deployment_version": request.version.name},
        "created_by": request.created_by,
    }
