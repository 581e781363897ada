"""The inputs and outputs of the objects of a pipeline version, which attachments connect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ubiops.emulator.tables import PipelineObject, PipelineVersion

START, END = "pipeline_start", "pipeline_end"

Fields = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Shape:
    """The input and the output of an object.

    Attributes:
        input_type: ``structured`` or ``plain``; None without input, as for the start.
        input_fields: Its input fields, with name and data type.
        output_type: As ``input_type``; None without output, as for the end.
        output_fields: Its output fields.
    """

    input_type: str | None
    input_fields: Fields
    output_type: str | None
    output_fields: Fields


def shapes_of(version: PipelineVersion) -> dict[str, Shape]:
    """The shapes of all objects of a version, and of its start and end, by name."""
    pipeline = version.pipeline
    return {
        START: Shape(None, [], pipeline.input_type, pipeline.input_fields),
        END: Shape(pipeline.output_type, pipeline.output_fields, None, []),
        **{item.name: shape_of(item) for item in version.objects},
    }


def shape_of(item: PipelineObject) -> Shape:
    """The shape of an object."""
    if item.operator is not None:
        inputs, outputs = item.configuration["input_fields"], item.configuration["output_fields"]
        # An operator that only passes data on takes plain data too, which has no fields.
        plain = item.operator in ("one-to-many", "many-to-one") and not inputs
        kind = "plain" if plain else "structured"
        return Shape(kind, inputs, kind, outputs)
    reference = item.deployment or item.subpipeline
    assert reference is not None
    return Shape(reference.input_type, reference.input_fields, reference.output_type, reference.output_fields)
