"""Revisions: the packages of a version."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

from sqlalchemy import select
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse

from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.execution.packages import whole
from ubiops.emulator.handlers.find import find_version
from ubiops.emulator.handlers.resource import find, record
from ubiops.emulator.handlers.uploads import keep_zip
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables import Build, Revision, Version
from ubiops.emulator.templates.commands import command_of
from ubiops.emulator.templates.commands import write_package as write_command
from ubiops.emulator.templates.training import TEMPLATE_ID, write_package


async def revisions_file_upload(
    context: Context,
    project_name: str,
    deployment_name: str,
    version: str,
    file: UploadFile | str | None,
    source_deployment: str | None,
    source_version: str | None,
    template_deployment_id: str | None,
) -> dict[str, Any]:
    if not find_version(context, project_name, deployment_name, version).deployment.supports_request_format:
        raise invalid("A deployment without the request format takes no package; its versions run a command")
    revision_id = new_id()
    target = context.engine.packages.archive(revision_id)
    with whole(target):
        if isinstance(file, UploadFile):
            context.session.commit()
            await asyncio.to_thread(keep_zip, file, target, "the package's directory")
        elif source_deployment and source_version:
            source = find_version(context, project_name, source_deployment, source_version)
            archive = context.engine.packages.archive(_latest_revision(context, source).id)
            context.session.commit()
            await asyncio.to_thread(shutil.copyfile, archive, target)
        elif template_deployment_id:
            if template_deployment_id != TEMPLATE_ID:
                raise not_found(f"The template '{template_deployment_id}' was not found; see template_deployments_list")
            context.session.commit()
            await asyncio.to_thread(write_package, target)
        else:
            raise invalid(
                "Pass the package as the form field file, source_deployment together with source_version, or "
                "template_deployment_id"
            )
        # Looked up again: it may have been deleted meanwhile.
        return create_revision(context, find_version(context, project_name, deployment_name, version), revision_id)


def latest_revision_id(context: Context, version: Version) -> str | None:
    """The id of the newest revision of a version."""
    query = select(Revision.id).where(Revision.version_id == version.id).order_by(Revision.number.desc())
    return context.session.scalar(query.limit(1))


def _latest_revision(context: Context, version: Version) -> Revision:
    query = select(Revision).where(Revision.version_id == version.id).order_by(Revision.number.desc())
    revision = context.session.scalar(query.limit(1))
    if revision is None:
        raise not_found(f"The version '{version.name}' has no package to copy")
    return revision


def create_revision(context: Context, version: Version, revision_id: str) -> dict[str, Any]:
    """Make a stored archive the new package of a version, and build it."""
    revision = Revision(id=revision_id, version=version, created_by=context.user)
    context.session.add(revision)
    version.last_file_uploaded = version.last_updated = now()
    context.session.flush()
    record(context, version, "info", f"Uploaded a package to {_place(version)}")
    build = start_build(context, version, revision.id, "Deployment file upload")
    return {"success": True, "revision": revision.id, "build": build.id}


def package_command(context: Context, version: Version) -> None:
    """Build a version that runs a command; do nothing for one that runs code."""
    command = command_of(version)
    if not command:
        return
    revision = Revision(id=new_id(), version=version, created_by=context.user)
    write_command(context.engine.packages.archive(revision.id), command)
    context.session.add(revision)
    context.session.flush()
    start_build(context, version, revision.id, "Command change")


def start_build(context: Context, version: Version, revision_id: str, trigger: str) -> Build:
    """Build a revision of a version."""
    build = Build(id=new_id(), version=version, revision_id=revision_id, trigger=trigger)
    context.session.add(build)
    version.latest_build_id, version.status = build.id, "building"
    context.session.flush()
    context.engine.builds.start(build.id, version.id)
    return build


async def revisions_rebuild(
    context: Context, project_name: str, deployment_name: str, version: str, revision_id: str, data: Any
) -> dict[str, Any]:
    revision = _find(context, project_name, deployment_name, version, revision_id)
    if _status(latest_build(context, revision)) in ("queued", "building"):
        raise invalid(f"A build of the revision '{revision_id}' is running; wait until it has ended")
    archive, new = context.engine.packages.archive(revision_id), new_id()
    target = context.engine.packages.archive(new)
    with whole(target):
        context.session.commit()
        await asyncio.to_thread(shutil.copyfile, archive, target)
        # Looked up again: it may have been deleted meanwhile.
        found = _find(context, project_name, deployment_name, version, revision_id).version
        copy = Revision(id=new, version=found, created_by=context.user)
        context.session.add(copy)
        found.last_updated = now()
        context.session.flush()
        record(context, found, "update", f"Built a package of {_place(found)} again")
        start_build(context, found, new, "Revision rebuild")
        return _view(context, copy)


def revisions_list(context: Context, project_name: str, deployment_name: str, version: str) -> list[dict[str, Any]]:
    found = find_version(context, project_name, deployment_name, version)
    query = select(Revision).where(Revision.version_id == found.id).order_by(Revision.number)
    return [_view(context, revision) for revision in context.session.scalars(query)]


def revisions_get(
    context: Context, project_name: str, deployment_name: str, version: str, revision_id: str
) -> dict[str, Any]:
    return _view(context, _find(context, project_name, deployment_name, version, revision_id))


def revisions_file_download(
    context: Context, project_name: str, deployment_name: str, version: str, revision_id: str
) -> FileResponse:
    revision = _find(context, project_name, deployment_name, version, revision_id)
    record(context, revision.version, "info", f"Downloaded a package of {_place(revision.version)}")
    return FileResponse(
        context.engine.packages.archive(revision.id),
        media_type="application/octet-stream",
        filename=f"{deployment_name}_{version}.zip",
    )


def _find(context: Context, project_name: str, deployment_name: str, version: str, revision_id: str) -> Revision:
    found = find_version(context, project_name, deployment_name, version)
    where = f" in the version '{version}'"
    return find(context, Revision, f"The revision '{revision_id}'", where, version_id=found.id, id=revision_id)


def _place(version: Version) -> str:
    return f"version {version.name} of deployment {version.deployment.name}"


def latest_build(context: Context, revision: Revision) -> Build | None:
    """The newest build of a revision."""
    query = select(Build).where(Build.version_id == revision.version_id, Build.revision_id == revision.id)
    return context.session.scalar(query.order_by(Build.number.desc()).limit(1))


def _status(build: Build | None) -> str | None:
    """The status of a revision, which, unlike that of a build, is never validating."""
    if build is None:
        return None
    return "building" if build.status == "validating" else build.status


def _view(context: Context, revision: Revision) -> dict[str, Any]:
    build = latest_build(context, revision)
    return {
        "id": revision.id,
        "version": revision.version.name,
        "creation_date": revision.creation_date,
        "created_by": revision.created_by,
        "status": _status(build),
        "error_message": (build and build.error_message) or None,
        "has_request_method": build and build.has_request_method,
        "has_requests_method": build and build.has_requests_method,
        "empty": not revision.version.deployment.supports_request_format,
    }
