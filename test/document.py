"""The document of the API as the tests read it, once for all: no expectation comes from the client's own code."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


# Made of the YAML, which takes ten times longer.
DOCUMENT: dict[str, Any] = json.loads((ROOT / "ubiops" / "openapi.json").read_text(encoding="utf-8"))


@cache
def document() -> dict[str, Any]:
    """The document, where a field that is another schema or null is that schema, with `x-nullable`."""
    root = copy.deepcopy(DOCUMENT)
    for schema in root["components"]["schemas"].values():
        for value in schema["properties"].values():
            if "oneOf" in value:
                value.update(value.pop("oneOf")[0], **{"x-nullable": True})
    return root
