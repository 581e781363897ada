"""The rules for names, labels and texts, wherever they occur."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ubiops.emulator.errors import invalid
from ubiops.package_format import FIELD_NAME, VARIABLE_NAME

_MAXIMUM_NAME = 64
_MAXIMUM_ENVIRONMENT_NAME = 1024
_MAXIMUM_TAG_NAME = 128
_PUNCTUATED = (r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, dashes, dots and underscores")
_MAXIMUM_EMAIL = 254
_MAXIMUM_DESCRIPTION = 400


def check_name(name: str, kind: str) -> str:
    """Check the name of a project, a deployment or most other resources."""
    return _check(name, kind, r"[a-z][a-z0-9-]*", "lowercase letters, digits and dashes, starting with a letter")


def check_version_name(name: str) -> str:
    """Check the name of a version, which is often a number with dots."""
    return _check(name, "version", r"[a-z0-9._-]+", "lowercase letters, digits, dashes, dots and underscores")


def check_environment_name(name: str) -> str:
    """Check the name of an environment."""
    return _check(name, "environment", *_PUNCTUATED, most=_MAXIMUM_ENVIRONMENT_NAME)


def check_tag_name(name: str) -> str:
    """Check the name of a tag of an environment."""
    return _check(name, "tag", *_PUNCTUATED, most=_MAXIMUM_TAG_NAME)


def check_field_name(name: str) -> str:
    """Check the name of an input or output field."""
    return _check(name, "field", *FIELD_NAME)


def check_variable_name(name: str) -> str:
    """Check the name of an environment variable."""
    return _check(name, "variable", *VARIABLE_NAME)


def _check(name: str, kind: str, form: str, words: str, most: int = _MAXIMUM_NAME) -> str:
    if not re.fullmatch(form, name) or len(name) > most:
        raise invalid(f"The {kind} name '{name}' is not valid: use up to {most} {words}")
    return name


def check_email(email: str) -> str:
    """Check that a text looks like an email address."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email) or len(email) > _MAXIMUM_EMAIL:
        raise invalid(f"email: '{email}' is not an email address of up to {_MAXIMUM_EMAIL} characters")
    return email


def check_description(data: Mapping[str, Any]) -> str:
    """The description in a body; without one, an empty string."""
    description: str = data.get("description") or ""
    if len(description) > _MAXIMUM_DESCRIPTION:
        raise invalid(f"description: it must have at most {_MAXIMUM_DESCRIPTION} characters, not {len(description)}")
    return description


def check_labels(data: Mapping[str, Any]) -> dict[str, str]:
    """The labels in a body; an empty dictionary if it has none."""
    labels = data.get("labels")
    if labels is None:
        return {}
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise invalid("labels: they must be a dictionary of strings")
    return labels


def parse_labels(text: str | None) -> list[tuple[str, str]]:
    """The pairs of a filter ``key:value,key:value``."""
    pairs = []
    for part in (text or "").split(","):
        key, colon, value = part.partition(":")
        if part and not (key and colon):
            raise invalid(f"labels: '{part}' must be of the form key:value; separate several with commas")
        if part:
            pairs.append((key, value))
    return pairs


def has_label(labels: Mapping[str, str], pairs: list[tuple[str, str]]) -> bool:
    """Whether at least one of the pairs is among the labels, or there are no pairs."""
    return not pairs or any(labels.get(key) == value for key, value in pairs)


def check_origins(name: str, origins: list[str]) -> list[str]:
    """Check the origins of web pages."""
    for origin in origins:
        if not _is_origin(origin):
            raise invalid(f"{name}: '{origin}' is not an origin such as https://example.com:8080")
    return origins


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and text == f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        return False
