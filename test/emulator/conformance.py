"""Checks every response of the emulator against the API document, and by what the newest client asks of answers."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator, Registry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from test.document import DOCUMENT
from test.emulator.newest import problems_of
from ubiops.emulator.errors import ApiError
from ubiops.emulator.web.document import load_document

_DOCUMENT = "urn:document"
_ITEMS = 40
"""How many items of a list are looked at, the first and the last among them: all are made by the same code."""

# What the document declares as the older client did, though the service sends more, as its reference shows.
_NULLABLE = ["string", "null"]
_OF_VERSIONS = {
    "active_revision": _NULLABLE,
    "latest_build": _NULLABLE,
    "latest_revision": _NULLABLE,
    "monitoring": _NULLABLE,
    "default_notification_group": _NULLABLE,
}
_OF_PIPELINE_VERSIONS = {"monitoring": _NULLABLE, "default_notification_group": _NULLABLE}
_SENT_OTHERWISE: dict[str, dict[str, list[str]]] = {
    "DeploymentVersionList": _OF_VERSIONS,
    "DeploymentVersionDetail": {**_OF_VERSIONS, "last_file_upload": _NULLABLE},
    "RoleDetailList": {"default": ["boolean"], "permissions": ["array"]},
    "RoleList": {"default": ["boolean"]},
    "ServiceUserList": {"allowed_cors_origins": ["array"]},
    "ServiceUserTokenDetail": {"allowed_cors_origins": ["array"]},
    "PipelineVersionList": _OF_PIPELINE_VERSIONS,
    "PipelineVersionDetail": _OF_PIPELINE_VERSIONS,
    "ProjectDetail": {"suspended": ["boolean"], "suspended_reason": _NULLABLE},
}


@cache
def answered_document() -> dict[str, Any]:
    """The API document, with what the service sends."""
    document: dict[str, Any] = copy.deepcopy(DOCUMENT)
    schemas = document["components"]["schemas"]
    for schema, properties in _SENT_OTHERWISE.items():
        for name, types in properties.items():
            schemas[schema]["properties"][name]["type"] = types
    # The older client asked for one character at least; the reference allows an empty value.
    del schemas["InheritedEnvironmentVariableList"]["properties"]["value"]["minLength"]
    return document


class Conformance:
    """An ASGI application in front of another.

    Attributes:
        problems: What the document doesn't allow, since the list was last cleared.
        operations: The operations that answered with success.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.problems: list[str] = []
        self.operations: set[str] = set()
        self._app = app
        self._finder = load_document()
        document = answered_document()
        self._schemas = Registry([(_DOCUMENT, {"components": document["components"]})])
        self._responses = {
            operation["operationId"]: operation["responses"]
            for item in document["paths"].values()
            for operation in item.values()
        }
        self._validators: dict[tuple[str, int], Draft202012Validator] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, body = 0, bytearray()

        async def record(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            body.extend(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # Before the last of it is sent, so that a test that has its answer sees the problems too.
                self._check(scope, status, bytes(body))
            await send(message)

        await self._app(scope, receive, record if scope["type"] == "http" else send)

    def _check(self, scope: Scope, status: int, body: bytes) -> None:
        if b"A fault that was set at /_emulator/faults" in body:
            return
        try:
            base, operation, _ = self._finder.find(scope["method"], scope["raw_path"])
        except ApiError:
            return
        if operation.id not in self._responses:
            # Beyond the document.
            return
        if status < 300:
            self.operations.add(operation.id)
            if self._answers_json(operation.id, status):
                self.problems += problems_of(operation.id, base, _sample(json.loads(body)))
        problem = self._problem(operation.id, status, body)
        if problem:
            self.problems.append(f"{operation.id} answered {status} {body[:200]!r}: {problem}")

    def _answers_json(self, operation_id: str, status: int) -> bool:
        return "application/json" in self._responses[operation_id].get(str(status), {}).get("content", {})

    def _problem(self, operation_id: str, status: int, body: bytes) -> str | None:
        if status >= 500:
            return "the emulator failed"
        response = self._responses[operation_id].get(str(status)) or {}
        content = response.get("content", {})
        if status >= 400:
            schema: dict[str, Any] = {
                "required": ["error"],
                "properties": {"error": {"type": "string", "minLength": 1}},
            }
            if status == 400 and operation_id.endswith("requests_create"):
                schema = {"anyOf": [schema, {"$ref": "#/components/schemas/DeploymentRequestCreateResponse"}]}
        elif str(status) not in self._responses[operation_id]:
            return "the document has no such status"
        elif "application/json" not in content:
            return "a body where there should be none" if body and not content else None
        else:
            schema = content["application/json"]["schema"]
        errors = self._validator(operation_id, status, schema).iter_errors(_sample(json.loads(body)))
        return "; ".join(f"{error.instance_path}: {error.message}" for error in errors) or None

    def _validator(self, operation_id: str, status: int, schema: dict[str, Any]) -> Draft202012Validator:
        key = operation_id, status
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(_absolute(schema), registry=self._schemas)
        return self._validators[key]


def _absolute(schema: Any) -> Any:
    """A schema of the document that can stand outside of it."""
    if isinstance(schema, dict):
        return {key: _DOCUMENT + value if key == "$ref" else _absolute(value) for key, value in schema.items()}
    return [_absolute(item) for item in schema] if isinstance(schema, list) else schema


def _sample(answer: Any) -> Any:
    """An answer with no more than some items of a list."""
    if isinstance(answer, list) and len(answer) > _ITEMS:
        step = (len(answer) - 1) / (_ITEMS - 1)
        return [answer[round(index * step)] for index in range(_ITEMS)]
    return answer
