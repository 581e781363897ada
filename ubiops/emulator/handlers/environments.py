"""Environments: what deployment versions run in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import or_, select, update

from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.environments import find_tag, versions_in, with_those_above
from ubiops.emulator.errors import invalid, taken
from ubiops.emulator.execution.environments import latest_tag_id
from ubiops.emulator.handlers.find import find_environment, find_own_environment, find_project
from ubiops.emulator.handlers.resource import record
from ubiops.emulator.handlers.rules import (
    check_description,
    check_environment_name,
    check_labels,
    has_label,
    parse_labels,
)
from ubiops.emulator.tables import Environment, EnvironmentTag, Project, Version

_LONGEST_DISPLAY_NAME = 1024
_TYPES = ("base", "custom")


def environments_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    environment = Environment(
        project=project,
        name=_name(context, project, data["name"]),
        display_name=_display_name(data),
        base=_base(context, project_name, data["base_environment"]) if data.get("base_environment") else None,
        supports_request_format=data.get("supports_request_format", True),
        description=check_description(data),
        labels=check_labels(data),
    )
    environment.gpu_required = environment.base is not None and environment.base.gpu_required
    context.session.add(environment)
    context.session.flush()
    record(context, environment, "create", f"Created environment {environment.name}")
    return _detail(context, environment)


def environments_list(
    context: Context,
    project_name: str,
    labels: str | None,
    environment_type: str | None,
    supports_request_format: bool | None,
    system: bool | None,
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    pairs = parse_labels(labels)
    kind = _is_system(environment_type)
    places = or_(Environment.project_id == project.id, Environment.project_id.is_(None))
    query = select(Environment).where(places).order_by(Environment.project_id.is_(None).desc(), Environment.name)
    return [
        _summary(context, environment)
        for environment in context.session.scalars(query)
        if has_label(environment.labels, pairs)
        and system in (None, environment.is_system)
        and kind in (None, environment.is_system)
        and supports_request_format in (None, environment.supports_request_format)
    ]


def environments_get(context: Context, project_name: str, environment_name: str) -> dict[str, Any]:
    return _detail(context, find_environment(context, project_name, environment_name))


def environments_update(
    context: Context, project_name: str, environment_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    environment = find_own_environment(context, project_name, environment_name)
    before = _audited(environment)
    if data.get("name", environment.name) != environment.name:
        environment.name = _name(context, find_project(context, project_name), data["name"])
    if "display_name" in data:
        environment.display_name = _display_name(data)
    if "description" in data:
        environment.description = check_description(data)
    if "labels" in data:
        environment.labels = check_labels(data)
    environment.last_updated = now()
    event = f"Updated environment {environment_name}{changes(before, _audited(environment))}"
    record(context, environment, "update", event)
    return _detail(context, environment)


def environments_delete(context: Context, project_name: str, environment_name: str) -> None:
    environment = find_own_environment(context, project_name, environment_name)
    tags = select(EnvironmentTag).where(EnvironmentTag.environment_id == environment.id)
    based = above(context, context.session.scalars(tags).all())
    refuse_if_used(environment.name, _users(context, environment, based), _built_on(context, environment, based))
    # Implicit ones, of versions that now use other environments.
    context.session.execute(update(Environment).where(Environment.base_id == environment.id).values(base_id=None))
    context.engine.environments.forget(context.session, tags)
    record(context, environment, "delete", f"Deleted environment {environment.name}")
    context.session.delete(environment)


def environments_usage(
    context: Context, project_name: str, environment_name: str, environment_type: str | None
) -> list[dict[str, Any]]:
    environment = find_environment(context, project_name, environment_name)
    kind = _is_system(environment_type)
    if kind not in (None, environment.is_system):
        return []
    tags = context.session.scalars(select(EnvironmentTag).where(EnvironmentTag.environment_id == environment.id)).all()
    project = find_project(context, project_name)
    direct = select(Version).where(Version.environment_id == environment.id)
    found = {version.id: version for version in context.session.scalars(direct)}
    found |= {version.id: version for version in versions_in(context.session, project.id, above(context, tags))}
    return [
        {
            "id": version.id,
            "deployment": version.deployment.name,
            "version": version.name,
            "environment": environment.name,
            "environment_display_name": environment.shown_name,
            "status": version.status,
        }
        for version in sorted(found.values(), key=lambda version: version.creation_date)
        if version.deployment.project_id == project.id
    ]


def above(context: Context, tags: Iterable[EnvironmentTag]) -> list[EnvironmentTag]:
    """Tags, and those of custom environments that are built on them; implicit environments belong to their versions."""
    return [tag for tag in with_those_above(context.session, tags) if tag.revision_id is None]


def refuse_if_used(name: str, versions: Iterable[Version], environments: Iterable[str] = ()) -> None:
    """Refuse to delete an environment or tag that is in use.

    Raises:
        ApiError: 400, with the versions and environments that use it.
    """
    names = [f"the version '{version.name}' of the deployment '{version.deployment.name}'" for version in versions]
    names += [f"the environment '{environment}'" for environment in environments]
    if names:
        raise invalid(f"'{name}' is used by {', '.join(names)}; let them use another one first")


def status_of(context: Context, environment: Environment) -> str:
    """The status of an environment, as of before tags were introduced."""
    latest = find_tag(context.session, latest_tag_id(context.session, environment))
    if latest is not None and latest.status in ("queued", "building"):
        return "building"
    return "available" if environment.active_tag_id is not None else "unavailable"


def base_of(context: Context, environment: Environment) -> Environment | None:
    """What an environment is built on: the base that it was created with, or else that of its latest tag."""
    if environment.base is not None:
        return environment.base
    latest = find_tag(context.session, latest_tag_id(context.session, environment))
    base = find_tag(context.session, latest.base_tag_id) if latest is not None else None
    return base.environment if base is not None else None


def _built_on(context: Context, environment: Environment, based: Iterable[EnvironmentTag]) -> list[str]:
    """The names of the custom environments that are built on an environment."""
    above_it = Environment.base_id == environment.id, Environment.version_id.is_(None)
    names = set(context.session.scalars(select(Environment.name).where(*above_it)))
    return sorted(names | {tag.environment.name for tag in based if tag.environment is not environment})


def _users(context: Context, environment: Environment, based: Sequence[EnvironmentTag]) -> list[Version]:
    refers = Version.environment_id == environment.id
    found = {version.id: version for version in context.session.scalars(select(Version).where(refers))}
    assert environment.project_id is not None
    tagged = versions_in(context.session, environment.project_id, based)
    return list((found | {version.id: version for version in tagged}).values())


def _name(context: Context, project: Project, name: str) -> str:
    places = or_(Environment.project_id == project.id, Environment.project_id.is_(None))
    if context.session.scalar(select(Environment.id).where(Environment.name == name, places)) is not None:
        raise taken("environment", name, f" in the project '{project.name}', or in all projects")
    return check_environment_name(name)


def _display_name(data: dict[str, Any]) -> str | None:
    name: str | None = data.get("display_name")
    if name is not None and len(name) > _LONGEST_DISPLAY_NAME:
        raise invalid(f"display_name: it must have at most {_LONGEST_DISPLAY_NAME} characters, not {len(name)}")
    return name


def _base(context: Context, project_name: str, name: str) -> Environment:
    base = find_environment(context, project_name, name)
    if base.version_id is not None:
        raise invalid(f"base_environment: '{name}' was made from a deployment package; choose another one")
    return base


def _is_system(environment_type: str | None) -> bool | None:
    if environment_type is None:
        return None
    if environment_type not in _TYPES:
        raise invalid(f"environment_type: it must be {' or '.join(_TYPES)}, not '{environment_type}'")
    return environment_type == "base"


def _audited(environment: Environment) -> dict[str, Any]:
    return {"name": environment.name, "display name": environment.shown_name}


def _summary(context: Context, environment: Environment) -> dict[str, Any]:
    base = None if environment.is_system else base_of(context, environment)
    return {
        "id": environment.id,
        "name": environment.name,
        "display_name": environment.shown_name,
        "base_environment": base and base.name,
        "base_environment_display_name": base and base.shown_name,
        "project": environment.project and environment.project.name,
        "creation_date": environment.creation_date,
        "last_updated": environment.last_updated,
        "description": environment.description,
        "labels": environment.labels,
        "gpu_required": environment.gpu_required,
        "status": "available" if environment.is_system else status_of(context, environment),
        "implicit": environment.version_id is not None,
        "hidden": environment.hidden,
        "deprecated": environment.deprecated,
        "system": environment.is_system,
        "supports_request_format": environment.supports_request_format,
    }


def _detail(context: Context, environment: Environment) -> dict[str, Any]:
    session = context.session
    latest_id = None if environment.is_system else latest_tag_id(session, environment)
    active = None if environment.is_system else find_tag(session, environment.active_tag_id)
    latest = find_tag(session, latest_id)
    return {
        **_summary(context, environment),
        "active_revision": active and active.id,
        "active_build": active and active.active_build_id,
        "latest_revision": latest and latest.id,
        "latest_build": latest and latest.latest_build_id,
    }
