"""The generated methods and models are what the document says."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import ubiops
from test.codegen.document import OPERATIONS, SCHEMAS, resolved
from test.document import DOCUMENT
from test.each import each
from ubiops.model import Model
from ubiops.operation import Operation

TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
FORMATS = {"date": "date", "date-time": "datetime", "binary": "file"}


def type_of(schema: dict[str, Any]) -> str:
    if "x-python-type" in schema:
        return str(schema["x-python-type"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "oneOf" in schema:
        return " | ".join(type_of(form) for form in schema["oneOf"] if form != {"type": "null"})
    kind = schema.get("type")
    kind = next(one for one in kind if one != "null") if isinstance(kind, list) else kind
    if kind == "array":
        return f"list[{type_of(schema['items'])}]"
    if kind == "object":
        values = schema["additionalProperties"]
        return f"dict(str, {'object' if values is True else type_of(values)})"
    return FORMATS.get(schema.get("format", "")) or TYPES.get(kind or "", "object")


def parameters(operation: dict[str, Any]) -> dict[str, tuple[str, str, bool]]:
    """Kind, type and whether it is required, by name."""
    found = {}
    for parameter in map(resolved, operation.get("parameters", [])):
        name = parameter.get("x-python-name", parameter["name"])
        found[name] = (parameter["in"], type_of(parameter["schema"]), parameter.get("required", False))
    body = operation.get("requestBody", {})
    for media, content in body.get("content", {}).items():
        if media == "application/json":
            found["data"] = ("body", type_of(content["schema"]), body.get("required", False))
        elif media == "multipart/form-data":
            for name, schema in content["schema"]["properties"].items():
                kind = "file" if type_of(schema) == "file" else "form"
                found[name] = (kind, type_of(schema), name in content["schema"].get("required", []))
    return found


def declaration(name: str) -> Operation:
    found: Operation = getattr(ubiops.CoreApi, name).operation
    return found


@each("name", OPERATIONS)
def test_a_method_is_what_the_document_says(name: str) -> None:
    path, method, operation = OPERATIONS[name]
    declared = declaration(name)
    assert (declared.name, declared.method, declared.path) == (name, method.upper(), path)
    order = operation.get("x-arguments", [])
    said = parameters(operation)
    assert [
        (parameter.name, type(parameter).__name__.lower(), parameter.spec.type, parameter.required)
        for parameter in declared.parameters
    ] == [(name, *said[name]) for name in order]
    for function in (getattr(ubiops.CoreApi, name), getattr(ubiops.CoreApi, f"{name}_with_http_info")):
        taken = list(inspect.signature(function).parameters.values())
        assert [parameter.name for parameter in taken] == ["self", *order, "options"]
        assert all(parameter.default is None for parameter in taken[1:-1] if not said[parameter.name][2])
    status = next(status for status in operation["responses"] if status.startswith("2"))
    content = operation["responses"][status].get("content", {})
    returned = [type_of(media["schema"]) for media in content.values()]
    assert declared.returns == (returned[0] if returned else None)


def test_every_method_is_in_the_document() -> None:
    made = {name for name in dir(ubiops.CoreApi) if hasattr(getattr(ubiops.CoreApi, name), "operation")}
    assert made == {*OPERATIONS, *(f"{name}_with_http_info" for name in OPERATIONS)}


@each("name", SCHEMAS)
def test_a_model_is_what_the_document_says(name: str) -> None:
    model, schema = getattr(ubiops.models, name), SCHEMAS[name]
    assert issubclass(model, Model)
    assert model.openapi_types == {field: type_of(value) for field, value in schema["properties"].items()}
    assert list(model.openapi_types) == list(schema["properties"])
    updates = any(type_of(body) == name for body in bodies("patch"))
    for field, value in schema["properties"].items():
        spec = model.fields[field]
        assert spec.required == (field in schema.get("required", []))
        assert spec.nullable == (
            "null" in value.get("type", [])
            or {"type": "null"} in value.get("oneOf", [])
            or value.get("x-nullable", False)
        )
        assert spec.default == (None if updates else value.get("default"))
        assert list(spec.enum or []) == value.get("enum", [])
        said = [value.get(key) for key in ("minLength", "maxLength", "minimum", "maximum")]
        assert [spec.min_length, spec.max_length, spec.minimum, spec.maximum] == said


def bodies(method: str) -> Iterator[dict[str, Any]]:
    for item in DOCUMENT["paths"].values():
        content = item.get(method, {}).get("requestBody", {}).get("content", {})
        if "application/json" in content:
            yield content["application/json"]["schema"]


def test_there_is_a_model_for_each_schema_and_no_other() -> None:
    assert set(ubiops.models.__all__) == set(SCHEMAS)
    assert all(ubiops.models.__dict__["_MODULES"][name].startswith("ubiops.models.") for name in SCHEMAS)


def test_what_the_server_returned_can_be_passed_on() -> None:
    with_more = {name for name, schema in SCHEMAS.items() if schema.get("x-read-schemas")}
    assert with_more
    for name in with_more:
        fields = {field for other in SCHEMAS[name]["x-read-schemas"] for field in SCHEMAS[other]["properties"]}
        assert getattr(ubiops.models, name)._read_only == fields - set(SCHEMAS[name]["properties"])
