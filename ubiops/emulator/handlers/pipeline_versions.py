"""Pipeline versions: the objects that run, and how data flows between them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.handlers.find import find_pipeline, find_pipeline_version
from ubiops.emulator.handlers.notification_groups import check_notification_groups
from ubiops.emulator.handlers.pipeline_objects import (
    object_view,
    prune_attachments,
    set_attachments,
    set_objects,
)
from ubiops.emulator.handlers.references import refuse_if_referenced
from ubiops.emulator.handlers.resource import free_name, record
from ubiops.emulator.handlers.rules import (
    check_description,
    check_labels,
    check_version_name,
    has_label,
    parse_labels,
)
from ubiops.emulator.handlers.schedules import delete_schedules
from ubiops.emulator.handlers.variables import inherited_variables
from ubiops.emulator.tables import Deployment, Pipeline, PipelineRequest, PipelineVersion, Version

_MAXIMUM_RETENTION = 2419200
_DEFAULTS: dict[str, Any] = {
    "request_retention_time": 604800,
    "request_retention_mode": "full",
    "monitoring": None,
    "default_notification_group": None,
}
"""Settings that are stored as they are."""


def pipeline_versions_create(
    context: Context, project_name: str, pipeline_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    pipeline = find_pipeline(context, project_name, pipeline_name)
    version = PipelineVersion(
        pipeline=pipeline,
        name=_name(context, pipeline, data["version"]),
        description=check_description(data),
        labels=check_labels(data),
        **{name: data.get(name, default) for name, default in _DEFAULTS.items()},
    )
    _check_settings(context, version)
    context.session.add(version)
    set_objects(context, version, data.get("objects") or [])
    set_attachments(version, data.get("attachments") or [])
    context.session.flush()
    if pipeline.default_version_id is None:
        pipeline.default_version_id = version.id
    record(context, version, "create", f"Created version {version.name} for pipeline {pipeline.name}")
    return _detail(version)


def pipeline_versions_list(
    context: Context, project_name: str, pipeline_name: str, labels: str | None
) -> list[dict[str, Any]]:
    pipeline = find_pipeline(context, project_name, pipeline_name)
    pairs = parse_labels(labels)
    query = select(PipelineVersion).where(PipelineVersion.pipeline_id == pipeline.id)
    versions = context.session.scalars(query.order_by(PipelineVersion.creation_date))
    return [_summary(version) for version in versions if has_label(version.labels, pairs)]


def pipeline_versions_get(context: Context, project_name: str, pipeline_name: str, version: str) -> dict[str, Any]:
    return _detail(find_pipeline_version(context, project_name, pipeline_name, version))


def pipeline_versions_update(
    context: Context, project_name: str, pipeline_name: str, version: str, data: dict[str, Any]
) -> dict[str, Any]:
    found = find_pipeline_version(context, project_name, pipeline_name, version)
    before = _audited(found)
    if data.get("version", found.name) != found.name:
        found.name = _name(context, found.pipeline, data["version"])
    if "description" in data:
        found.description = check_description(data)
    if "labels" in data:
        found.labels = check_labels(data)
    for name in _DEFAULTS.keys() & data.keys():
        setattr(found, name, data[name])
    _check_settings(context, found)
    if "objects" in data:
        set_objects(context, found, data["objects"] or [])
    if "attachments" in data:
        set_attachments(found, data["attachments"] or [])
    elif "objects" in data:
        prune_attachments(found)
    found.last_updated = now()
    changed = changes(before, _audited(found))
    record(context, found, "update", f"Updated version {version} of pipeline {pipeline_name}{changed}")
    return _detail(found)


def pipeline_versions_delete(context: Context, project_name: str, pipeline_name: str, version: str) -> None:
    found = find_pipeline_version(context, project_name, pipeline_name, version)
    refuse_if_referenced(context, found)
    record(context, found, "delete", f"Deleted version {found.name} for pipeline {found.pipeline.name}")
    query = select(PipelineRequest.id).where(PipelineRequest.version_id == found.id)
    context.engine.pipelines.cancel(context.session.scalars(query))
    delete_schedules(context, found.id)
    context.session.delete(found)


def pipeline_version_object_environment_variables_list(
    context: Context, project_name: str, pipeline_name: str, version: str, name: str
) -> list[dict[str, Any]]:
    found = find_pipeline_version(context, project_name, pipeline_name, version)
    item = next((item for item in found.objects if item.name == name), None)
    if item is None:
        raise not_found(f"The object '{name}' was not found in the version '{version}' of '{pipeline_name}'")
    if item.deployment is None:
        return []
    used = item.version or item.deployment.default_version or item.deployment
    return [_inherited_by_object(view, used) for view in inherited_variables(context, used)]


def _inherited_by_object(view: dict[str, Any], used: Deployment | Version) -> dict[str, Any]:
    if view["inheritance_type"] is not None:
        return view
    kind = "version" if isinstance(used, Version) else "deployment"
    return {**view, "inheritance_type": kind, "inheritance_name": used.name}


def _name(context: Context, pipeline: Pipeline, name: str) -> str:
    where = f" in the pipeline '{pipeline.name}'"
    return check_version_name(free_name(context, PipelineVersion, "version", name, where, pipeline_id=pipeline.id))


def _check_settings(context: Context, version: PipelineVersion) -> None:
    if not 0 <= version.request_retention_time <= _MAXIMUM_RETENTION:
        value = version.request_retention_time
        raise invalid(f"request_retention_time: it must be from 0 to {_MAXIMUM_RETENTION}, not {value}")
    check_notification_groups(context, version.pipeline.project, version)


def _audited(version: PipelineVersion) -> dict[str, Any]:
    return {"name": version.name} | {name: getattr(version, name) for name in _DEFAULTS}


def _summary(version: PipelineVersion) -> dict[str, Any]:
    return {
        "id": version.id,
        "pipeline": version.pipeline.name,
        "version": version.name,
        "description": version.description,
        "labels": version.labels,
        "creation_date": version.creation_date,
        "last_updated": version.last_updated,
        **{name: getattr(version, name) for name in _DEFAULTS},
    }


def _detail(version: PipelineVersion) -> dict[str, Any]:
    objects = [object_view(item) for item in version.objects]
    return {**_summary(version), "objects": objects, "attachments": version.attachments}
