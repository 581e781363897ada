"""Input and output fields, of deployments and pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.rules import check_field_name

Fields = list[dict[str, Any]]


def check_fields(data: Mapping[str, Any], key: str, kind: str) -> Fields:
    """The fields in a body, in the form in which they are stored; none if the data is plain."""
    fields = data.get(key) or []
    if kind == "plain" and fields:
        raise invalid(f"{key}: plain data has no fields; leave them out")
    check_names(fields, key)
    return [
        {"name": field["name"], "data_type": field["data_type"], "widget": _widget(field.get("widget"))}
        for field in fields
    ]


def check_names(fields: Sequence[Mapping[str, Any]], key: str) -> None:
    """Refuse a name that isn't valid for a field, or that occurs twice."""
    seen: set[str] = set()
    for field in fields:
        if check_field_name(field["name"]) in seen:
            raise invalid(f"{key}: the name '{field['name']}' occurs more than once")
        seen.add(field["name"])


def _widget(widget: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"type": widget["type"], "configuration": widget.get("configuration") or {}} if widget else {}


def without_widgets(fields: Sequence[Mapping[str, Any]]) -> Fields:
    """The fields in the form in which lists of resources show them."""
    return [{"name": field["name"], "data_type": field["data_type"]} for field in fields]
