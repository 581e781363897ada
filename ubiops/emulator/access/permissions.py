"""Permissions, the roles that bundle them, and which of them an operation needs."""

from __future__ import annotations

import uuid
from collections.abc import Callable

_MANAGED = ("list", "get", "create", "update", "delete")
_READ = ("list", "get")

_ACTIONS: dict[str, tuple[str, ...]] = {
    "projects": ("get", "update", "delete"),
    "projects.environment-variables": _MANAGED,
    "projects.audit": ("list",),
    "projects.events": ("list",),
    "projects.instance-types": ("list",),
    "projects.instance-type-groups": _MANAGED,
    "projects.instances": ("list", "get", "update"),
    "deployments": _MANAGED,
    "deployments.environment-variables": _MANAGED,
    "deployments.audit": ("list",),
    "deployments.versions": _MANAGED,
    "deployments.versions.environment-variables": _MANAGED,
    "deployments.versions.revisions": ("list", "get", "create"),
    "deployments.versions.builds": _READ,
    "deployments.versions.instances": ("list", "get", "update"),
    "deployments.versions.requests": _MANAGED,
    "pipelines": _MANAGED,
    "pipelines.audit": ("list",),
    "pipelines.versions": _MANAGED,
    "pipelines.versions.environment-variables": ("list",),
    "pipelines.versions.requests": _MANAGED,
    "buckets": _MANAGED,
    "files": ("list", "get", "create", "delete"),
    "blobs": _MANAGED,
    "environments": _MANAGED,
    "environments.revisions": ("list", "get", "create"),
    "environments.builds": ("list", "get", "update"),
    "environments.tags": _MANAGED,
    "environments.secrets": _MANAGED,
    "exports": ("list", "get", "create", "delete"),
    "imports": _MANAGED,
    "logs": ("list",),
    "metrics": _MANAGED,
    "notification-groups": _MANAGED,
    "roles": _MANAGED,
    "roles.assignments": ("list", "get", "create", "delete"),
    "service-users": _MANAGED,
    "services": _MANAGED,
    "users": ("list", "get", "create", "delete"),
    "webhooks": _MANAGED,
}

PERMISSIONS = tuple(f"{resource}.{action}" for resource, actions in _ACTIONS.items() for action in actions)

_ADMINISTRATION = ("roles.", "service-users.", "users.")
"""What service users can't do, whatever their roles."""

_RESOURCES = {
    "blobs": "blobs",
    "buckets": "buckets",
    "builds": "deployments.versions.builds",
    "deployment_audit_events": "deployments.audit",
    "deployment_environment_variables": "deployments.environment-variables",
    "deployment_requests": "deployments.versions.requests",
    "deployment_version_environment_variables": "deployments.versions.environment-variables",
    "deployment_version_requests": "deployments.versions.requests",
    "deployment_versions": "deployments.versions",
    "deployments": "deployments",
    "environment_builds": "environments.builds",
    "environment_revisions": "environments.revisions",
    "environment_secrets": "environments.secrets",
    "environment_tag_secrets": "environments.secrets",
    "environment_tags": "environments.tags",
    "environments": "environments",
    "exports": "exports",
    "files": "files",
    "imports": "imports",
    "instance_events": "deployments.versions.instances",
    "instance_type_groups": "projects.instance-type-groups",
    "instance_types": "projects.instance-types",
    "instances": "deployments.versions.instances",
    "logs": "logs",
    "metrics": "metrics",
    "notification_groups": "notification-groups",
    "pipeline_audit_events": "pipelines.audit",
    "pipeline_requests": "pipelines.versions.requests",
    "pipeline_version_object_environment_variables": "pipelines.versions.environment-variables",
    "pipeline_version_object_requests": "pipelines.versions.requests",
    "pipeline_version_requests": "pipelines.versions.requests",
    "pipeline_versions": "pipelines.versions",
    "pipelines": "pipelines",
    "project_audit_events": "projects.audit",
    "project_environment_variables": "projects.environment-variables",
    "project_instances": "projects.instances",
    "project_events": "projects.events",
    "project_users": "users",
    "projects": "projects",
    "revisions": "deployments.versions.revisions",
    "role_assignments": "roles.assignments",
    "roles": "roles",
    "service_users": "service-users",
    "services": "services",
    "services_user_concurrency_limit": "services",
    "services_user_rate_limit": "services",
    "webhook_tests": "webhooks",
    "webhooks": "webhooks",
}
_VERBS = {
    "batch_cancel": "update",
    "batch_delete": "delete",
    "batch_get": "get",
    "build": "create",
    "copy": "create",
    "create": "create",
    "delete": "delete",
    "download": "get",
    "file_download": "get",
    "file_upload": "create",
    "get": "get",
    "input_get": "get",
    "list": "list",
    "output_get": "get",
    "per_object_list": "list",
    "status_get": "get",
    "stream": "create",
    "rebuild": "create",
    "token": "update",
    "update": "update",
    "upload": "create",
    "usage": "list",
}


def _of_requests(action: str) -> tuple[str, ...]:
    return (f"deployments.versions.requests.{action}", f"pipelines.versions.requests.{action}")


_IRREGULAR = {
    "environment_build_dependencies_list": ("environments.builds.get",),
    "environment_tag_dependencies_list": ("environments.tags.get",),
    "files_complete_multipart_upload": ("files.create",),
    "files_start_multipart_upload": ("files.create",),
    "quotas_list": ("projects.get",),
    "openai_chat_completions_create": _of_requests("create"),
    "openai_embeddings_create": _of_requests("create"),
    "openai_models_list": ("deployments.versions.list",),
    "project_requests_list": _of_requests("list"),
    "projects_log_list": ("logs.list",),
    "projects_resource_usage": ("projects.get",),
    "projects_usage_get": ("projects.get",),
    "request_schedules_create": _of_requests("create"),
    "request_schedules_delete": _of_requests("create"),
    "request_schedules_get": _of_requests("get"),
    "request_schedules_list": _of_requests("list"),
    "request_schedules_update": _of_requests("create"),
    "time_series_data_aggregate": ("metrics.create",),
    "time_series_data_create": ("metrics.create",),
    "time_series_data_list": ("metrics.get",),
    "time_series_delete": ("metrics.delete",),
    "time_series_search": ("metrics.list",),
}


def required(operation: str) -> tuple[str, ...]:
    """The permissions of which an operation on a project requires one."""
    if operation in _IRREGULAR:
        return _IRREGULAR[operation]
    name = operation.removeprefix("batch_")
    prefix = max((prefix for prefix in _RESOURCES if name.startswith(f"{prefix}_")), key=len)
    return (f"{_RESOURCES[prefix]}.{_VERBS[name.removeprefix(f'{prefix}_')]}",)


def closed_to_service_users(permission: str) -> bool:
    """Whether a service user can't have this permission, whatever its roles."""
    return permission.startswith(_ADMINISTRATION)


def _select(condition: Callable[[str, str], bool]) -> frozenset[str]:
    return frozenset(name for name in PERMISSIONS if condition(*name.rsplit(".", 1)))


def _graded(kind: str, name: str) -> dict[str, frozenset[str]]:
    """The roles admin, editor and viewer of a resource and what belongs to it."""

    def covers(resource: str) -> bool:
        return resource == name or resource.startswith(f"{name}.")

    return {
        f"{kind}-admin": _select(lambda resource, _: covers(resource)),
        f"{kind}-editor": _select(lambda resource, action: covers(resource) and action != "delete"),
        f"{kind}-viewer": _select(lambda resource, action: covers(resource) and action in _READ),
    }


_VIEWED = _select(lambda _, action: action in _READ)
_OPEN = frozenset(name for name in PERMISSIONS if not closed_to_service_users(name))

DEFAULT_ROLES: dict[str, frozenset[str]] = {
    "project-admin": frozenset(PERMISSIONS),
    "project-editor": _VIEWED | {name for name in _OPEN if not name.endswith(".delete")},
    "project-viewer": _VIEWED,
    "service-user-project-admin": _OPEN,
    **_graded("deployment", "deployments"),
    **_graded("pipeline", "pipelines"),
    **_graded("blob", "blobs"),
    "files-reader": frozenset(("buckets.get", "files.list", "files.get")),
    "files-reader-restricted": frozenset(("buckets.get", "files.get")),
    "files-writer": frozenset(("buckets.get", "files.list", "files.get", "files.create", "files.delete")),
    "files-writer-restricted": frozenset(("buckets.get", "files.create")),
}
"""The roles that every project has."""

ALIASES = {"file-reader": "files-reader"}
"""Other names of default roles."""


def default_role_id(name: str) -> str:
    """The id of a default role, which is the same in all projects."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.role"))


DEFAULT_ROLE_NAMES = {default_role_id(name): name for name in DEFAULT_ROLES}
