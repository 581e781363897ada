"""Tags of environments, which replaced revisions in client 4.15."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse

from ubiops.emulator.audit import record as record_event
from ubiops.emulator.context import Context
from ubiops.emulator.environments import find_tag, versions_in
from ubiops.emulator.errors import invalid, taken
from ubiops.emulator.execution.environments import add_build
from ubiops.emulator.handlers.environment_files import (
    NO_IMAGES,
    cancel,
    dependency_files,
    download,
    give_file,
    keep_file,
    latest_build,
)
from ubiops.emulator.handlers.environment_revisions import rebuild
from ubiops.emulator.handlers.environments import above, refuse_if_used
from ubiops.emulator.handlers.find import (
    find_environment,
    find_environment_tag,
    find_own_environment,
    find_project,
)
from ubiops.emulator.handlers.resource import record
from ubiops.emulator.handlers.rules import check_tag_name
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables import Environment, EnvironmentTag, Version

_BUILT = "Environment tag build"


def environment_tags_create(
    context: Context, project_name: str, environment_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    environment = find_own_environment(context, project_name, environment_name)
    if "name" not in data:
        raise invalid("name: it is required, such as v1")
    tag = EnvironmentTag(
        id=new_id(),
        environment=environment,
        name=_name(context, environment, data["name"]),
        created_by=context.user,
        supports_request_format=data.get("supports_request_format", True),
    )
    context.session.add(tag)
    context.session.flush()
    record(context, environment, "create", f"Created tag {tag.name} for environment {environment.name}")
    return _view(context, tag)


def environment_tags_list(
    context: Context, project_name: str, environment_name: str, supports_request_format: bool | None
) -> list[dict[str, Any]]:
    environment = find_environment(context, project_name, environment_name)
    query = select(EnvironmentTag).where(EnvironmentTag.environment_id == environment.id)
    return [
        _view(context, tag)
        for tag in context.session.scalars(query.order_by(EnvironmentTag.number))
        if supports_request_format in (None, tag.supports_request_format)
    ]


def environment_tags_get(context: Context, project_name: str, environment_name: str, tag_name: str) -> dict[str, Any]:
    return _view(context, _find(context, project_name, environment_name, tag_name))


async def environment_tags_build(
    context: Context,
    project_name: str,
    environment_name: str,
    tag_name: str,
    base_environment_name: str | None,
    base_environment_tag: str | None,
    file: UploadFile | str | None,
    source_environment: str | None,
    source_tag: str | None,
) -> dict[str, Any]:
    _find_to_build(context, project_name, environment_name, tag_name)
    source = _pair(context, project_name, "source", source_environment, source_tag)
    base = base_environment_name, base_environment_tag
    if source is not None and not any(base):
        below = find_tag(context.session, source.base_tag_id)
        base = (below.environment.name, below.name) if below is not None else base
    _find_base(context, project_name, base)
    kept = await keep_file(context, file, source)
    # Everything is looked up again: it may have been deleted meanwhile.
    build_tag(context, project_name, environment_name, tag_name, base, kept)
    return {"success": True}


def build_tag(
    context: Context,
    project_name: str,
    environment_name: str,
    tag_name: str,
    base: tuple[str | None, str | None],
    kept: str,
) -> None:
    """Give a stored file to a tag, and build the tag.

    Args:
        context: Of the request.
        project_name: The project.
        environment_name: The environment.
        tag_name: The tag.
        base: Environment and tag to build it on.
        kept: Id under which the file is stored.

    Raises:
        ApiError: 400: the tag was built already, or nothing can be built on the base; 404: something was not found.
    """
    tag = _find_to_build(context, project_name, environment_name, tag_name)
    tag.base_tag_id = _find_base(context, project_name, base).id
    give_file(context, tag, kept)
    build = add_build(context.session, tag, _BUILT)
    record(context, tag.environment, "info", f"Uploaded a file to tag {tag.name} of environment {environment_name}")
    context.engine.environments.start(build.id)


def environment_tags_rebuild(
    context: Context, project_name: str, environment_name: str, tag_name: str, data: Any
) -> dict[str, Any]:
    environment = find_own_environment(context, project_name, environment_name)
    rebuild(context, find_environment_tag(context, environment, tag_name))
    return {"success": True}


def environment_tags_update(
    context: Context, project_name: str, environment_name: str, tag_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    environment = find_own_environment(context, project_name, environment_name)
    tag = find_environment_tag(context, environment, tag_name)
    if "status" in data:
        cancel(context, latest_build(context, tag), data)
    if "supports_request_format" in data:
        tag.supports_request_format = data["supports_request_format"]
        record(context, environment, "update", f"Updated tag {tag.name} of environment {environment.name}")
    return _view(context, tag)


def environment_tags_delete(context: Context, project_name: str, environment_name: str, tag_name: str) -> None:
    environment = find_own_environment(context, project_name, environment_name)
    tag = find_environment_tag(context, environment, tag_name)
    if tag.status in ("queued", "building"):
        raise invalid(f"The tag '{tag_name}' is {tag.status}; cancel its build first")
    tags = above(context, [tag])
    refuse_if_used(
        f"{environment_name}:{tag_name}",
        _users(context, project_name, tags),
        [f"{other.environment.name}:{other.name}" for other in tags if other is not tag],
    )
    if environment.active_tag_id == tag.id:
        others = select(EnvironmentTag.id).where(EnvironmentTag.environment_id == environment.id)
        built = others.where(EnvironmentTag.id != tag.id, EnvironmentTag.active_build_id.is_not(None))
        environment.active_tag_id = context.session.scalar(built.order_by(EnvironmentTag.number.desc()).limit(1))
    context.engine.environments.forget(context.session, select(EnvironmentTag).where(EnvironmentTag.id == tag.id))
    assert environment.project is not None
    name = f"{environment_name}:{tag_name}"
    event = f"Deleted tag {tag_name} of environment {environment_name}"
    record_event(context, environment.project, "delete", event, object_type="environment_tag", object_name=name)
    context.session.delete(tag)


def environment_tags_download(
    context: Context, project_name: str, environment_name: str, tag_name: str
) -> FileResponse:
    return download(context, _find(context, project_name, environment_name, tag_name))


def environment_tags_usage(
    context: Context, project_name: str, environment_name: str, tag_name: str
) -> list[dict[str, Any]]:
    tag = _find(context, project_name, environment_name, tag_name)
    return [
        {
            "id": version.id,
            "deployment": version.deployment.name,
            "version": version.name,
            "environment_name": environment_name,
            "environment_tag": tag_name,
            "status": version.status,
        }
        for version in _users(context, project_name, above(context, [tag]))
    ]


def environment_tag_dependencies_list(
    context: Context, project_name: str, environment_name: str, tag_name: str
) -> list[dict[str, Any]]:
    return dependency_files(latest_build(context, _find(context, project_name, environment_name, tag_name)))


def _users(context: Context, project_name: str, tags: list[EnvironmentTag]) -> list[Version]:
    return versions_in(context.session, find_project(context, project_name).id, tags)


def _find(context: Context, project_name: str, environment_name: str, tag_name: str) -> EnvironmentTag:
    return find_environment_tag(context, find_environment(context, project_name, environment_name), tag_name)


def _find_to_build(context: Context, project_name: str, environment_name: str, tag_name: str) -> EnvironmentTag:
    tag = find_environment_tag(context, find_own_environment(context, project_name, environment_name), tag_name)
    if tag.status in ("available", "queued", "building"):
        raise invalid(f"The tag '{tag_name}' is {tag.status} and can't be built again; make another tag")
    return tag


def _pair(context: Context, project_name: str, what: str, name: str | None, tag: str | None) -> EnvironmentTag | None:
    """The tag that two parameters, which go together, identify."""
    if not name and not tag:
        return None
    if not name or not tag:
        both = ("source_environment", "source_tag") if what == "source" else (f"{what}_name", f"{what}_tag")
        raise invalid(f"{' and '.join(both)} go together; pass both or neither")
    return _find(context, project_name, name, tag)


def _find_base(context: Context, project_name: str, names: tuple[str | None, str | None]) -> EnvironmentTag:
    base = _pair(context, project_name, "base_environment", *names)
    if base is None:
        raise invalid(f"base_environment_name and base_environment_tag are missing. {NO_IMAGES}")
    if base.revision_id is not None:
        raise invalid(f"'{base.environment.name}' was made from a deployment package; choose another base")
    if base.status not in ("available", "queued", "building"):
        raise invalid(f"The tag '{base.name}' of '{base.environment.name}' is {base.status}; build that first")
    return base


def _name(context: Context, environment: Environment, name: str) -> str:
    query = select(EnvironmentTag.id).where(EnvironmentTag.environment_id == environment.id)
    if context.session.scalar(query.where(EnvironmentTag.name == name)) is not None:
        raise taken("tag", name, f" in the environment '{environment.name}'")
    return check_tag_name(name)


def _view(context: Context, tag: EnvironmentTag) -> dict[str, Any]:
    base = find_tag(context.session, tag.base_tag_id)
    build = latest_build(context, tag)
    return {
        "id": tag.id,
        "name": tag.name,
        "environment": tag.environment.name,
        "creation_date": tag.creation_date,
        "status": tag.status,
        "supports_request_format": tag.supports_request_format,
        "implicit": tag.revision_id is not None,
        "deprecated": tag.environment.deprecated,
        "size": build and build.size,
        "error_message": build and build.error_message,
        "base_environment_name": base and base.environment.name,
        "base_environment_tag": base and base.name,
        "built": tag.has_file,
    }
