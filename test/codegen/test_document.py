"""The document itself: valid, whole, described, with examples that its own schemas accept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
from openapi_spec_validator import validate

from test.document import DOCUMENT
from test.each import each

OPERATIONS = {
    operation["operationId"]: operation for methods in DOCUMENT["paths"].values() for operation in methods.values()
}
SCHEMAS = DOCUMENT["components"]["schemas"]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    if reference is None:
        return node
    target: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        target = target[part]
    return target


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for response in operation["responses"].values():
        yield from resolved(response).get("content", {}).values()


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_it_holds_every_operation_and_schema() -> None:
    assert (len(OPERATIONS), len(SCHEMAS)) == (267, 204)


@each("name", sorted(OPERATIONS))
def test_an_operation_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["description"]
    for parameter in map(resolved, operation.get("parameters", [])):
        assert parameter["description"], parameter["name"]


@each("name", sorted(OPERATIONS))
def test_an_operation_has_an_example(name: str) -> None:
    operation = OPERATIONS[name]
    for parameter in map(resolved, operation.get("parameters", [])):
        if parameter.get("required"):
            assert "example" in parameter, parameter["name"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    assert body is None or "example" in body
    success = next(response for status, response in operation["responses"].items() if status.startswith("2"))
    answer = success.get("content", {}).get("application/json")
    assert answer is None or "example" in answer


@each("name", sorted(OPERATIONS))
def test_the_examples_are_valid(name: str) -> None:
    operation = OPERATIONS[name]
    for parameter in map(resolved, operation.get("parameters", [])):
        if "example" in parameter:
            validator(parameter["schema"]).validate(parameter["example"])
    for content in contents(operation):
        if "example" in content:
            validator(content["schema"]).validate(content["example"])


@each("name", sorted(OPERATIONS))
def test_the_arguments_are_what_the_request_carries(name: str) -> None:
    operation = OPERATIONS[name]
    carried = [p.get("x-python-name", p["name"]) for p in map(resolved, operation.get("parameters", []))]
    body = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in body:
        carried += body["multipart/form-data"]["schema"]["properties"]
    elif body:
        carried.append("data")
    assert sorted(operation["x-arguments"]) == sorted(carried)


@each("name", sorted(SCHEMAS))
def test_a_schema_and_its_fields_are_described(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["description"]
    assert set(schema.get("required", [])) <= set(schema["properties"])
    for field, value in schema["properties"].items():
        assert value.get("description"), field
