"""Blobs: files with a time to live, identified by their ids."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from starlette.datastructures import UploadFile

from ubiops.emulator.context import Context
from ubiops.emulator.dates import now, parse_moment
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.resource import record
from ubiops.emulator.ids import new_id
from ubiops.emulator.storage.contents import BLOB_TTL
from ubiops.emulator.storage.endpoint import ContentResponse
from ubiops.emulator.storage.queries import find_blob
from ubiops.emulator.tables import Blob

_DEFAULT_RANGE = -50
_LONGEST_TTL = 100 * 365 * 86400


async def blobs_create(
    context: Context, project_name: str, file: UploadFile | str | None, blob_ttl: int | None
) -> dict[str, Any]:
    ttl = _check_ttl(blob_ttl)
    find_project(context, project_name)
    upload = _check_file(file)
    context.session.commit()
    content = await context.engine.storage.copy(upload.file)
    with context.engine.storage.unless_failed(content):
        project = find_project(context, project_name)
        blob = Blob(id=new_id(), project_id=project.id, created_by=context.user)
        return _put(context, blob, upload, content, ttl, "create")


async def blobs_update(
    context: Context, project_name: str, blob_id: str, file: UploadFile | str | None, blob_ttl: int | None
) -> dict[str, Any]:
    ttl = _check_ttl(blob_ttl)
    find_blob(context.session, find_project(context, project_name).id, blob_id)
    upload = _check_file(file)
    context.session.commit()
    content = await context.engine.storage.copy(upload.file)
    with context.engine.storage.unless_failed(content):
        project = find_project(context, project_name)
        blob = find_blob(context.session, project.id, blob_id)
        return _put(context, blob, upload, content, ttl, "update")


def blobs_list(
    context: Context, project_name: str, range: int | None, creation_date: str | None
) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    number = _DEFAULT_RANGE if range is None else range
    query = select(Blob).where(Blob.project_id == project.id, Blob.expires > now()).limit(abs(number))
    forward = number > 0
    if creation_date is not None:
        moment = parse_moment("creation_date", creation_date)
        query = query.where(Blob.creation_date >= moment if forward else Blob.creation_date <= moment)
    query = query.order_by(Blob.number.asc() if forward else Blob.number.desc())
    return [_view(blob) for blob in context.session.scalars(query)]


def blobs_get(context: Context, project_name: str, blob_id: str) -> ContentResponse:
    project = find_project(context, project_name)
    blob = find_blob(context.session, project.id, blob_id)
    record(context, blob, "info", f"Downloaded blob '{blob.filename}'")
    return ContentResponse(context.engine.storage, blob.content_id, filename=blob.filename)


def blobs_delete(context: Context, project_name: str, blob_id: str) -> None:
    project = find_project(context, project_name)
    blob = find_blob(context.session, project.id, blob_id)
    record(context, blob, "delete", f"Deleted blob '{blob.filename}'")
    context.engine.storage.remove_blobs(context.session, select(Blob).where(Blob.id == blob_id))


def _put(
    context: Context,
    blob: Blob,
    upload: UploadFile,
    content: tuple[str, int],
    ttl: int,
    action: str,
) -> dict[str, Any]:
    assert upload.filename
    context.engine.storage.put_blob(context.session, blob, upload.filename, content, ttl)
    context.session.flush()
    record(context, blob, action, f"{action.capitalize()}d blob '{blob.filename}'")
    return _view(blob)


def _check_file(file: UploadFile | str | None) -> UploadFile:
    if not isinstance(file, UploadFile) or not file.filename:
        raise invalid("Pass the file as the form field file, with its name")
    return file


def _check_ttl(ttl: int | None) -> int:
    if ttl is None:
        return BLOB_TTL
    if not 1 <= ttl <= _LONGEST_TTL:
        raise invalid(f"blob-ttl: it must be from 1 to {_LONGEST_TTL} seconds, not {ttl}")
    return ttl


def _view(blob: Blob) -> dict[str, Any]:
    return {
        "id": blob.id,
        "created_by": blob.created_by,
        "creation_date": blob.creation_date,
        "last_updated": blob.last_updated,
        "filename": blob.filename,
        "size": blob.size,
        "ttl": blob.ttl,
    }
