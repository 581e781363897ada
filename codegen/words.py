"""The document in words, for docstrings and for the reference."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from codegen.document import Argument, Document, Field, Life, Operation, Schema
from codegen.layout import cell, flat, literal, scalar, sentence
from codegen.python import annotation, argument_annotation, names_in

STATUS_ERRORS = {
    400: "BadRequestError",
    401: "UnauthorizedError",
    403: "ForbiddenError",
    404: "NotFoundError",
    409: "ConflictError",
    413: "PayloadTooLargeError",
    422: "UnprocessableEntityError",
    429: "TooManyRequestsError",
}


def error_name(status: int) -> str:
    """The exception for a status."""
    return STATUS_ERRORS.get(status, "ServerError" if status >= 500 else "ApiException")


def entry(field: Field, notes: Iterable[str]) -> str:
    """The entry of an argument or attribute in a docstring."""
    brackets = ", ".join(notes)
    name = f"{field.name} ({brackets})" if brackets else field.name
    return f"{name}: {field.description}" if field.description else name


def field_facts(field: Field, schema: Schema) -> list[str]:
    """The facts about a field in a schema, except its type."""
    found = ["required"] if field.required else []
    found += ["nullable"] if field.nullable else []
    found += limits(field)
    if field.default is not None:
        # An update sends no default: the server set it when the object was created.
        found.append(f"{'initially' if schema.updates else 'default'} `{flat(literal(field.default))}`")
    return found


def limits(field: Field) -> list[str]:
    """The values that a schema allows, except those that the description names already."""
    given = dict(field.constraints)
    values = given.get("enum", [])
    named = all(f"`{value}`" in field.description for value in values)
    found = [] if named else [listing(map(scalar, values), "or")]
    found += _range(given.get("min_length"), given.get("max_length"), " characters")
    return found + _range(given.get("minimum"), given.get("maximum"), "")


def argument_facts(argument: Argument) -> list[str]:
    """The facts about an argument, except its type."""
    other_name = [f"or `{argument.alias}`"] if argument.alias else []
    return [*other_name, *limits(argument.value), *lifetime(argument.value.life)]


def lifetime(life: Life) -> list[str]:
    """The clients that have something; empty if all have it."""
    found = [f"since {life.since}"] if life.since else []
    found += [f"until {life.until}"] if life.until else []
    return found or (["deprecated"] if life.deprecated else [])


def clients(operation: Operation) -> str:
    """The clients that have an operation."""
    life = operation.life
    if life.until:
        return f"{life.since or '3.12'} to {life.until}"
    return f"{life.since or '3.12'} and newer"


def listing(values: Iterable[str], word: str) -> str:
    """Some code in a sentence, with a word before the last."""
    *most, last = [f"`{value}`" for value in values]
    return f"{', '.join(most)} {word} {last}" if most else last


def _range(least: float | None, most: float | None, unit: str) -> list[str]:
    if least is not None and most is not None:
        return [f"{least} to {most}{unit}"]
    if least is not None:
        return ["not empty" if unit and least == 1 else f"at least {least}{unit}"]
    return [f"at most {most}{unit}"] if most is not None else []


# The reference


def argument_type(argument: Argument, document: Document) -> str:
    """The type of an argument, and the values that it may have."""
    type = argument_annotation(argument).removesuffix(" | None")
    required = ["required"] if argument.required else []
    return cell(", ".join([_linked(type, document, "models/"), *required, *argument_facts(argument)]))


def field_type(field: Field, schema: Schema, document: Document) -> str:
    """The type of a field, and the values that it may have."""
    return cell(", ".join([_linked(annotation(field.type), document), *field_facts(field, schema)]))


def returned(operation: Operation, document: Document) -> str:
    """What a method returns."""
    if not operation.returns:
        return "`None`."
    return sentence([f"{_linked(annotation(operation.returns), document, 'models/')}: {operation.returned}"])


def as_json(value: Any) -> str:
    """An example as JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _linked(type: str, document: Document, folder: str = "") -> str:
    model = next((schema.name for schema in document.schemas if schema.name in names_in([type])), None)
    return f"[`{type}`]({folder}{model}.md)" if model else f"`{type}`"
