"""Exports: parts of a project as a zip."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from sqlalchemy import select
from starlette.responses import FileResponse

from ubiops.emulator.bundle import Contents, tag_path, version_path, write_bundle
from ubiops.emulator.context import Context
from ubiops.emulator.environments import environment_of, find_tag
from ubiops.emulator.errors import ApiError, invalid, not_found
from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.execution.packages import whole
from ubiops.emulator.handlers.deployments import deployments_get
from ubiops.emulator.handlers.environments import environments_get
from ubiops.emulator.handlers.find import find_deployment, find_own_environment, find_project, find_version
from ubiops.emulator.handlers.pipeline_versions import pipeline_versions_get
from ubiops.emulator.handlers.pipelines import pipelines_get
from ubiops.emulator.handlers.resource import find, record
from ubiops.emulator.handlers.rules import check_description
from ubiops.emulator.handlers.services import services_get
from ubiops.emulator.handlers.versions import deployment_versions_get
from ubiops.emulator.tables import (
    Deployment,
    Environment,
    EnvironmentTag,
    Pipeline,
    PipelineVersion,
    Project,
    Service,
    Transfer,
    Version,
)
from ubiops.emulator.variables import Owner, own_variables

_logger = logging.getLogger(__name__)

STATUSES = {
    "export": ("pending", "processing", "completed", "failed"),
    "import": ("pending", "scanning", "confirmation", "confirmation_pending", "processing", "completed", "failed"),
}
_LONGEST_ERROR = 1024
_PACKAGES = "packages"
_CONTENTS = ("deployments", "pipelines", "services", "environments", "environment_variables")
OBJECT_SETTINGS = ("description", "labels", "input_type", "output_type", "input_fields", "output_fields")
"""What is exported of a deployment or a pipeline."""
DEPLOYMENT_SETTINGS = (*OBJECT_SETTINGS, "supports_request_format")
VERSION_SETTINGS = (
    *("description", "labels", "language", "instance_type", "memory_allocation", "maximum_instances"),
    *("minimum_instances", "maximum_idle_time", "request_retention_mode", "request_retention_time"),
    *("maximum_queue_size_express", "maximum_queue_size_batch", "static_ip", "restart_request_interruption"),
    *("instance_type_group_name", "maximum_queue_size", "scaling_strategy", "instance_processes"),
    *("health_check", "ports", "command", "args"),
)
"""What is exported of a deployment version."""
SERVICE_SETTINGS = (
    *("description", "labels", "deployment", "version", "port", "authentication_required"),
    *("authentication_method_token_enabled", "authentication_header_pass_through", "request_logging_excluded_paths"),
    *("request_logging_excluded_extensions", "rate_limit", "rate_limit_user_default", "concurrency_limit"),
    *("concurrency_limit_user_default", "cache_aware_llm_routing"),
)
"""What is exported of a service."""
ENVIRONMENT_SETTINGS = ("description", "labels", "display_name", "base_environment", "supports_request_format")
"""What is exported of an environment. Secrets are not."""
PIPELINE_VERSION_SETTINGS = (
    *("description", "labels", "objects", "attachments", "request_retention_mode", "request_retention_time"),
)
"""What is exported of a pipeline version."""
_OBJECT_KEYS = ("name", "reference_type", "reference_name", "configuration")


def exports_create(
    context: Context, project_name: str, data: dict[str, Any], all: bool | None = None, packages: bool | None = None
) -> dict[str, Any]:
    project = find_project(context, project_name)
    wanted = _everything(context, project) if all else data
    contents, _ = _collect(context, project, wanted if packages is None else {**wanted, _PACKAGES: packages})
    transfer = Transfer(
        kind="export",
        project=project,
        created_by=context.user,
        description=check_description(data),
        contents=contents,
    )
    context.session.add(transfer)
    context.session.flush()
    record_transfer(context, transfer, "create", "Created")
    context.engine.spawn(run_export(context.engine, transfer.id))
    return view(transfer)


def exports_list(context: Context, project_name: str, status: str | None) -> list[dict[str, Any]]:
    return list_transfers(context, project_name, "export", status)


def exports_get(context: Context, project_name: str, export_id: str) -> dict[str, Any]:
    return detail(find_transfer(context, project_name, "export", export_id))


def exports_download(context: Context, project_name: str, export_id: str) -> FileResponse:
    return download(context, find_transfer(context, project_name, "export", export_id))


def exports_delete(context: Context, project_name: str, export_id: str) -> None:
    delete(context, find_transfer(context, project_name, "export", export_id))


# Shared by exports and imports


def find_transfer(context: Context, project_name: str, kind: str, id: str) -> Transfer:
    """The export or import with an id.

    Raises:
        ApiError: 404: it doesn't exist.
    """
    project = find_project(context, project_name)
    where = f" in the project '{project_name}'"
    return find(context, Transfer, f"The {kind} '{id}'", where, project_id=project.id, kind=kind, id=id)


def list_transfers(context: Context, project_name: str, kind: str, status: str | None) -> list[dict[str, Any]]:
    """The exports or imports of a project, oldest first."""
    project = find_project(context, project_name)
    query = select(Transfer).filter_by(project_id=project.id, kind=kind).order_by(Transfer.number)
    if status is not None:
        if status not in STATUSES[kind]:
            raise invalid(f"status: it must be one of {', '.join(STATUSES[kind])}, not '{status}'")
        query = query.where(Transfer.status == status)
    return [view(transfer) for transfer in context.session.scalars(query)]


def download(context: Context, transfer: Transfer) -> FileResponse:
    """The zip of an export or import."""
    path = context.engine.packages.archive(transfer.id)
    if transfer.size is None or not path.is_file():
        raise invalid(f"The {transfer.kind} is {transfer.status} and has no file to download")
    record_transfer(context, transfer, "info", "Downloaded")
    return FileResponse(path, media_type="application/octet-stream", filename=f"{transfer.kind}_{transfer.id}.zip")


def delete(context: Context, transfer: Transfer) -> None:
    """Delete an export or import and its zip."""
    record_transfer(context, transfer, "delete", "Deleted")
    context.engine.packages.remove_later(context.session, [transfer.id])
    context.session.delete(transfer)


def record_transfer(context: Context, transfer: Transfer, action: str, verb: str) -> None:
    """Write an audit event about an export or import."""
    event = f"{verb} {transfer.kind} {transfer.id}"
    record(context, transfer, action, event)


def view(transfer: Transfer) -> dict[str, Any]:
    """An export or import as it is listed."""
    listed = {
        "id": transfer.id,
        f"{transfer.kind}ed_by": transfer.created_by,
        "creation_date": transfer.creation_date,
        "status": transfer.status,
        "error_message": transfer.error_message,
        "size": transfer.size,
    }
    return {**listed, "description": transfer.description} if transfer.kind == "export" else listed


def detail(transfer: Transfer) -> dict[str, Any]:
    """An export or import with its contents."""
    return {**view(transfer), **{name: transfer.contents.get(name, {}) for name in _CONTENTS}}


def change(engine: Engine, id: str, **values: Any) -> bool:
    """Change an export or import while it runs; returns false if it was deleted."""
    with engine.store.session() as session:
        transfer = session.scalar(select(Transfer).filter_by(id=id))
        if transfer is None:
            return False
        for name, value in values.items():
            setattr(transfer, name, value)
        return True


def fail(engine: Engine, id: str, message: str) -> None:
    """Store why an export or import failed."""
    # The link of an import may be signed, and is no longer needed.
    change(engine, id, status="failed", error_message=message[:_LONGEST_ERROR], link=None)


# Making the zip


async def run_export(engine: Engine, id: str) -> None:
    """Write the zip of an export."""
    try:
        with engine.store.session() as session:
            transfer = session.scalar(select(Transfer).filter_by(id=id))
            if transfer is None:
                return
            transfer.status = "processing"
            # Collected again, since resources may have changed since the export was created.
            context = Context(session, engine, transfer.created_by)
            contents, packages = _collect(context, transfer.project, transfer.contents)
        path = engine.packages.archive(id)
        with whole(path):
            await asyncio.to_thread(write_bundle, path, contents, packages)
        if not change(engine, id, status="completed", contents=contents, size=path.stat().st_size):
            path.unlink()
    except ApiError as error:
        fail(engine, id, error.message)
    except Exception:
        _logger.exception("The export %s failed inside the emulator", id)
        fail(engine, id, "The emulator failed to write the export; its log says why")


def _collect(context: Context, project: Project, data: dict[str, Any]) -> tuple[Contents, dict[str, Path]]:
    """The contents of an export, and the files of the packages by their paths in the zip."""
    packages: dict[str, Path] = {}
    kept = packages if data.get(_PACKAGES, True) else None
    deployments = {name: _deployment(context, project, name, item, kept) for name, item in _items(data, "deployments")}
    pipelines = {name: _pipeline(context, project, name, item) for name, item in _items(data, "pipelines")}
    contents = {
        "deployments": deployments,
        "pipelines": pipelines,
        "services": {name: _service(context, project, name) for name, _ in _items(data, "services")},
        "environments": {name: _environment(context, project, name, kept) for name, _ in _items(data, "environments")},
        "environment_variables": _variables(context, project, data),
    }
    # It is collected once more when it is written.
    return {**contents, _PACKAGES: kept is not None}, packages


def _everything(context: Context, project: Project) -> dict[str, Any]:
    """The body that asks for everything in a project, with the values of variables that are not secret."""

    def of(table: Any, **columns: str | None) -> list[Any]:
        return list(context.session.scalars(select(table).filter_by(**columns).order_by(table.name)))

    def variables(owner: Owner) -> dict[str, Any]:
        return {variable.name: {"include_value": True} for variable in own_variables(context.session, owner)}

    def versions(deployment: Deployment) -> dict[str, Any]:
        found = of(Version, deployment_id=deployment.id)
        return {version.name: {"environment_variables": variables(version)} for version in found}

    return {
        "deployments": {
            item.name: {"versions": versions(item), "environment_variables": variables(item)}
            for item in of(Deployment, project_id=project.id)
        },
        "pipelines": {
            item.name: {"versions": {version.name: {} for version in of(PipelineVersion, pipeline_id=item.id)}}
            for item in of(Pipeline, project_id=project.id)
        },
        "services": {item.name: {} for item in of(Service, project_id=project.id)},
        "environments": {item.name: {} for item in of(Environment, project_id=project.id, version_id=None)},
        "environment_variables": variables(project),
    }


def _items(data: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    items = data.get(key) or {}
    if not isinstance(items, dict) or not all(isinstance(item, dict) for item in items.values()):
        raise invalid(f"{key}: it must be a dictionary of dictionaries")
    return list(items.items())


def _deployment(
    context: Context, project: Project, name: str, data: dict[str, Any], packages: dict[str, Path] | None
) -> dict[str, Any]:
    deployment = find_deployment(context, project.name, name)
    versions = {}
    for version_name, item in _items(data, "versions"):
        version = find_version(context, project.name, name, version_name)
        read = deployment_versions_get(context, project.name, name, version_name)
        settings = {key: read[key] for key in VERSION_SETTINGS}
        if version.maximum_queue_size is None:
            # The value that is read is that of batches; in a body, it would limit both kinds of requests together.
            del settings["maximum_queue_size"]
        settings |= _environment_of(context, version)
        revision_id = version.active_revision_id
        if revision_id is not None and packages is not None and deployment.supports_request_format:
            settings["zip"] = f"{version_path('deployment', name, version_name)}.zip"
            packages[settings["zip"]] = context.engine.packages.archive(revision_id)
        versions[version_name] = {**settings, "environment_variables": _variables(context, version, item)}
    read = deployments_get(context, project.name, name)
    return {
        **_settings(read, versions),
        "supports_request_format": deployment.supports_request_format,
        "versions": versions,
        "environment_variables": _variables(context, deployment, data),
    }


def _pipeline(context: Context, project: Project, name: str, data: dict[str, Any]) -> dict[str, Any]:
    read = pipelines_get(context, project.name, name)
    versions = {}
    for version_name, _item in _items(data, "versions"):
        version = pipeline_versions_get(context, project.name, name, version_name)
        settings = {key: version[key] for key in PIPELINE_VERSION_SETTINGS}
        settings["objects"] = [_object(item) for item in version["objects"]]
        versions[version_name] = settings
    return {**_settings(read, versions), "versions": versions}


def _service(context: Context, project: Project, name: str) -> dict[str, Any]:
    read = services_get(context, project.name, name)
    return {key: read[key] for key in SERVICE_SETTINGS if read[key] is not None}


def _environment_of(context: Context, version: Version) -> dict[str, str]:
    """The environment of a version, with its tag unless it uses the one that was built last."""
    if version.environment_id is None:
        return {}
    named = {"environment_name": environment_of(context.session, version).name}
    tag = find_tag(context.session, version.environment_tag_id)
    return named if tag is None else {**named, "environment_tag": tag.name}


def _environment(context: Context, project: Project, name: str, packages: dict[str, Path] | None) -> dict[str, Any]:
    environment = find_own_environment(context, project.name, name)
    read = environments_get(context, project.name, name)
    tags: dict[str, dict[str, Any]] = {}
    query = select(EnvironmentTag).where(EnvironmentTag.environment_id == environment.id, EnvironmentTag.has_file)
    for tag in context.session.scalars(query.order_by(EnvironmentTag.number)):
        base = find_tag(context.session, tag.base_tag_id)
        tags[tag.name] = {"supports_request_format": tag.supports_request_format}
        if base is not None:
            tags[tag.name] |= {"base_environment_name": base.environment.name, "base_environment_tag": base.name}
        if packages is not None:
            tags[tag.name]["zip"] = f"{tag_path(name, tag.name)}.zip"
            packages[tags[tag.name]["zip"]] = context.engine.packages.archive(tag.id)
    return {**{key: read[key] for key in ENVIRONMENT_SETTINGS if read[key] is not None}, "tags": tags}


def _object(item: dict[str, Any]) -> dict[str, Any]:
    # An empty version is the default one.
    exported = {key: item[key] for key in _OBJECT_KEYS if item.get(key) is not None}
    return {**exported, "reference_version": item.get("version") or ""}


def _settings(read: dict[str, Any], versions: dict[str, Any]) -> dict[str, Any]:
    settings = {key: read[key] for key in OBJECT_SETTINGS}
    for side in ("input_fields", "output_fields"):
        settings[side] = [{key: value for key, value in field.items() if value != {}} for field in settings[side]]
    if read.get("default_version") in versions:
        settings["default_version"] = read["default_version"]
    return settings


def _variables(context: Context, owner: Owner, data: dict[str, Any]) -> dict[str, Any]:
    own = {variable.name: variable for variable in own_variables(context.session, owner)}
    exported: dict[str, Any] = {}
    for name, item in _items(data, "environment_variables"):
        if name not in own:
            raise not_found(f"The environment variable '{name}' was not found on '{owner.name}'")
        variable = own[name]
        exported[name] = {"secret": variable.secret}
        # The value of a secret never leaves the project.
        if not variable.secret and item.get("include_value", "value" in item):
            exported[name]["value"] = variable.value
    return exported
