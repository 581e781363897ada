"""The OpenAI-compatible path: deployments and pipelines as models for programs written for OpenAI."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from starlette.responses import Response

from ubiops.emulator.context import Context
from ubiops.emulator.errors import ApiError, invalid, not_found
from ubiops.emulator.execution.updates import Follower
from ubiops.emulator.handlers import pipeline_requests, requests
from ubiops.emulator.handlers.event_stream import Events
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.model_names import ModelName, parse_model_name
from ubiops.emulator.tables import Deployment, Pipeline, PipelineVersion, Version

_COMPATIBLE, _MODELS = "openai-compatible", "openai-model-names"
"""Labels of the versions that are listed, and of the names of their models, separated by semicolons."""

Answer = dict[str, Any]


async def openai_chat_completions_create(context: Context, project_name: str, data: dict[str, Any]) -> Response:
    return await _ask(context, project_name, data)


async def openai_embeddings_create(context: Context, project_name: str, data: dict[str, Any]) -> Response:
    return await _ask(context, project_name, data)


def openai_models_list(context: Context, project_name: str) -> dict[str, Any]:
    project = find_project(context, project_name)
    deployed = select(Version).join(Version.deployment).where(Deployment.project_id == project.id)
    piped = select(PipelineVersion).join(PipelineVersion.pipeline).where(Pipeline.project_id == project.id)
    models = [
        *(
            _model("deployment", version.deployment.name, version, model)
            for version in context.session.scalars(deployed.order_by(Version.creation_date))
            for model in _names(version.labels)
        ),
        *(
            _model("pipeline", version.pipeline.name, version, model)
            for version in context.session.scalars(piped.order_by(PipelineVersion.creation_date))
            for model in _names(version.labels)
        ),
    ]
    return {"object": "list", "data": models}


def _names(labels: dict[str, str]) -> list[str]:
    if labels.get(_COMPATIBLE) != "true":
        return []
    return [name.strip() for name in labels.get(_MODELS, "").split(";") if name.strip()]


def _model(kind: str, name: str, version: Version | PipelineVersion, model: str) -> dict[str, Any]:
    return {
        "id": str(ModelName(kind, name, version.name, model)),
        "object": "model",
        "created": int(datetime.fromisoformat(version.creation_date).timestamp()),
        "owned_by": "ubiops",
    }


async def _ask(context: Context, project_name: str, data: dict[str, Any]) -> Response:
    """Make a request from a body, which the code gets unchanged: as JSON text, since its input is plain."""
    name = parse_model_name(data["model"])
    if name is None:
        raise not_found(
            f"model: there is no '{data['model']}'; it must be of the form ubiops-deployment/name/version/model, where"
            " the version may be empty"
        )
    updates, answer = _start(context, project_name, name, json.dumps(data))
    if data.get("stream") is not True:
        with updates:
            async for _ in updates:
                pass
        return Response(_result(answer()), media_type="application/json")
    first = await anext(updates, None)
    if first is None:
        # A request that failed before its first update is answered with a status.
        _result(answer(), streamed=True)
    return Events(_events(first, updates, answer))


def _start(context: Context, project_name: str, name: ModelName, text: str) -> tuple[Follower, Callable[[], Answer]]:
    """Make the request; returns its updates, and a function for its outcome once they have ended."""
    if name.kind == "deployment":
        version = requests.find_target(context, project_name, name.name, name.version)
        request_id, done = requests.start_request(context, version, text, None)
        return context.engine.updates.follow(request_id, done), lambda: requests.direct_answer(
            version, request_id, done.result()
        )
    piped = pipeline_requests.find_target(context, project_name, name.name, name.version)
    request, ended = pipeline_requests.start_request(context, piped, text, "timeout", None)
    return context.engine.updates.follow(request["id"], ended), lambda: pipeline_requests.direct_answer(
        request, ended.result()
    )


async def _events(first: str | None, updates: Follower, answer: Callable[[], Answer]) -> AsyncIterator[bytes]:
    """The updates in the form of OpenAI, followed by its end marker."""
    with updates:
        if first is not None:
            yield _event(first)
        async for text in updates:
            yield _event(text)
    try:
        _result(answer(), streamed=True)
    except ApiError as error:
        yield _event(json.dumps({"error": {"message": error.message}}))
    else:
        yield _event("[DONE]")


def _event(text: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"{lines}\n".encode(errors="replace")


def _result(answer: Answer, *, streamed: bool = False) -> str:
    """The text that the code returned.

    Raises:
        ApiError: 400: the code failed; 502: the text isn't JSON.
    """
    if not answer["success"]:
        raise invalid(answer["error_message"])
    text: str = answer["result"]
    if not streamed:
        try:
            json.loads(text)
        except (TypeError, ValueError) as error:
            raise ApiError(502, f"The output must be JSON text: {error}") from error
    return text
