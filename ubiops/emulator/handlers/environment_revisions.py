"""Revisions of environments and their builds: the older form of tags."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse

from ubiops.emulator.context import Context
from ubiops.emulator.environments import find_tag
from ubiops.emulator.errors import invalid
from ubiops.emulator.execution.environments import REBUILD, add_build, latest_tag_id, next_name
from ubiops.emulator.handlers.environment_files import (
    NO_IMAGES,
    cancel,
    dependency_files,
    download,
    give_file,
    is_running,
    keep_file,
)
from ubiops.emulator.handlers.find import find_environment, find_own_environment
from ubiops.emulator.handlers.resource import find, record
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables import EnvironmentBuild, EnvironmentTag

_UPLOAD = "Environment revision creation"


async def environment_revisions_file_upload(
    context: Context,
    project_name: str,
    environment_name: str,
    file: UploadFile | str | None,
    source_environment: str | None,
) -> dict[str, Any]:
    environment = find_own_environment(context, project_name, environment_name)
    if environment.base is None:
        raise invalid(f"The environment '{environment_name}' has no base_environment. {NO_IMAGES}")
    source = _latest(context, project_name, source_environment) if source_environment else None
    kept = await keep_file(context, file, source)
    # Looked up again: it may have been deleted meanwhile.
    environment = find_own_environment(context, project_name, environment_name)
    assert environment.base is not None
    tag = EnvironmentTag(
        id=new_id(),
        environment=environment,
        name=next_name(context.session, environment),
        base_tag_id=environment.base.active_tag_id or latest_tag_id(context.session, environment.base),
        created_by=context.user,
        supports_request_format=environment.supports_request_format,
    )
    context.session.add(tag)
    give_file(context, tag, kept)
    build = add_build(context.session, tag, _UPLOAD)
    record(context, environment, "info", f"Uploaded a file to environment {environment.name}")
    context.engine.environments.start(build.id)
    return {"success": True, "revision": tag.id, "build": build.id}


def environment_revisions_list(context: Context, project_name: str, environment_name: str) -> list[dict[str, Any]]:
    environment = find_environment(context, project_name, environment_name)
    query = select(EnvironmentTag).where(EnvironmentTag.environment_id == environment.id, EnvironmentTag.has_file)
    return [_view(tag) for tag in context.session.scalars(query.order_by(EnvironmentTag.number))]


def environment_revisions_get(
    context: Context, project_name: str, environment_name: str, revision_id: str
) -> dict[str, Any]:
    return _view(_find(context, project_name, environment_name, revision_id))


def environment_revisions_file_download(
    context: Context, project_name: str, environment_name: str, revision_id: str
) -> FileResponse:
    return download(context, _find(context, project_name, environment_name, revision_id))


def environment_revisions_rebuild(
    context: Context, project_name: str, environment_name: str, revision_id: str, data: Any
) -> dict[str, Any]:
    find_own_environment(context, project_name, environment_name)
    return _view_build(rebuild(context, _find(context, project_name, environment_name, revision_id)))


def rebuild(context: Context, tag: EnvironmentTag) -> EnvironmentBuild:
    """Rebuild a tag.

    Raises:
        ApiError: 400: it has no file, or it is being built.
    """
    if not tag.has_file:
        raise invalid(f"The tag '{tag.name}' of '{tag.environment.name}' has no file to build")
    if is_running(context, tag):
        raise invalid(f"A build of '{tag.environment.name}' is running; wait until it has ended")
    build = add_build(context.session, tag, REBUILD)
    record(context, tag.environment, "update", f"Built environment {tag.environment.name} again")
    context.engine.environments.start(build.id)
    return build


def environment_builds_list(
    context: Context, project_name: str, environment_name: str, revision_id: str
) -> list[dict[str, Any]]:
    tag = _find(context, project_name, environment_name, revision_id)
    query = select(EnvironmentBuild).where(EnvironmentBuild.tag_id == tag.id).order_by(EnvironmentBuild.number)
    return [_view_build(build) for build in context.session.scalars(query)]


def environment_builds_get(
    context: Context, project_name: str, environment_name: str, revision_id: str, build_id: str
) -> dict[str, Any]:
    return _view_build(_find_build(context, project_name, environment_name, revision_id, build_id))


def environment_builds_update(
    context: Context, project_name: str, environment_name: str, revision_id: str, build_id: str, data: dict[str, Any]
) -> dict[str, Any]:
    find_own_environment(context, project_name, environment_name)
    build = _find_build(context, project_name, environment_name, revision_id, build_id)
    cancel(context, build, data)
    return _view_build(build)


def environment_build_dependencies_list(
    context: Context, project_name: str, environment_name: str, revision_id: str, build_id: str
) -> list[dict[str, Any]]:
    return dependency_files(_find_build(context, project_name, environment_name, revision_id, build_id))


def _latest(context: Context, project_name: str, environment_name: str) -> EnvironmentTag:
    environment = find_environment(context, project_name, environment_name)
    tag = find_tag(context.session, latest_tag_id(context.session, environment))
    if tag is None:
        raise invalid(f"The environment '{environment.name}' has no file to copy")
    return tag


def _find(context: Context, project_name: str, environment_name: str, revision_id: str) -> EnvironmentTag:
    environment = find_environment(context, project_name, environment_name)
    where = f" in the environment '{environment_name}'"
    place = {"environment_id": environment.id, "id": revision_id, "has_file": True}
    return find(context, EnvironmentTag, f"The revision '{revision_id}'", where, **place)


def _find_build(
    context: Context, project_name: str, environment_name: str, revision_id: str, build_id: str
) -> EnvironmentBuild:
    tag = _find(context, project_name, environment_name, revision_id)
    where = f" in the revision '{revision_id}'"
    return find(context, EnvironmentBuild, f"The build '{build_id}'", where, tag_id=tag.id, id=build_id)


def _view(tag: EnvironmentTag) -> dict[str, Any]:
    return {
        "id": tag.id,
        "environment": tag.environment.name,
        "creation_date": tag.creation_date,
        "created_by": tag.created_by,
        "expired": False,
    }


def _view_build(build: EnvironmentBuild) -> dict[str, Any]:
    return {
        "id": build.id,
        "revision": build.tag_id,
        "creation_date": build.creation_date,
        "status": build.status,
        "error_message": build.error_message,
        "trigger": build.trigger,
        "size": build.size,
    }
