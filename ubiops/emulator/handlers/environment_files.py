"""Uploads to environments, for revisions as for tags."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import Any

from sqlalchemy import select
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.execution.environments import RUNNING, end_build
from ubiops.emulator.execution.packages import whole
from ubiops.emulator.handlers.resource import record
from ubiops.emulator.handlers.uploads import keep_zip
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables import EnvironmentBuild, EnvironmentTag

NO_IMAGES = (
    "The emulator runs no images, only Python code: set a base environment, and upload a zip with "
    "requirements.txt or ubiops.yaml"
)


async def keep_file(context: Context, file: UploadFile | str | None, source: EnvironmentTag | None) -> str:
    """Store an uploaded zip, or a copy of another tag's zip, until it is given to a tag.

    Returns:
        Id under which it is stored. The transaction was committed meanwhile.

    Raises:
        ApiError: 400: not exactly one of the two was passed, or the file isn't a zip.
    """
    if isinstance(file, UploadFile) == (source is not None):
        raise invalid("Pass either a zip as the form field file, or what to copy it from")
    id = new_id()
    target = context.engine.packages.archive(id)
    with whole(target):
        if isinstance(file, UploadFile):
            context.session.commit()
            content = "a folder with requirements.txt or ubiops.yaml; single files and images are not accepted"
            await asyncio.to_thread(keep_zip, file, target, content)
        else:
            assert source is not None
            archive = context.engine.packages.archive(source.id)
            if not source.has_file or not archive.is_file():
                raise invalid(f"The tag '{source.name}' of '{source.environment.name}' has no file to copy")
            context.session.commit()
            await asyncio.to_thread(shutil.copyfile, archive, target)
    return id


def give_file(context: Context, tag: EnvironmentTag, kept: str) -> None:
    """Give a stored file to a tag."""
    os.replace(context.engine.packages.archive(kept), context.engine.packages.archive(tag.id))
    tag.has_file = True


def download(context: Context, tag: EnvironmentTag) -> FileResponse:
    """The file of a tag."""
    archive = context.engine.packages.archive(tag.id)
    if not tag.has_file or not archive.is_file():
        raise not_found(f"The tag '{tag.name}' of the environment '{tag.environment.name}' has no file")
    record(context, tag.environment, "info", f"Downloaded a file of environment {tag.environment.name}")
    return FileResponse(
        archive, media_type="application/octet-stream", filename=f"{tag.environment.name}_{tag.name}.zip"
    )


def latest_build(context: Context, tag: EnvironmentTag) -> EnvironmentBuild | None:
    """The newest build of a tag."""
    return context.session.scalar(select(EnvironmentBuild).where(EnvironmentBuild.id == tag.latest_build_id))


def is_running(context: Context, tag: EnvironmentTag) -> bool:
    """Whether a tag is being built."""
    build = latest_build(context, tag)
    return build is not None and build.status in RUNNING


def cancel(context: Context, build: EnvironmentBuild | None, data: dict[str, Any]) -> None:
    """Cancel a build if the status in a body asks for it.

    Raises:
        ApiError: 400: the status is another one, or the build has ended.
    """
    if data["status"] != "cancelled":
        raise invalid(f"status: it can only be set to cancelled, not '{data['status']}'")
    if build is None or build.status not in RUNNING:
        raise invalid("status: no build is running, so none can be cancelled")
    end_build(build, "cancelled", None)
    context.engine.environments.cancel(build.id)
    environment = build.tag.environment
    record(context, environment, "update", f"Cancelled a build of environment {environment.name}")


def dependency_files(build: EnvironmentBuild | None) -> list[dict[str, Any]]:
    """The names and texts of the files that a build read."""
    return list(build.dependency_files) if build is not None else []
