"""Services: who may reach a port of a deployment version, how often, and which requests are stored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_, select

from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_deployment, find_project, find_service, find_version_of
from ubiops.emulator.handlers.resource import free_name, record
from ubiops.emulator.handlers.rules import check_description, check_labels, check_name, has_label, parse_labels
from ubiops.emulator.handlers.version_ports import LARGEST_PORT
from ubiops.emulator.patterns import PatternError, check_pattern
from ubiops.emulator.services.place import PREFIX
from ubiops.emulator.tables import Deployment, Project, Service, Version

_LARGEST_LIMIT = 2**31 - 1

_DEFAULTS: dict[str, Any] = {
    "authentication_required": True,
    "authentication_method_token_enabled": True,
    "authentication_header_pass_through": False,
    "request_logging_excluded_paths": "",
    "request_logging_excluded_extensions": [],
    "rate_limit": None,
    "rate_limit_user_default": None,
    "concurrency_limit": None,
    "concurrency_limit_user_default": None,
    "cache_aware_llm_routing": False,
}
"""Settings that are stored as they are."""

_LIMITS = ("rate_limit", "rate_limit_user_default", "concurrency_limit", "concurrency_limit_user_default")
_OF_CLUSTERS = ("imported_name", "imported_namespace")


def services_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    data = _checked(data)
    if "deployment" not in data:
        raise invalid("deployment: it is required")
    deployment = find_deployment(context, project_name, data["deployment"])
    service = Service(
        project=project,
        name=_name(context, project, data["name"]),
        description=check_description(data),
        labels=check_labels(data),
        deployment=deployment,
        version=_version(context, deployment, data.get("version")),
        port=data["port"],
        **{name: data.get(name, default) for name, default in _DEFAULTS.items()},
    )
    context.session.add(service)
    context.session.flush()
    record(context, service, "create", f"Created service {service.name}")
    context.engine.services_changed(context.session)
    return _detail(context, service)


def services_list(
    context: Context, project_name: str, labels: str | None, deployment_version_ids: str | None
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pairs = parse_labels(labels)
    wanted = deployment_version_ids.split(",") if deployment_version_ids else None
    services = context.session.scalars(select(Service).filter_by(project_id=project.id).order_by(Service.number))
    return [
        _summary(service)
        for service in services
        if has_label(service.labels, pairs) and (wanted is None or _version_id(service) in wanted)
    ]


def services_get(context: Context, project_name: str, service_name: str) -> dict[str, Any]:
    return _detail(context, find_service(context, project_name, service_name))


def services_update(context: Context, project_name: str, service_name: str, data: dict[str, Any]) -> dict[str, Any]:
    service = find_service(context, project_name, service_name)
    data = _checked(data)
    before = _audited(service)
    if data.get("name", service.name) != service.name:
        service.name = _name(context, service.project, data["name"])
    if "description" in data:
        service.description = check_description(data)
    if "labels" in data:
        service.labels = check_labels(data)
    if "deployment" in data and data["deployment"] != service.deployment.name:
        service.deployment = find_deployment(context, project_name, data["deployment"])
        service.version = None
    if "version" in data:
        service.version = _version(context, service.deployment, data["version"])
    for name in {"port", *_DEFAULTS} & data.keys():
        setattr(service, name, data[name])
    service.time_updated = now()
    record(context, service, "update", f"Updated service {service_name}{changes(before, _audited(service))}")
    context.engine.services_changed(context.session)
    return _detail(context, service)


def services_delete(context: Context, project_name: str, service_name: str) -> None:
    service = find_service(context, project_name, service_name)
    record(context, service, "delete", f"Deleted service {service.name}")
    context.session.delete(service)
    context.engine.services_changed(context.session)


async def services_status_get(context: Context, project_name: str, service_name: str) -> dict[str, Any]:
    service = find_service(context, project_name, service_name)
    version, port, id = service.served_version, service.port, service.id
    context.session.commit()
    ready = await context.engine.readiness.ready(version, port) if version is not None else []
    return {"id": id, "ready": bool(ready), "instances_ready": len(ready)}


def refuse_if_served(context: Context, resource: Deployment | Version) -> None:
    """Refuse to delete what a service serves.

    Raises:
        ApiError: 400, with the services that serve it.
    """
    query = select(Service).order_by(Service.number)
    if isinstance(resource, Deployment):
        query = query.where(Service.deployment_id == resource.id)
    else:
        by_default = (Service.deployment_id == resource.deployment_id) & Service.version_id.is_(None)
        is_default = resource.deployment.default_version_id == resource.id
        query = query.where(or_(Service.version_id == resource.id, by_default & is_default))
    if names := [f"'{service.name}'" for service in context.session.scalars(query)]:
        raise invalid(f"'{resource.name}' is served by the service {', '.join(names)}; delete it or change it first")


def _audited(service: Service) -> dict[str, Any]:
    version = service.version
    return {
        "name": service.name,
        "deployment": service.deployment.name,
        "version": version.name if version is not None else None,
        **{name: getattr(service, name) for name in ("port", *_DEFAULTS)},
    }


def _name(context: Context, project: Project, name: str) -> str:
    where = f" in the project '{project.name}'"
    return check_name(free_name(context, Service, "service", name, where, project_id=project.id), "service")


def _version(context: Context, deployment: Deployment, name: str | None) -> Version | None:
    return find_version_of(context, deployment, name) if name is not None else None


def _version_id(service: Service) -> str | None:
    return service.version_id or service.deployment.default_version_id


def _checked(data: dict[str, Any]) -> dict[str, Any]:
    """Check a body, and return it in the form in which it is stored.

    Raises:
        ApiError: 400: a value is out of bounds, or it asks for something that needs a cluster.
    """
    if data.get("type", "standard") != "standard" or any(data.get(name) is not None for name in _OF_CLUSTERS):
        raise invalid("type: the emulator has no cluster whose services could be imported; leave it out, or 'standard'")
    # The only limit of services up to client 4.12.
    if "rate_limit_token" in data:
        data = {"rate_limit_user_default": data["rate_limit_token"], **data}
    if not 1 <= data.get("port", 1) <= LARGEST_PORT:
        raise invalid(f"port: it must be from 1 to {LARGEST_PORT}, not {data['port']}")
    for name in _LIMITS:
        check_limit(name, data.get(name))
    try:
        check_pattern(data.get("request_logging_excluded_paths", ""))
    except PatternError as error:
        raise invalid(f"request_logging_excluded_paths: not a regular expression: {error}") from error
    return data


def check_limit(name: str, limit: Any) -> Any:
    """Check a limit of requests; None for no limit.

    Raises:
        ApiError: 400: it is out of bounds.
    """
    if limit is not None and not (isinstance(limit, int) and 1 <= limit <= _LARGEST_LIMIT):
        raise invalid(f"{name}: it must be from 1 to {_LARGEST_LIMIT}, not {limit}")
    return limit


def _summary(service: Service) -> dict[str, Any]:
    return {
        "id": service.id,
        "name": service.name,
        "deployment": service.deployment.name,
        "version": service.version.name if service.version is not None else None,
        "port": service.port,
        "time_created": service.time_created,
        "time_updated": service.time_updated,
        "labels": service.labels,
        "authentication_required": service.authentication_required,
        "type": "standard",
        "cache_aware_llm_routing": service.cache_aware_llm_routing,
    }


def _detail(context: Context, service: Service) -> dict[str, Any]:
    return {
        **_summary(service),
        "description": service.description,
        **{name: getattr(service, name) for name in _DEFAULTS},
        "imported_name": None,
        "imported_namespace": None,
        "imported_cluster_domain": "cluster.local",
        "imported_scheme": "http",
        "endpoint": f"{context.origin}{PREFIX}{service.id}",
    }
