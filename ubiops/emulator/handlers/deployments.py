"""Deployments: the shape of input and output, and the default version."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid, taken
from ubiops.emulator.handlers.find import find_deployment, find_project, find_version_of
from ubiops.emulator.handlers.rules import (
    check_description,
    check_field_name,
    check_labels,
    check_name,
    has_label,
    parse_labels,
)
from ubiops.emulator.store import Deployment, Project, Version, now


def deployments_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    deployment = Deployment(
        project=project,
        name=_free_name(context, project, data["name"]),
        description=check_description(data),
        input_type=data["input_type"],
        output_type=data["output_type"],
        input_fields=_check_fields(data, "input_fields", data["input_type"]),
        output_fields=_check_fields(data, "output_fields", data["output_type"]),
        labels=check_labels(data),
        default_version=None,
    )
    context.session.add(deployment)
    context.session.flush()
    return _detail(deployment)


def deployments_list(context: Context, project_name: str, labels: str | None) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pairs = parse_labels(labels)
    count = select(func.count()).where(Version.deployment_id == Deployment.id).scalar_subquery()
    query = select(Deployment, count).where(Deployment.project_id == project.id).order_by(Deployment.creation_date)
    return [
        {**_summary(deployment), "number_of_versions": number}
        for deployment, number in context.session.execute(query)
        if has_label(deployment.labels, pairs)
    ]


def deployments_get(context: Context, project_name: str, deployment_name: str) -> dict[str, Any]:
    return _detail(find_deployment(context, project_name, deployment_name))


def deployments_update(
    context: Context, project_name: str, deployment_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    deployment = find_deployment(context, project_name, deployment_name)
    if data.get("name", deployment.name) != deployment.name:
        deployment.name = _free_name(context, deployment.project, data["name"])
    if "default_version" in data:
        deployment.default_version = _available_version(context, deployment, data["default_version"])
    if "description" in data:
        deployment.description = check_description(data)
    if "labels" in data:
        deployment.labels = check_labels(data)
    if "input_fields" in data:
        deployment.input_fields = _check_fields(data, "input_fields", deployment.input_type)
    if "output_fields" in data:
        deployment.output_fields = _check_fields(data, "output_fields", deployment.output_type)
    deployment.last_updated = now()
    return _detail(deployment)


def deployments_delete(context: Context, project_name: str, deployment_name: str) -> None:
    deployment = find_deployment(context, project_name, deployment_name)
    context.engine.forget(context.session.scalars(select(Version.id).where(Version.deployment_id == deployment.id)))
    context.session.delete(deployment)


def _free_name(context: Context, project: Project, name: str) -> str:
    query = select(Deployment.id).where(Deployment.project_id == project.id, Deployment.name == name)
    if context.session.scalar(query) is not None:
        raise taken("deployment", name, f" in the project '{project.name}'")
    return check_name(name, "deployment")


def _available_version(context: Context, deployment: Deployment, name: str) -> Version:
    version = find_version_of(context, deployment, name)
    if version.status != "available":
        raise invalid(f"Default cannot be set to an unavailable version: '{name}' has no successful build")
    return version


def _check_fields(data: dict[str, Any], key: str, kind: str) -> list[dict[str, Any]]:
    fields = data.get(key) or []
    if kind == "plain" and fields:
        raise invalid(f"{key}: plain data has no fields; leave them out")
    if kind == "structured" and not fields:
        raise invalid(f"{key}: structured data needs at least one field")
    names = [check_field_name(field["name"]) for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"{key}: the name '{name}' occurs more than once")
    return [
        {"name": field["name"], "data_type": field["data_type"], "widget": _widget(field.get("widget"))}
        for field in fields
    ]


def _widget(widget: dict[str, Any] | None) -> dict[str, Any]:
    return {"type": widget["type"], "configuration": widget.get("configuration") or {}} if widget else {}


def _summary(deployment: Deployment) -> dict[str, Any]:
    return {
        "id": deployment.id,
        "name": deployment.name,
        "project": deployment.project.name,
        "description": deployment.description,
        "input_type": deployment.input_type,
        "output_type": deployment.output_type,
        "input_fields": _without_widgets(deployment.input_fields),
        "output_fields": _without_widgets(deployment.output_fields),
        "labels": deployment.labels,
        "creation_date": deployment.creation_date,
        "last_updated": deployment.last_updated,
    }


def _without_widgets(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": field["name"], "data_type": field["data_type"]} for field in fields]


def _detail(deployment: Deployment) -> dict[str, Any]:
    detail = {
        **_summary(deployment),
        "input_fields": deployment.input_fields,
        "output_fields": deployment.output_fields,
    }
    if deployment.default_version is not None:
        detail["default_version"] = deployment.default_version.name
    return detail
