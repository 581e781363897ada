"""The objects of a pipeline version and the attachments that connect them: checks and views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sqlalchemy import select

from ubiops.deployment_package import check_data
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.execution.expressions import check_expression
from ubiops.emulator.handlers.fields import check_names, without_widgets
from ubiops.emulator.handlers.find import (
    find_deployment,
    find_pipeline,
    find_pipeline_version_of,
    find_version_of,
)
from ubiops.emulator.handlers.rules import check_name
from ubiops.emulator.ids import new_id
from ubiops.emulator.shapes import END, START, Fields, Shape, shape_of, shapes_of
from ubiops.emulator.tables import Pipeline, PipelineObject, PipelineVersion

_DATA_TYPES = (
    *("int", "string", "double", "bool", "array_int", "array_double", "array_string", "dict"),
    *("blob", "file", "array_file"),
)


# Objects


def set_objects(context: Context, version: PipelineVersion, objects: list[dict[str, Any]]) -> None:
    """Replace the objects of a version; an object that keeps its name keeps its id."""
    existing = {item.name: item for item in version.objects}
    named: dict[str, PipelineObject] = {}
    for data in objects:
        name = _check_object_name(data["name"])
        if name in named:
            raise invalid(f"objects: the name '{name}' occurs more than once")
        named[name] = existing.get(name) or PipelineObject(name=name, id=new_id())
        _set_reference(context, version, named[name], data)
    version.objects[:] = named.values()
    _refuse_recursion(context, version)


def _check_object_name(name: str) -> str:
    if name in (START, END):
        raise invalid(f"objects: the name '{name}' is reserved for the {name.removeprefix('pipeline_')} of a pipeline")
    return check_name(name, "object")


def _set_reference(context: Context, version: PipelineVersion, item: PipelineObject, data: dict[str, Any]) -> None:
    kind, reference, chosen = data.get("reference_type", "deployment"), data["reference_name"], data.get("version")
    project = version.pipeline.project.name
    item.deployment = item.version = item.subpipeline = item.subversion = item.operator = None
    item.configuration = data.get("configuration") or {}
    if kind == "deployment":
        item.deployment = find_deployment(context, project, reference)
        if not item.deployment.supports_request_format:
            raise invalid(f"The deployment '{reference}' takes no requests, so it can't be in a pipeline")
        item.version = find_version_of(context, item.deployment, chosen) if chosen is not None else None
    elif kind == "pipeline":
        item.subpipeline = find_pipeline(context, project, reference)
        item.subversion = find_pipeline_version_of(context, item.subpipeline, chosen) if chosen is not None else None
    else:
        if chosen is not None:
            raise invalid(f"objects: the operator '{item.name}' takes no version")
        item.operator = reference
        item.configuration = _check_operator(item.name, reference, item.configuration)


def _refuse_recursion(context: Context, version: PipelineVersion) -> None:
    """Refuse a pipeline that runs itself, directly or through others."""
    own = version.pipeline_id
    pending = [item.subpipeline for item in version.objects if item.subpipeline is not None]
    seen: set[str] = set()
    while pending:
        pipeline = pending.pop()
        if pipeline.id == own:
            raise invalid(f"objects: the pipeline '{version.pipeline.name}' would run itself")
        if pipeline.id not in seen:
            seen.add(pipeline.id)
            pending += _subpipelines(context, pipeline)


def _subpipelines(context: Context, pipeline: Pipeline) -> Iterable[Pipeline]:
    query = (
        select(Pipeline)
        .join(PipelineObject, PipelineObject.subpipeline_id == Pipeline.id)
        .join(PipelineVersion, PipelineObject.pipeline_version_id == PipelineVersion.id)
        .where(PipelineVersion.pipeline_id == pipeline.id)
    )
    with context.session.no_autoflush:
        return context.session.scalars(query).all()


# Operators

Configuration = dict[str, Any]


def _check_operator(name: str, operator: str, configuration: Configuration) -> Configuration:
    if operator not in _OPERATORS:
        raise invalid(f"objects: there is no operator '{operator}'; choose one of {', '.join(_OPERATORS)}")
    configuration = {**configuration}
    for key in ("input_fields", "output_fields"):
        configuration[key] = _check_operator_fields(name, key, configuration.get(key) or [])
    try:
        _OPERATORS[operator](configuration)
    except ValueError as error:
        raise invalid(f"objects: the operator '{name}' is not valid: {error}") from error
    return configuration


def _check_operator_fields(name: str, key: str, fields: Any) -> list[dict[str, Any]]:
    form = f"objects: the {key} of the operator '{name}' must be a list of dictionaries with name and data_type"
    if not isinstance(fields, list):
        raise invalid(form)
    for field in fields:
        if not isinstance(field, dict) or not isinstance(field.get("name"), str):
            raise invalid(form)
        if field.get("data_type") not in _DATA_TYPES:
            raise invalid(f"{form}, which is one of {', '.join(_DATA_TYPES)}")
    check_names(fields, f"objects: the {key} of the operator '{name}'")
    return without_widgets(fields)


def _text(configuration: Configuration, key: str) -> str:
    text = configuration.get(key)
    if not isinstance(text, str) or not text:
        raise ValueError(f"its configuration needs {key}, a string")
    return text


def _check_function(configuration: Configuration) -> None:
    check_expression(_text(configuration, "expression"))
    if [field["name"] for field in configuration["output_fields"]] != ["output"]:
        raise ValueError("its output_fields must be one field, named output")


def _check_condition(configuration: Configuration) -> None:
    check_expression(_text(configuration, "expression"))
    inputs = _types(configuration["input_fields"])
    if not _types(configuration["output_fields"]).items() <= inputs.items():
        raise ValueError("its output_fields must be among its input_fields, which it passes on")


def _check_error(configuration: Configuration) -> None:
    _text(configuration, "error_message")
    if configuration["input_fields"] or configuration["output_fields"]:
        raise ValueError("it has no fields")


def _check_split(configuration: Configuration) -> None:
    _check_collect(configuration)
    size = configuration.setdefault("batch_size", None)
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ValueError(f"its batch_size must be a positive integer or null, not {size!r}")


def _check_collect(configuration: Configuration) -> None:
    if _types(configuration["input_fields"]) != _types(configuration["output_fields"]):
        raise ValueError("its input_fields and output_fields must be the same")


def _check_count(configuration: Configuration) -> None:
    if configuration["input_fields"]:
        raise ValueError("it has no input_fields")
    if list(_types(configuration["output_fields"]).values()) != ["int"]:
        raise ValueError("its output_fields must be one field of type int")


def _check_variables(configuration: Configuration) -> None:
    if configuration["input_fields"]:
        raise ValueError("it has no input_fields")
    pairs = configuration.get("output_values")
    if not isinstance(pairs, list) or not all(
        isinstance(pair, dict) and isinstance(pair.get("name"), str) and "value" in pair for pair in pairs
    ):
        raise ValueError("its configuration needs output_values, a list of dictionaries with name and value")
    values = {pair["name"]: pair["value"] for pair in pairs}
    check_data(values, "structured", configuration["output_fields"], "output")


_OPERATORS: dict[str, Callable[[Configuration], None]] = {
    "function": _check_function,
    "if-condition": _check_condition,
    "raise-error": _check_error,
    "one-to-many": _check_split,
    "many-to-one": _check_collect,
    "count-many": _check_count,
    "pipeline-variable": _check_variables,
}


def _types(fields: Fields) -> dict[str, str]:
    return {field["name"]: field["data_type"] for field in fields}


# Attachments


def set_attachments(version: PipelineVersion, attachments: list[dict[str, Any]]) -> None:
    """Replace the attachments of a version."""
    shapes = shapes_of(version)
    version.attachments = [_check_attachment(attachment, shapes) for attachment in attachments]
    graph: dict[str, set[str]] = {}
    for attachment in version.attachments:
        sources = {source["source_name"] for source in attachment["sources"]}
        graph.setdefault(attachment["destination_name"], set()).update(sources)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise invalid(f"attachments: they go in a circle: {' -> '.join(reversed(error.args[1]))}") from error


def _check_attachment(attachment: Mapping[str, Any], shapes: Mapping[str, Shape]) -> dict[str, Any]:
    name = attachment["destination_name"]
    destination = _end_of(name, "destination", START, shapes)
    if not attachment["sources"]:
        raise invalid(f"attachments: the attachment of '{name}' has no sources")
    sources: list[dict[str, Any]] = []
    fed: set[str] = set()
    for data in attachment["sources"]:
        source = data["source_name"]
        if source in (other["source_name"] for other in sources):
            raise invalid(f"attachments: the attachment of '{name}' has the source '{source}' more than once")
        mapping = data.get("mapping") or []
        _check_mapping(f"from '{source}' to '{name}'", _end_of(source, "source", END, shapes), destination, mapping)
        for pair in mapping:
            if pair["destination_field_name"] in fed:
                field = pair["destination_field_name"]
                raise invalid(f"attachments: the field '{field}' of '{name}' is fed more than once in one attachment")
            fed.add(pair["destination_field_name"])
        keys = ("source_field_name", "destination_field_name")
        sources.append({"source_name": source, "mapping": [{key: pair[key] for key in keys} for pair in mapping]})
    plain = [source for source in sources if shapes[source["source_name"]].output_type == "plain"]
    if destination.input_type == "plain" and len(plain) > 1:
        raise invalid(f"attachments: '{name}' takes plain data, and one of its attachments has several sources")
    return {"id": new_id(), "destination_name": name, "sources": sources}


def _end_of(name: str, what: str, impossible: str, shapes: Mapping[str, Shape]) -> Shape:
    if name == impossible:
        raise invalid(f"attachments: {name} can't be a {what}")
    if name not in shapes:
        raise invalid(f"attachments: there is no object '{name}' for the {what}; add it to objects")
    return shapes[name]


def _check_mapping(place: str, source: Shape, destination: Shape, mapping: list[dict[str, Any]]) -> None:
    if mapping and "plain" in (source.output_type, destination.input_type):
        raise invalid(f"attachments: plain data has no fields to map {place}; leave the mapping out")
    outputs, inputs = _types(source.output_fields), _types(destination.input_fields)
    for pair in mapping:
        given, taken = pair["source_field_name"], pair["destination_field_name"]
        if given not in outputs:
            raise invalid(f"attachments: {place}: the source has no field '{given}'")
        if taken not in inputs:
            raise invalid(f"attachments: {place}: the destination has no field '{taken}'")
        if outputs[given] != inputs[taken]:
            raise invalid(
                f"attachments: {place}: '{given}' is of type {outputs[given]} and '{taken}' of type {inputs[taken]}"
            )


def prune_attachments(version: PipelineVersion) -> None:
    """Remove what connects objects and fields that no longer exist, or whose types no longer match."""
    shapes = shapes_of(version)
    version.attachments = [
        {**attachment, "sources": [_pruned(source, shapes, attachment) for source in sources]}
        for attachment in version.attachments
        if attachment["destination_name"] in shapes
        and (sources := [source for source in attachment["sources"] if source["source_name"] in shapes])
    ]


def _pruned(source: Mapping[str, Any], shapes: Mapping[str, Shape], attachment: Mapping[str, Any]) -> dict[str, Any]:
    outputs = _types(shapes[source["source_name"]].output_fields)
    inputs = _types(shapes[attachment["destination_name"]].input_fields)
    mapping = [
        pair
        for pair in source["mapping"]
        if pair["source_field_name"] in outputs
        and outputs[pair["source_field_name"]] == inputs.get(pair["destination_field_name"])
    ]
    return {**source, "mapping": mapping}


def rename_field(version: PipelineVersion, names: Iterable[str], side: str, old: str, new: str) -> None:
    """Rename a field in the attachments.

    Args:
        version: The version whose attachments they are.
        names: Objects that have the field.
        side: ``input`` or ``output``, as seen from the objects.
        old: Its old name.
        new: Its new name.
    """
    objects, key = set(names), "source_field_name" if side == "output" else "destination_field_name"

    def follow(attachment: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
        name = source["source_name"] if side == "output" else attachment["destination_name"]
        if name not in objects:
            return source
        return {**source, "mapping": [{**pair, key: new} if pair[key] == old else pair for pair in source["mapping"]]}

    version.attachments = [
        {**attachment, "sources": [follow(attachment, source) for source in attachment["sources"]]}
        for attachment in version.attachments
    ]


# Views


def object_view(item: PipelineObject) -> dict[str, Any]:
    """An object in the form of the API."""
    shape = shape_of(item)
    reference = item.deployment or item.subpipeline
    version = item.version or item.subversion
    kind = "deployment" if item.deployment else "pipeline" if item.subpipeline else "operator"
    return {
        "id": item.id,
        "name": item.name,
        "reference_name": reference.name if reference is not None else item.operator,
        "reference_type": kind,
        "version": version.name if version is not None else None,
        "input_type": shape.input_type,
        "output_type": shape.output_type,
        "configuration": item.configuration,
        "input_fields": without_widgets(shape.input_fields),
        "output_fields": without_widgets(shape.output_fields),
    }
