"""The schemas of the API document, read without any code of the client: what tests of all models compare with."""

from __future__ import annotations

from typing import Any

from test.document import document

_JSON = "application/json"


def schemas() -> dict[str, Any]:
    return document()["components"]["schemas"]


def properties(name: str) -> dict[str, Any]:
    return schemas()[name]["properties"]


def bodies(method: str) -> set[str]:
    """The names of the schemas that requests with this HTTP method carry."""
    return {
        operation["requestBody"]["content"][_JSON]["schema"]["$ref"].rpartition("/")[2]
        for path in document()["paths"].values()
        for key, operation in path.items()
        if key == method
        and "$ref" in operation.get("requestBody", {}).get("content", {}).get(_JSON, {}).get("schema", {})
    }


def is_nullable(schema: dict[str, Any]) -> bool:
    return "null" in schema.get("type", ()) or schema.get("x-nullable", False)


def filled(name: str) -> dict[str, Any]:
    """An object with a valid value in every field, as JSON carries it."""
    # Of fields that exclude each other, the first.
    excluded = schemas()[name].get("x-excludes", [])[1:]
    return {key: value(schema) for key, schema in properties(name).items() if key not in excluded}


def value(schema: dict[str, Any]) -> Any:
    """A value that the schema allows."""
    if "$ref" in schema:
        return filled(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return schema["enum"][-1]
    kinds = schema.get("type", "any")
    kind = kinds if isinstance(kinds, str) else next(kind for kind in kinds if kind != "null")
    if kind == "string":
        return {
            None: "x" * max(schema.get("minLength", 0), 3),
            "date": "2022-11-03",
            "date-time": "2022-11-03T09:30:12.421000+00:00",
        }[schema.get("format")]
    if kind == "array":
        return [value(schema["items"]), value(schema["items"])]
    return {
        "integer": schema.get("minimum", 0) + 7,
        "number": schema.get("minimum", 0) + 2.5,
        "boolean": True,
        "object": {"key": "value"},
        "any": {"deep": [1, None, {"x": "y"}]},
    }[kind]
