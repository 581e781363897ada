"""What the operations do: one module per kind of resource, each operation a function of its name.

A handler takes a `Context` and the operation's arguments by name, checked against the document, and returns what
becomes the JSON of the answer. It refuses by raising an `ApiError`.
"""

from __future__ import annotations

from types import ModuleType

from ubiops.emulator.handlers import (
    builds,
    deployments,
    instance_types,
    logs,
    organizations,
    projects,
    requests,
    revisions,
    status,
    variables,
    versions,
)

MODULES: tuple[ModuleType, ...] = (
    builds,
    deployments,
    instance_types,
    logs,
    organizations,
    projects,
    requests,
    revisions,
    status,
    variables,
    versions,
)
