"""Pipelines: the shape of input and output, and the default version."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.fields import Fields, check_fields, without_widgets
from ubiops.emulator.handlers.find import find_pipeline, find_pipeline_version_of, find_project
from ubiops.emulator.handlers.pipeline_objects import prune_attachments
from ubiops.emulator.handlers.references import refuse_if_referenced
from ubiops.emulator.handlers.resource import free_name, record
from ubiops.emulator.handlers.rules import check_description, check_labels, check_name, has_label, parse_labels
from ubiops.emulator.handlers.schedules import delete_schedules
from ubiops.emulator.tables import Pipeline, PipelineRequest, PipelineVersion, Project


def pipelines_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    if "output_type" not in data:
        raise invalid("output_type: it is required; it is structured or plain")
    pipeline = Pipeline(
        project=project,
        name=_name(context, project, data["name"]),
        description=check_description(data),
        input_type=data["input_type"],
        output_type=data["output_type"],
        input_fields=check_fields(data, "input_fields", data["input_type"]),
        output_fields=check_fields(data, "output_fields", data["output_type"]),
        labels=check_labels(data),
        default_version=None,
    )
    context.session.add(pipeline)
    context.session.flush()
    record(context, pipeline, "create", f"Created pipeline {pipeline.name}")
    return _detail(pipeline)


def pipelines_list(context: Context, project_name: str, labels: str | None) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pairs = parse_labels(labels)
    query = select(Pipeline).where(Pipeline.project_id == project.id).order_by(Pipeline.creation_date)
    return [_summary(pipeline) for pipeline in context.session.scalars(query) if has_label(pipeline.labels, pairs)]


def pipelines_get(context: Context, project_name: str, pipeline_name: str) -> dict[str, Any]:
    return _detail(find_pipeline(context, project_name, pipeline_name))


def pipelines_update(context: Context, project_name: str, pipeline_name: str, data: dict[str, Any]) -> dict[str, Any]:
    pipeline = find_pipeline(context, project_name, pipeline_name)
    before = _audited(pipeline)
    if data.get("name", pipeline.name) != pipeline.name:
        pipeline.name = _name(context, pipeline.project, data["name"])
    if "default_version" in data:
        pipeline.default_version = find_pipeline_version_of(context, pipeline, data["default_version"])
    if "description" in data:
        pipeline.description = check_description(data)
    if "labels" in data:
        pipeline.labels = check_labels(data)
    pipeline.input_type, pipeline.input_fields = _retyped(data, "input", pipeline.input_type, pipeline.input_fields)
    pipeline.output_type, pipeline.output_fields = _retyped(
        data, "output", pipeline.output_type, pipeline.output_fields
    )
    if data.keys() & {"input_type", "input_fields", "output_type", "output_fields"}:
        _prune(context, pipeline)
    pipeline.last_updated = now()
    record(context, pipeline, "update", f"Updated pipeline {pipeline_name}{changes(before, _audited(pipeline))}")
    return _detail(pipeline)


def pipelines_delete(context: Context, project_name: str, pipeline_name: str) -> None:
    pipeline = find_pipeline(context, project_name, pipeline_name)
    refuse_if_referenced(context, pipeline)
    record(context, pipeline, "delete", f"Deleted pipeline {pipeline.name}")
    query = select(PipelineRequest.id).join(PipelineRequest.version).where(PipelineVersion.pipeline_id == pipeline.id)
    context.engine.pipelines.cancel(context.session.scalars(query))
    delete_schedules(context, pipeline.id)
    context.session.delete(pipeline)


def _name(context: Context, project: Project, name: str) -> str:
    where = f" in the project '{project.name}'"
    return check_name(free_name(context, Pipeline, "pipeline", name, where, project_id=project.id), "pipeline")


def _retyped(data: dict[str, Any], side: str, kind: str, fields: Fields) -> tuple[str, Fields]:
    """Type and fields after an update; a body with a new type must have the fields too."""
    kind = data.get(f"{side}_type", kind)
    if f"{side}_type" in data or f"{side}_fields" in data:
        fields = check_fields(data, f"{side}_fields", kind)
    return kind, fields


def _prune(context: Context, pipeline: Pipeline) -> None:
    for version in context.session.scalars(select(PipelineVersion).where(PipelineVersion.pipeline_id == pipeline.id)):
        prune_attachments(version)


def _audited(pipeline: Pipeline) -> dict[str, Any]:
    default = pipeline.default_version
    return {
        "name": pipeline.name,
        "default_version": default.name if default is not None else None,
        "input_type": pipeline.input_type,
        "output_type": pipeline.output_type,
    }


def _summary(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "id": pipeline.id,
        "name": pipeline.name,
        "project": pipeline.project.name,
        "description": pipeline.description,
        "input_type": pipeline.input_type,
        "output_type": pipeline.output_type,
        "input_fields": without_widgets(pipeline.input_fields),
        "output_fields": without_widgets(pipeline.output_fields),
        "labels": pipeline.labels,
        "creation_date": pipeline.creation_date,
        "last_updated": pipeline.last_updated,
    }


def _detail(pipeline: Pipeline) -> dict[str, Any]:
    detail = {
        **_summary(pipeline),
        "input_fields": pipeline.input_fields,
        "output_fields": pipeline.output_fields,
    }
    if pipeline.default_version is not None:
        detail["default_version"] = pipeline.default_version.name
    return detail
