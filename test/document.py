"""The document of the API as the tests read it, once for all: no expectation comes from the client's own code."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without dates: the examples hold them as JSON does."""


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str)

DOCUMENT: dict[str, Any] = yaml.load((ROOT / "ubiops" / "openapi.yaml").read_text(encoding="utf-8"), _Loader)


@cache
def document() -> dict[str, Any]:
    """The document, where a field that is another schema or null is that schema, with `x-nullable`."""
    root = copy.deepcopy(DOCUMENT)
    for schema in root["components"]["schemas"].values():
        for value in schema["properties"].values():
            if "oneOf" in value:
                value.update(value.pop("oneOf")[0], **{"x-nullable": True})
    return root
