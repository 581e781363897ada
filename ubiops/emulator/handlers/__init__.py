"""The operations: one module per kind of resource, with a function named after each operation.

A handler takes a `Context` and the operation's arguments by name, checked against the document, and returns the content
of the JSON answer. It refuses by raising an `ApiError`. A function that serves several operations names them with
`resource.serves`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from inspect import getmembers, isfunction
from typing import Any


def load_handlers(operations: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """The handlers of operations, by name; operations without one are left out."""
    found: dict[str, Callable[..., Any]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for name, function in getmembers(import_module(module.name), isfunction):
            found |= dict.fromkeys(getattr(function, "operations", (name,)), function)
    return {name: found[name] for name in operations if name in found}
