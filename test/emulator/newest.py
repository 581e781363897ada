"""The newest client's reader, as strict with answers as with requests: what it would raise a ValueError for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_FACTS: dict[str, dict[str, Any]] = yaml.load(Path(__file__).with_suffix(".yaml").read_text(), yaml.CSafeLoader)
_OTHERWISE_BEFORE = {"instance_types_list", "metrics_get", "organizations_usage_get", "projects_usage_get"}
"""Operations whose answers at `/v2.1` are those of older clients."""


def problems_of(operation: str, base: str, answer: Any) -> list[str]:
    """What the newest client can't read of an answer to an operation."""
    if operation not in _FACTS["returns"] or (base != "v2" and operation in _OTHERWISE_BEFORE):
        return []
    return list(_problems(_FACTS["returns"][operation], answer, ""))


def _problems(schema: str, value: Any, place: str) -> Iterator[str]:
    inner = re.fullmatch(r"list\[(\w+)\]", schema)
    if inner is not None:
        for index, item in enumerate(value or ()):
            yield from _problems(inner[1], item, f"{place}[{index}]")
        return
    if not isinstance(value, dict):
        return
    for name, rule in _FACTS["models"].get(schema, {}).items():
        held, here = value.get(name), f"{place}.{name}"
        if held is None:
            if "required" in rule:
                yield f"{schema}: {here} is required"
        elif isinstance(held, str) and not rule.get("min_length", 0) <= len(held) <= rule.get("max_length", len(held)):
            yield f"{schema}: {here} is {len(held)} characters long"
        elif "type" in rule:
            yield from _problems(rule["type"], held, here)
