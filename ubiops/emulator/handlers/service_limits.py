"""Limits for single users of a service: requests per minute, and at the same time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_service
from ubiops.emulator.handlers.resource import find, record
from ubiops.emulator.handlers.services import check_limit
from ubiops.emulator.tables import ServiceLimit, User

Place = tuple[str, str, str]
"""The names of a project and of a service in it, and the kind of limit."""


def services_user_rate_limit_create(
    context: Context, project_name: str, service_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _create(context, (project_name, service_name, "rate"), data)


def services_user_rate_limit_list(context: Context, project_name: str, service_name: str) -> list[dict[str, Any]]:
    return _list(context, (project_name, service_name, "rate"))


def services_user_rate_limit_get(
    context: Context, project_name: str, service_name: str, user_id: str
) -> dict[str, Any]:
    return _find(context, (project_name, service_name, "rate"), user_id).view()


def services_user_rate_limit_update(
    context: Context, project_name: str, service_name: str, user_id: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _update(context, (project_name, service_name, "rate"), user_id, data)


def services_user_rate_limit_delete(context: Context, project_name: str, service_name: str, user_id: str) -> None:
    _delete(context, (project_name, service_name, "rate"), user_id)


def services_user_concurrency_limit_create(
    context: Context, project_name: str, service_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _create(context, (project_name, service_name, "concurrency"), data)


def services_user_concurrency_limit_list(
    context: Context, project_name: str, service_name: str
) -> list[dict[str, Any]]:
    return _list(context, (project_name, service_name, "concurrency"))


def services_user_concurrency_limit_get(
    context: Context, project_name: str, service_name: str, user_id: str
) -> dict[str, Any]:
    return _find(context, (project_name, service_name, "concurrency"), user_id).view()


def services_user_concurrency_limit_update(
    context: Context, project_name: str, service_name: str, user_id: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _update(context, (project_name, service_name, "concurrency"), user_id, data)


def services_user_concurrency_limit_delete(
    context: Context, project_name: str, service_name: str, user_id: str
) -> None:
    _delete(context, (project_name, service_name, "concurrency"), user_id)


def _create(context: Context, place: Place, data: dict[str, Any]) -> dict[str, Any]:
    project_name, service_name, kind = place
    service = find_service(context, project_name, service_name)
    user = find(context, User, f"The user '{data['user_id']}'", id=data["user_id"])
    if context.session.scalar(_query(service.id, kind).filter_by(user_id=user.id)) is not None:
        raise invalid(f"The user {user.email} has a {kind} limit at the service '{service.name}' already; update it")
    limit = ServiceLimit(service_id=service.id, user=user, kind=kind, limit=check_limit("limit", data["limit"]))
    context.session.add(limit)
    context.session.flush()
    _record(context, place, limit, "Created")
    return limit.view()


def _list(context: Context, place: Place) -> list[dict[str, Any]]:
    project_name, service_name, kind = place
    service = find_service(context, project_name, service_name)
    return [limit.view() for limit in context.session.scalars(_query(service.id, kind).order_by(ServiceLimit.number))]


def _find(context: Context, place: Place, user_id: str) -> ServiceLimit:
    project_name, service_name, kind = place
    service = find_service(context, project_name, service_name)
    what = f"A {kind} limit of the user '{user_id}'"
    return find(context, ServiceLimit, what, service_id=service.id, kind=kind, user_id=user_id)


def _update(context: Context, place: Place, user_id: str, data: dict[str, Any]) -> dict[str, Any]:
    limit = _find(context, place, user_id)
    if "limit" in data:
        limit.limit = check_limit("limit", data["limit"])
    _record(context, place, limit, "Updated")
    return limit.view()


def _delete(context: Context, place: Place, user_id: str) -> None:
    limit = _find(context, place, user_id)
    _record(context, place, limit, "Deleted")
    context.session.delete(limit)


def _record(context: Context, place: Place, limit: ServiceLimit, done: str) -> None:
    """Write an audit event: any change of a limit is an update of its service."""
    project_name, service_name, kind = place
    service = find_service(context, project_name, service_name)
    record(context, service, "update", f"{done} {kind} limit of {limit.user.email} for service {service.name}")


def _query(service_id: str, kind: str) -> Select[Any]:
    return select(ServiceLimit).filter_by(service_id=service_id, kind=kind)
