"""What the operations do: one module per kind of resource, each operation a function of its name.

A handler takes a `Context` and the operation's arguments by name, checked against the document, and returns what
becomes the JSON of the answer. It refuses by raising an `ApiError`. One that serves several operations names them with
`resource.serves`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from inspect import getmembers, isfunction
from typing import Any


def load_handlers(operations: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """The handlers of operations, by name; those that have none are left out."""
    found: dict[str, Callable[..., Any]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for name, function in getmembers(import_module(module.name), isfunction):
            found |= dict.fromkeys(getattr(function, "operations", (name,)), function)
    return {name: found[name] for name in operations if name in found}
