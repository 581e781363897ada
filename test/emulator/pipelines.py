"""Pipelines in a few lines: objects, what connects them, and the tables that their tests share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from test.emulator.project import TestProject, wait_until

X = [{"name": "x", "data_type": "double"}]
Y = [{"name": "y", "data_type": "double"}]


def deployment(name: str, reference: str = "model", version: str | None = None) -> dict[str, Any]:
    return {"name": name, "reference_name": reference, "version": version}


def operator(name: str, kind: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "reference_name": kind, "reference_type": "operator", "configuration": configuration}


def attach(destination: str, sources: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """An attachment: for each source, which of its fields becomes which of the destination."""
    return {
        "destination_name": destination,
        "sources": [
            {
                "source_name": source,
                "mapping": [
                    {"source_field_name": given, "destination_field_name": taken} for given, taken in fields.items()
                ],
            }
            for source, fields in sources.items()
        ],
    }


def make_pipeline(
    project: TestProject,
    objects: Sequence[dict[str, Any]] = (),
    attachments: Sequence[dict[str, Any]] = (),
    *,
    name: str = "line",
    version: str = "v1",
    settings: Mapping[str, Any] | None = None,
    **shape: Any,
) -> Any:
    """A pipeline from ``x`` to ``y``, unless the shape says otherwise, with one version; gives the version."""
    data = {
        "name": name,
        "input_type": "structured",
        "input_fields": X,
        "output_type": "structured",
        "output_fields": Y,
        **shape,
    }
    project.api.pipelines_create(project.name, data)
    body = {"version": version, "objects": [*objects], "attachments": [*attachments], **(settings or {})}
    return project.api.pipeline_versions_create(project.name, name, body)


def make_line(project: TestProject, **options: Any) -> Any:
    """A pipeline that runs the deployment ``model`` once."""
    return make_pipeline(
        project,
        [deployment("double")],
        [attach("double", {"pipeline_start": {"x": "x"}}), attach("pipeline_end", {"double": {"y": "y"}})],
        **options,
    )


def run(project: TestProject, data: Any, name: str = "line", **options: Any) -> Any:
    return project.api.pipeline_requests_create(project.name, name, data, **options)


def finished(project: TestProject, ids: list[str], name: str = "line") -> dict[str, Any]:
    """Pipeline requests by their ids, when all have ended."""
    requests = wait_until(
        lambda: project.api.pipeline_requests_batch_get(project.name, name, ids),
        lambda requests: all(request.time_completed is not None for request in requests),
    )
    return {request.id: request for request in requests}
