"""What the operations do: one module per kind of resource, each operation a function of its name.

A handler takes a `Context` and the operation's arguments by name, checked against the document, and returns what
becomes the JSON of the answer. It refuses by raising an `ApiError`.
"""

from __future__ import annotations

from types import ModuleType

from ubiops.emulator.handlers import (
    audit_events,
    blobs,
    buckets,
    builds,
    deployments,
    exports,
    expressions,
    files,
    imports,
    instance_types,
    logs,
    metrics,
    notification_groups,
    organizations,
    pipeline_requests,
    pipeline_versions,
    pipelines,
    projects,
    requests,
    revisions,
    roles,
    schedules,
    service_users,
    status,
    users,
    variables,
    versions,
)

MODULES: tuple[ModuleType, ...] = (
    audit_events,
    blobs,
    buckets,
    builds,
    deployments,
    exports,
    expressions,
    files,
    imports,
    instance_types,
    logs,
    metrics,
    notification_groups,
    organizations,
    pipeline_requests,
    pipeline_versions,
    pipelines,
    projects,
    requests,
    revisions,
    roles,
    schedules,
    service_users,
    status,
    users,
    variables,
    versions,
)
