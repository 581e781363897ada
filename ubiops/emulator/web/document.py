"""The API document as the emulator needs it: the operation that a request asks for, and what its arguments must be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from ubiops.emulator.errors import ApiError, invalid, not_found

_METHODS = {"get", "put", "post", "patch", "delete"}
_LARGEST_INTEGER = 2**63 - 1

Generation = tuple[int, int]
"""A version of the vendor's client, which stands for the service of its time."""

OLDEST: Generation = (3, 12)
GENERATIONS: dict[str, Generation] = {"3.12": OLDEST, "4.14": (4, 14), "4.15": (4, 15)}
_FIRST_OF_V2 = GENERATIONS["4.15"]
BASE_PATHS = ("v2.1", "v2")
"""What the paths of the API begin with: up to client 4.14, and since 4.15."""


def _undocumented(operation_id: str, *fields: str) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": operation_id, "responses": {"200": {}}}
    if fields:
        schema = {
            "type": "object",
            "required": [*fields],
            "properties": {name: {"type": "string", "minLength": 1} for name in fields},
        }
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _streams(kind: str) -> dict[str, Any]:
    """The paths that stream the updates of requests to deployments or pipelines."""
    data = {"application/json": {"schema": {}}, "text/plain": {"schema": {"type": "string"}}}
    operation = {
        "x-since": "4.6",
        "parameters": [{"name": "timeout", "in": "query", "schema": {"type": "integer"}}],
        "requestBody": {"content": data},
        "responses": {"200": {}},
    }
    place = f"/projects/{{project_name}}/{kind}s/{{{kind}_name}}"
    return {
        f"{place}/requests/stream": {"post": {"operationId": f"{kind}_requests_stream", **operation}},
        f"{place}/versions/{{version}}/requests/stream": {
            "post": {"operationId": f"{kind}_version_requests_stream", **operation}
        },
    }


_UNDOCUMENTED = {
    "/oauth/sign-in": {"post": _undocumented("oauth_sign_in", "email")},
    "/authorize": {"post": _undocumented("authorize", "email", "password")},
    "/projects/{project_name}/openai-compatible/v1/chat/completions": {
        "post": _undocumented("openai_chat_completions_create", "model")
    },
    "/projects/{project_name}/openai-compatible/v1/embeddings": {
        "post": _undocumented("openai_embeddings_create", "model")
    },
    "/projects/{project_name}/openai-compatible/v1/models": {"get": _undocumented("openai_models_list")},
    **_streams("deployment"),
    **_streams("pipeline"),
}
"""Operations that programs call but the document leaves out: signing in from a shell, and streamed requests."""


@dataclass(frozen=True)
class Parameter:
    """A parameter in the query or in a header.

    Attributes:
        name: Its name.
        argument: Name of the handler's argument.
        place: ``query`` or ``header``.
        required: Whether it must be given.
        type: ``string``, ``integer``, ``number`` or ``boolean``.
    """

    name: str
    argument: str
    place: str
    required: bool
    type: str

    def read(self, text: str | None) -> Any:
        """The value of its text; an empty text counts as missing.

        Raises:
            ApiError: 400: it is required but missing, or not of its type.
        """
        if not text:
            if self.required:
                raise invalid(f"The {self.place} parameter '{self.name}' is required")
            return None
        reader, form = _READERS[self.type]
        value = reader(text)
        if value is None:
            raise invalid(f"The {self.place} parameter '{self.name}' must be {form}, not '{text}'")
        return value


def _read_integer(text: str) -> int | None:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        return None
    value = int(text)
    return value if abs(value) <= _LARGEST_INTEGER else None


def _read_number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text) else None


def _read_boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "string": (str, "a string"),
    "integer": (_read_integer, "an integer"),
    "number": (_read_number, "a number"),
    "boolean": (_read_boolean, "true or false"),
}


class Body:
    """The body of an operation: JSON, text, or a form.

    Attributes:
        required (bool): Whether it must be sent.
        media_types (set[str]): The media types that are accepted.
    """

    def __init__(self, description: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        self.required: bool = description.get("required", False)
        self.media_types = set(description["content"])
        self._content = description["content"]
        self._components = components

    @property
    def form_fields(self) -> list[str]:
        """The names of the fields of a form."""
        return list(self._content["multipart/form-data"]["schema"]["properties"])

    @cached_property
    def _validator(self) -> Draft202012Validator:
        # Compiled on first use, together with the components that its references name.
        schema = self._content["application/json"]["schema"]
        return Draft202012Validator({**schema, "components": self._components})

    def check(self, data: Any) -> None:
        """Check a JSON body against its schema.

        Raises:
            ApiError: 400, with the field and what is wrong with it.
        """
        error = best_match(self._validator.iter_errors(data))
        if error is not None:
            raise invalid(_explain(error))


def _explain(error: ValidationError) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    message = error.message if len(error.message) <= 300 else error.message[:297] + "..."
    return f"{place.lstrip('.')}: {message}" if place else message


@dataclass(frozen=True)
class Operation:
    """An operation of the document.

    Attributes:
        id: Its name, which is also that of its handler.
        status: Status of its successful answer.
        path_names: Names of the arguments in its path, in order.
        query: Query parameters.
        headers: Parameters in headers.
        body: Its body, if it takes one.
        since: The first generation that has it.
        until: The last one; None if the newest has it.
    """

    id: str
    status: int
    path_names: list[str]
    query: list[Parameter]
    headers: list[Parameter]
    body: Body | None
    since: Generation = OLDEST
    until: Generation | None = None

    def is_at(self, base: str) -> bool:
        """Whether it is served below a base path: `v2.1` has those from before `v2`, and `v2` those that remain."""
        return self.until is None if base == "v2" else self.since < _FIRST_OF_V2

    def is_of(self, generation: Generation) -> bool:
        """Whether the service of a generation has it."""
        return self.since <= generation and (self.until is None or generation <= self.until)


class Document:
    """The operations of the API document, found by method and path."""

    def __init__(self) -> None:
        document = json.loads((resources.files("ubiops") / "openapi.json").read_text(encoding="utf-8"))
        self.operations: dict[str, Operation] = {}
        self._root = _Node()
        for path, item in (*_UNDOCUMENTED.items(), *document["paths"].items()):
            node = self._root.descend(path)
            for method in _METHODS & item.keys():
                operation = _operation(path, item[method], document["components"])
                self.operations[operation.id] = operation
                node.operations[method.upper()] = operation

    def find(
        self, method: str, raw_path: bytes, generation: Generation | None = None
    ) -> tuple[str, Operation, list[str]]:
        """The base path of a request, the operation that it asks for, and its path arguments, decoded.

        Args:
            method: Method of the request.
            raw_path: Its path, as received.
            generation: The only generation whose operations are served; None for those of all.

        Raises:
            ApiError: 404 for an unknown path, or one of another base path or generation; 405 for a known one with
                another method.
        """
        # Split before it is decoded: a slash in a name comes as %2F. A doubled slash in front is accepted.
        base, *parts = [unquote(part) for part in raw_path.decode("ascii", "replace").lstrip("/").split("/")]
        found = self._root.find(parts) if base in BASE_PATHS else None
        if found is None or not found[0].operations:
            paths = " or ".join(f"/{path}/" for path in BASE_PATHS)
            raise not_found(f"This path does not exist; the paths of the API begin with {paths}")
        node, arguments = found
        if method not in node.operations:
            raise ApiError(405, f"The method {method} is not allowed here; use {', '.join(sorted(node.operations))}")
        operation = node.operations[method]
        if not operation.is_at(base):
            other = next(path for path in BASE_PATHS if path != base)
            raise not_found(f"{operation.id} is not served at /{base}, but at /{other}")
        if generation is not None and not operation.is_of(generation):
            raise not_found(f"The service of the client {_written(generation)} has no {operation.id}")
        return base, operation, arguments


def _written(generation: Generation) -> str:
    return ".".join(map(str, generation))


def read_generation(text: str) -> Generation:
    """The generation that a version of the vendor's client stands for."""
    major, minor = text.split(".")
    return int(major), int(minor)


@cache
def load_document() -> Document:
    """The document, read once."""
    return Document()


class _Node:
    """A place in the tree of paths."""

    def __init__(self) -> None:
        self.operations: dict[str, Operation] = {}
        self._children: dict[str, _Node] = {}
        self._any: _Node | None = None

    def descend(self, path: str) -> _Node:
        """The node of a path template, created if it doesn't exist."""
        node = self
        for part in path.strip("/").split("/"):
            if part.startswith("{"):
                node._any = node._any or _Node()
                node = node._any
            else:
                node = node._children.setdefault(part, _Node())
        return node

    def find(self, parts: list[str]) -> tuple[_Node, list[str]] | None:
        """The node of a path, and the parts that stand for parameters."""
        node, arguments = self, []
        for part in parts:
            child = node._children.get(part)
            if child is None:
                if node._any is None or not part:
                    return None
                child = node._any
                arguments.append(part)
            node = child
        return node, arguments


def _operation(path: str, description: Mapping[str, Any], components: Mapping[str, Any]) -> Operation:
    body = description.get("requestBody")
    return Operation(
        description["operationId"],
        min(int(status) for status in description["responses"] if status.startswith("2")),
        re.findall(r"{(\w+)}", path),
        _parameters(description, "query"),
        _parameters(description, "header"),
        Body(body, components) if body else None,
        read_generation(description["x-since"]) if "x-since" in description else OLDEST,
        read_generation(description["x-until"]) if "x-until" in description else None,
    )


def _parameters(operation: Mapping[str, Any], place: str) -> list[Parameter]:
    return [
        Parameter(
            description["name"],
            description.get("x-python-name", description["name"]),
            place,
            description.get("required", False),
            description["schema"].get("type", "string"),
        )
        for description in operation.get("parameters", ())
        if description.get("in") == place
    ]
