"""The API's document as the wire tests read it: by themselves, so that no expectation comes from the client's code."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from dateutil.parser import isoparse

from test.document import document

UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Argument(NamedTuple):
    """An argument of a method; `place` is path, query, header, body, form or file."""

    name: str
    wire_name: str
    place: str
    schema: Mapping[str, Any]
    required: bool
    example: Any
    alias: str | None = None


class Case(NamedTuple):
    """An operation: what goes out and what comes back."""

    name: str
    method: str
    path: str
    arguments: tuple[Argument, ...]
    content_type: str | None
    text_when_str: bool
    status: int
    answer: Mapping[str, Any] | None
    example: Any
    file_result: bool
    server_timeout: tuple[str, int] | None

    @property
    def body(self) -> Argument | None:
        return next((argument for argument in self.arguments if argument.place == "body"), None)

    @property
    def required(self) -> tuple[Argument, ...]:
        return tuple(argument for argument in self.arguments if argument.required)

    @property
    def updates(self) -> bool:
        return self.method == "PATCH"


@cache
def schemas() -> dict[str, dict[str, Any]]:
    return document()["components"]["schemas"]


@cache
def cases() -> dict[str, Case]:
    return {case.name: case for case in _cases()}


def _cases() -> Iterator[Case]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            body = operation.get("requestBody")
            status, answer = next((s, a) for s, a in operation["responses"].items() if s.startswith("2"))
            content = answer.get("content", {}).get("application/json", {})
            timeout = operation.get("x-server-timeout")
            by_name = {argument.name: argument for argument in _arguments(operation)}
            yield Case(
                name=operation["operationId"],
                method=method.upper(),
                path=path,
                arguments=tuple(by_name[name] for name in operation["x-arguments"]),
                content_type=next(iter(body["content"])) if body else None,
                text_when_str=bool(body and body.get("x-text-when-str")),
                status=int(status),
                # Of an operation with forms, that of the one that needs no more arguments.
                answer=content["schema"]["oneOf"][-1] if "x-forms" in operation else content.get("schema"),
                example=content.get("example"),
                file_result=operation.get("x-file-result", False),
                server_timeout=(timeout["parameter"], timeout["default"]) if timeout else None,
            )


def _arguments(operation: Mapping[str, Any]) -> Iterator[Argument]:
    for given in operation.get("parameters", []):
        parameter = _resolved(given)
        yield Argument(
            name=parameter.get("x-python-name", parameter["name"]),
            wire_name=parameter["name"],
            place=parameter["in"],
            schema=parameter["schema"],
            required=parameter.get("required", False),
            example=parameter.get("example"),
            alias=parameter.get("x-alias"),
        )
    body = operation.get("requestBody")
    if body is None:
        return
    ((media_type, content),) = list(body["content"].items())[:1]
    if media_type == "application/json":
        yield Argument("data", "data", "body", content["schema"], body["required"], content.get("example"))
        return
    form = content["schema"]
    for name, schema in form["properties"].items():
        place = "file" if schema.get("format") == "binary" else "form"
        yield Argument(name, name, place, schema, name in form.get("required", ()), schema.get("example"))


def _resolved(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in given:
        return given
    return document()["components"]["parameters"][given["$ref"].rpartition("/")[2]]


# Schemas


def schema_name(schema: Mapping[str, Any]) -> str | None:
    """The name of a schema that stands in components; None for any other."""
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else None


def kind(schema: Mapping[str, Any]) -> str:
    """``model``, ``free`` or a type of JSON Schema; what may be null is told by `nullable`."""
    if "$ref" in schema:
        return "model"
    given = schema.get("type", "free")
    return given if isinstance(given, str) else next(name for name in given if name != "null")


def nullable(schema: Mapping[str, Any]) -> bool:
    return "null" in schema.get("type", ()) or schema.get("x-nullable", False)


def reachable(schema: Mapping[str, Any] | None) -> set[str]:
    """The names of the schemas that values of this one can hold, at any depth, its own included."""
    names: set[str] = set()
    new = set(re.findall(r"#/components/schemas/(\w+)", str(schema)))
    while new:
        names |= new
        new = {name for known in new for name in re.findall(r"#/components/schemas/(\w+)", str(schemas()[known]))}
        new -= names
    return names


# Values


def sample(schema: Mapping[str, Any], turn: int = 0, *, full: bool = True) -> Any:
    """A valid value, as JSON has it, with every field, or with the required ones alone.

    Args:
        schema: The schema.
        turn: Varies the values: another turn picks other members of an enum, other texts, numbers and booleans.
        full: Whether fields that aren't required are filled in.
    """
    if "oneOf" in schema:
        return sample(schema["oneOf"][turn % len(schema["oneOf"])], turn, full=full)
    name = schema_name(schema)
    if name is not None:
        fields = schemas()[name]["properties"].items()
        # What another field makes optional is due where that one is left out.
        due = {field for field, given in fields if "x-required-unless" in given}
        due.update(schemas()[name].get("required", ()))
        # Of fields that exclude each other, the first.
        excluded = schemas()[name].get("x-excludes", [])[1:]
        return {
            field: sample(given, turn + index, full=full)
            for index, (field, given) in enumerate(fields)
            if (full or field in due) and field not in excluded
        }
    if "enum" in schema:
        return schema["enum"][turn % len(schema["enum"])]
    if kind(schema) == "object":
        values = schema.get("x-python-type", schema.get("additionalProperties"))
        texts = values in ("dict(str, str)", {"type": "string"})
        return {"région": "größe"} if texts else {"deep": [{"er": None}], "": 1.5}
    if kind(schema) == "array":
        return [sample(schema["items"], turn, full=full), sample(schema["items"], turn + 1, full=full)]
    if kind(schema) == "string":
        return _sample_text(schema, turn)
    if schema.get("x-python-type") == "list[object]":
        return [{"x": turn, "list": [None, "é"]}, "text", 3]
    simple = {"integer": 7 + turn, "number": 0.5 + turn, "boolean": turn % 2 == 0}
    return simple.get(kind(schema), {"any": ["thing", None, {"nested": turn}], "ключ": "\U0001f600"})


def _sample_text(schema: Mapping[str, Any], turn: int) -> str:
    if schema.get("format") == "date-time":
        zones = ("+00:00", "Z", "-05:30")
        return f"2022-11-{turn % 28 + 1:02}T09:30:12.421{zones[turn % len(zones)]}"
    if schema.get("format") == "date":
        return f"2023-02-{turn % 28 + 1:02}"
    return f"v€rt-{turn}"[: schema.get("maxLength")].ljust(schema.get("minLength", 0), "x")


def sent(schema: Mapping[str, Any], value: Any, *, updates: bool = False) -> Any:
    """What goes over the wire for a body: the value, and in what creates the defaults of the fields left out."""
    name = schema_name(schema)
    if name is not None:
        fields = schemas()[name]["properties"]
        defaults = {field: given["default"] for field, given in fields.items() if "default" in given and not updates}
        whole = {**defaults, **{field: sent(fields[field], item) for field, item in value.items()}}
        if any("x-since" in fields[field] for field in value):
            withheld = {field for field in defaults if "x-withheld" in fields[field]}
            return {field: item for field, item in whole.items() if field not in withheld or field in value}
        return whole
    if kind(schema) == "array":
        return [sent(schema["items"], item) for item in value]
    return value


def same(schema: Mapping[str, Any], value: Any, wire: Any) -> bool:
    """Whether a value that the client gave is what stands on the wire: models by class, times as datetimes."""
    if "oneOf" in schema:
        return any(same(one, value, wire) for one in schema["oneOf"])
    name = schema_name(schema)
    if name is not None and isinstance(wire, dict):
        fields = schemas()[name]["properties"]
        unknown = {field: item for field, item in wire.items() if field not in fields}
        return (
            type(value).__name__ == name
            and dict(value.additional_properties) == unknown
            and all(same(given, getattr(value, field), wire.get(field)) for field, given in fields.items())
        )
    if kind(schema) == "array" and isinstance(wire, list):
        return (
            isinstance(value, list)
            and len(value) == len(wire)
            and all(same(schema["items"], one, other) for one, other in zip(value, wire, strict=True))
        )
    if schema.get("format") == "date-time" and wire is not None:
        return type(value) is datetime.datetime and value.isoformat() == isoparse(wire).isoformat()
    if schema.get("format") == "date" and wire is not None:
        return type(value) is datetime.date and value.isoformat() == wire
    if kind(schema) == "number" and wire is not None:
        return type(value) is float and value == wire
    return type(value) is type(wire) and value == wire


def encoded(text: str) -> str:
    """A text percent-encoded whole, as RFC 3986 has it: all but the unreserved characters."""
    return "".join(chr(byte) if chr(byte) in UNRESERVED else f"%{byte:02X}" for byte in text.encode())
