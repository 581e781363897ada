"""Models as reports and notebooks show them: every field, but no credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pprint import pformat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from ubiops.model import Model

__all__ = ["MASK", "is_model", "masked", "masked_text", "pretty"]

MASK = "***"

_CREDENTIALS = frozenset({"credentials", "password", "token"})
_SUSPECT = re.compile("credential|password|secret|token|api_?key", re.IGNORECASE)


def is_model(value: Any) -> TypeIs[Model]:
    """Whether the value is a model. By its attributes, since models import this module to show themselves."""
    return hasattr(type(value), "openapi_types")


def masked(item: Model | Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model or dict, nested models as dicts, with ``***`` in place of credentials.

    These are bucket credentials, passwords, tokens, the values of secret environment variables and the signatures of
    signed URLs. Unknown fields are masked if their names suggest a credential. Users' own data, such as the input and
    the result of a request, is shown as it is.
    """
    if is_model(item):
        fields = {name: getattr(item, name) for name in type(item).fields}
        unknown = item.additional_properties
    else:
        fields, unknown = dict(item), {}
    result = {name: MASK if _is_credential(name, value, fields) else _plain(value) for name, value in fields.items()}
    for name, value in unknown.items():
        result[name] = MASK if value is not None and _SUSPECT.search(name) else _plain(value)
    url = result.get("url")
    if isinstance(url, str) and "?" in url:
        result["url"] = f"{url.partition('?')[0]}?{MASK}"
    return result


def masked_text(model: Model) -> str:
    """The fields, pretty-printed as `str` does, without credentials."""
    return pretty(masked(model))


def pretty(fields: dict[str, Any]) -> str:
    """Fields on a line each, if they don't fit on one."""
    try:
        return pformat(fields)
    except RecursionError:
        # The standard library's printer takes three frames per level, the interpreter's own `repr` none.
        return repr(fields)


def _is_credential(name: str, value: Any, fields: Mapping[str, Any]) -> bool:
    return value is not None and (name in _CREDENTIALS or _is_secret_value(name, fields))


def _is_secret_value(name: str, fields: Mapping[str, Any]) -> bool:
    """Whether it is the value of a secret environment variable."""
    return name == "value" and bool(fields.get("secret"))


def _plain(value: Any) -> Any:
    # Loops, not comprehensions, which take another frame per level on Python 3.10 and 3.11: answers may nest deeply.
    if is_model(value):
        return masked(value)
    if isinstance(value, (list, tuple)):
        items = []
        for item in value:
            items.append(_plain(item))
        return items
    if isinstance(value, dict):
        # Imports and exports contain environment variables as dicts.
        result = {}
        for key, item in value.items():
            result[key] = MASK if item is not None and _is_secret_value(key, value) else _plain(item)
        return result
    return value
