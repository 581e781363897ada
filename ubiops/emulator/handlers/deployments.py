"""Deployments: the shape of input and output, and the default version."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.fields import Fields, check_fields, without_widgets
from ubiops.emulator.handlers.find import find_deployment, find_project, find_version_of
from ubiops.emulator.handlers.pipeline_objects import prune_attachments, rename_field
from ubiops.emulator.handlers.references import pipelines_that_use, refuse_if_referenced
from ubiops.emulator.handlers.resource import free_name, record
from ubiops.emulator.handlers.rules import (
    check_description,
    check_labels,
    check_name,
    has_label,
    parse_labels,
)
from ubiops.emulator.handlers.schedules import refuse_scheduled_deployment
from ubiops.emulator.handlers.services import refuse_if_served
from ubiops.emulator.tables import Deployment, PipelineVersion, Project, Version


def deployments_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    takes_requests: bool = data.get("supports_request_format", True)
    for name in ("input_type", "output_type"):
        if name not in data and takes_requests:
            raise invalid(f"{name}: it is required; it is structured or plain")
    if not takes_requests:
        # It has no input and output, but clients expect their types in answers.
        data = {**data, "input_type": "plain", "output_type": "plain"}
    deployment = Deployment(
        project=project,
        name=_name(context, project, data["name"]),
        description=check_description(data),
        supports_request_format=takes_requests,
        input_type=data["input_type"],
        output_type=data["output_type"],
        input_fields=check_fields(data, "input_fields", data["input_type"]),
        output_fields=check_fields(data, "output_fields", data["output_type"]),
        labels=check_labels(data),
        default_version=None,
    )
    context.session.add(deployment)
    context.session.flush()
    record(context, deployment, "create", f"Created deployment {deployment.name}")
    return _detail(deployment)


def deployments_list(
    context: Context, project_name: str, labels: str | None, supports_request_format: bool | None = None
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pairs = parse_labels(labels)
    count = select(func.count()).where(Version.deployment_id == Deployment.id).scalar_subquery()
    query = select(Deployment, count).where(Deployment.project_id == project.id).order_by(Deployment.creation_date)
    return [
        {**_summary(deployment), "number_of_versions": number}
        for deployment, number in context.session.execute(query)
        if has_label(deployment.labels, pairs) and supports_request_format in (None, deployment.supports_request_format)
    ]


def deployments_get(context: Context, project_name: str, deployment_name: str) -> dict[str, Any]:
    return _detail(find_deployment(context, project_name, deployment_name))


def deployments_update(
    context: Context, project_name: str, deployment_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    deployment = find_deployment(context, project_name, deployment_name)
    before = _audited(deployment)
    if data.get("name", deployment.name) != deployment.name:
        deployment.name = _name(context, deployment.project, data["name"])
    if "default_version" in data:
        deployment.default_version = _available_version(context, deployment, data["default_version"])
        context.engine.services_changed(context.session)
    if "description" in data:
        deployment.description = check_description(data)
    if "labels" in data:
        deployment.labels = check_labels(data)
    _update_fields(context, deployment, data)
    deployment.last_updated = now()
    event = f"Updated deployment {deployment_name}{changes(before, _audited(deployment))}"
    record(context, deployment, "update", event)
    return _detail(deployment)


def deployments_delete(context: Context, project_name: str, deployment_name: str) -> None:
    deployment = find_deployment(context, project_name, deployment_name)
    refuse_if_referenced(context, deployment)
    refuse_scheduled_deployment(context, deployment)
    refuse_if_served(context, deployment)
    context.engine.forget(
        context.session, context.session.scalars(select(Version.id).where(Version.deployment_id == deployment.id))
    )
    record(context, deployment, "delete", f"Deleted deployment {deployment.name}")
    context.session.delete(deployment)


def _audited(deployment: Deployment) -> dict[str, Any]:
    version = deployment.default_version
    return {"name": deployment.name, "default version": version.name if version is not None else None}


def _name(context: Context, project: Project, name: str) -> str:
    where = f" in the project '{project.name}'"
    return check_name(free_name(context, Deployment, "deployment", name, where, project_id=project.id), "deployment")


def _available_version(context: Context, deployment: Deployment, name: str) -> Version:
    version = find_version_of(context, deployment, name)
    if not version.is_ready:
        raise invalid(f"Default cannot be set to an unavailable version: '{name}' has no successful build")
    return version


def _update_fields(context: Context, deployment: Deployment, data: dict[str, Any]) -> None:
    sides = [side for side in ("input", "output") if f"{side}_fields" in data]
    old = {side: getattr(deployment, f"{side}_fields") for side in sides}
    new = {side: check_fields(data, f"{side}_fields", getattr(deployment, f"{side}_type")) for side in sides}
    versions = pipelines_that_use(context, deployment)
    tied = versions or any(field["widget"] for side in sides for field in old[side])
    if tied and sum(_count_changes(old[side], new[side]) for side in sides) > 1:
        raise invalid("The fields of a deployment that is in a pipeline or has widgets are updated one at a time")
    for side in sides:
        setattr(deployment, f"{side}_fields", new[side])
    for version in versions:
        for side in sides:
            _follow(version, deployment, side, old[side], new[side])
        prune_attachments(version)


def _follow(version: PipelineVersion, deployment: Deployment, side: str, old: Fields, new: Fields) -> None:
    """Rename a field in the attachments of a pipeline version."""
    removed, added = _field_names(old) - _field_names(new), _field_names(new) - _field_names(old)
    if len(removed) == len(added) == 1:
        objects = [item.name for item in version.objects if item.deployment_id == deployment.id]
        rename_field(version, objects, side, removed.pop(), added.pop())


def _count_changes(old: Fields, new: Fields) -> int:
    removed, added = _field_names(old) - _field_names(new), _field_names(new) - _field_names(old)
    changed = [field for field in new if field["name"] not in added and field not in old]
    return max(len(removed), len(added)) + len(changed)


def _field_names(fields: Fields) -> set[str]:
    return {field["name"] for field in fields}


def _summary(deployment: Deployment) -> dict[str, Any]:
    return {
        "id": deployment.id,
        "name": deployment.name,
        "project": deployment.project.name,
        "description": deployment.description,
        "supports_request_format": deployment.supports_request_format,
        "input_type": deployment.input_type,
        "output_type": deployment.output_type,
        "input_fields": without_widgets(deployment.input_fields),
        "output_fields": without_widgets(deployment.output_fields),
        "labels": deployment.labels,
        "creation_date": deployment.creation_date,
        "last_updated": deployment.last_updated,
    }


def _detail(deployment: Deployment) -> dict[str, Any]:
    detail = {
        **_summary(deployment),
        "input_fields": deployment.input_fields,
        "output_fields": deployment.output_fields,
    }
    if deployment.default_version is not None:
        detail["default_version"] = deployment.default_version.name
    return detail
