"""The project's document, read without the generator's help."""

from __future__ import annotations

from typing import Any

from test.document import DOCUMENT

SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    operation["operationId"]: (path, method, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}


def resolved(given: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to, or what was given."""
    if "$ref" not in given:
        return given
    *_, section, name = given["$ref"].split("/")
    found: dict[str, Any] = DOCUMENT["components"][section][name]
    return found
