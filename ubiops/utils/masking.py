"""Models as notebooks show them: every field, and no credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pprint import pformat
from typing import Any

from ubiops.model import Model

__all__ = ["MASK", "masked", "masked_text"]

MASK = "***"

_CREDENTIALS = frozenset({"credentials", "password", "token"})
_SUSPECT = re.compile("credential|password|secret|token|api_?key", re.IGNORECASE)


def masked(item: Model | Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model or dict, nested models as dicts, with ``***`` in the place of credentials.

    These are bucket credentials, passwords, tokens, the values of secret environment variables and the signatures of
    signed URLs. Of the fields that this client doesn't know, those count whose names suggest it. What users define
    themselves, such as the data and the result of a request, is given as it is.
    """
    if isinstance(item, Model):
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
    """The fields, pretty-printed, as `str` gives them but for the credentials."""
    return pformat(masked(model))


def _is_credential(name: str, value: Any, fields: Mapping[str, Any]) -> bool:
    return value is not None and (name in _CREDENTIALS or _is_secret_value(name, fields))


def _is_secret_value(name: str, fields: Mapping[str, Any]) -> bool:
    """Whether it is the value of a secret environment variable."""
    return name == "value" and bool(fields.get("secret"))


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return masked(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        # Imports and exports hold environment variables as dicts.
        return {
            key: MASK if item is not None and _is_secret_value(key, value) else _plain(item)
            for key, item in value.items()
        }
    return value
