"""Files in buckets. Their contents are transferred by signed URLs, which the storage serves itself."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, select

from ubiops.emulator.audit import record
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.resource import find
from ubiops.emulator.storage.queries import LAST, check_file_name, files_of, find_bucket, find_file
from ubiops.emulator.tables import Bucket, File, Part, Upload

_DEFAULT_LIMIT, _LARGEST_LIMIT = 100, 1000
_MOST_PARTS = 10_000


def files_upload(
    context: Context,
    project_name: str,
    bucket_name: str,
    file: str,
    data: Any,
    upload_id: str | None = None,
    part_number: str | None = None,
) -> dict[str, Any]:
    bucket = _find_bucket(context, project_name, bucket_name)
    if upload_id is not None or part_number is not None:
        return _upload_part(context, bucket, file, upload_id, part_number)
    check_file_name(bucket.prefix + file)
    _record(context, bucket, file, "info", f"Uploaded file '{file}' to bucket '{bucket_name}'")
    return _signed(context, "PUT", bucket, file)


def files_start_multipart_upload(
    context: Context, project_name: str, bucket_name: str, file: str, data: Any
) -> dict[str, Any]:
    bucket = _find_bucket(context, project_name, bucket_name)
    check_file_name(bucket.prefix + file)
    upload = Upload(bucket_id=bucket.id, name=file)
    context.session.add(upload)
    context.session.flush()
    return {"upload_id": upload.id, "provider": bucket.provider}


def _upload_part(
    context: Context, bucket: Bucket, name: str, upload_id: str | None, part_number: str | None
) -> dict[str, Any]:
    if upload_id is None or part_number is None:
        raise invalid("upload_id and part_number: a part of an upload needs both")
    if not re.fullmatch("[0-9]{1,5}", part_number) or not 1 <= int(part_number) <= _MOST_PARTS:
        raise invalid(f"part_number: it must be from 1 to {_MOST_PARTS}, not '{part_number}'")
    upload = _find_upload(context, bucket, name, upload_id)
    storage = context.engine.storage
    return {"url": storage.part_url(context.origin, upload.id, int(part_number)), "provider": bucket.provider}


async def files_complete_multipart_upload(
    context: Context, project_name: str, bucket_name: str, file: str, data: dict[str, Any]
) -> dict[str, Any]:
    bucket = _find_bucket(context, project_name, bucket_name)
    upload = _find_upload(context, bucket, file, data.get("upload_id"))
    parts = {part.number: part for part in context.session.scalars(select(Part).filter_by(upload_id=upload.id))}
    wanted = [_check_part(parts, given) for given in data["parts"]]
    if not wanted:
        raise invalid("parts: it must not be empty")
    storage = context.engine.storage
    context.session.commit()
    content = await storage.join([part.id for part in wanted])
    with storage.unless_failed(content):
        # Looked up again: it may have been completed or deleted meanwhile.
        upload = _find_upload(context, _find_bucket(context, project_name, bucket_name), file, upload.id)
        storage.put(context.session, bucket, file, content)
        storage.drop(context.session, [part.id for part in parts.values()])
        context.session.delete(upload)
        context.session.flush()
    _record(context, bucket, file, "info", f"Uploaded file '{file}' to bucket '{bucket_name}'")
    return {"upload_id": upload.id, "provider": bucket.provider}


def _find_upload(context: Context, bucket: Bucket, name: str, upload_id: str | None) -> Upload:
    what, where = f"The upload '{upload_id}'", f" of the file '{name}'"
    return find(context, Upload, what, where, id=upload_id, bucket_id=bucket.id, name=name)


def _check_part(parts: Mapping[int, Part], given: Mapping[str, Any]) -> Part:
    """The part that a completion names: by its number and the ETag of its upload, as at a storage provider."""
    number = str(given.get("PartNumber", ""))
    part = parts.get(int(number)) if re.fullmatch("[0-9]{1,5}", number) else None
    if part is None:
        raise invalid(f"parts: the part '{number}' was not uploaded; upload it first")
    if "ETag" in given and str(given["ETag"]).strip('"') != part.tag:
        raise invalid(f"parts: the ETag of the part {number} is not that of what was uploaded")
    return part


def files_download(context: Context, project_name: str, bucket_name: str, file: str) -> dict[str, Any]:
    bucket = _find_bucket(context, project_name, bucket_name)
    find_file(context.session, bucket, file)
    _record(context, bucket, file, "info", f"Downloaded file '{file}' from bucket '{bucket_name}'")
    return _signed(context, "GET", bucket, file)


def files_get(context: Context, project_name: str, bucket_name: str, file: str) -> dict[str, Any]:
    bucket = _find_bucket(context, project_name, bucket_name)
    return _view(bucket, find_file(context.session, bucket, file))


def files_delete(context: Context, project_name: str, bucket_name: str, file: str) -> None:
    bucket = _find_bucket(context, project_name, bucket_name)
    found = find_file(context.session, bucket, file)
    _record(context, bucket, file, "delete", f"Deleted file '{file}' from bucket '{bucket_name}'")
    context.engine.storage.remove_files(context.session, files_of(bucket).where(File.id == found.id))


def files_list(
    context: Context,
    project_name: str,
    bucket_name: str,
    prefix: str | None,
    delimiter: str | None,
    continuation_token: str | None,
    limit: int | None,
) -> dict[str, Any]:
    bucket = _find_bucket(context, project_name, bucket_name)
    listing = _Listing(context, bucket, bucket.prefix + (prefix or ""), delimiter)
    after = "" if continuation_token is None else _read_token(continuation_token)
    last = listing.read(after, _check_limit(limit))
    return {
        "files": [_view(bucket, file) for file in listing.files],
        "prefixes": [found.removeprefix(bucket.prefix) for found in listing.prefixes],
        "continuation_token": None if last is None else _write_token(last),
    }


class _Listing:
    """A page of files and, with a delimiter, of the folders that contain the rest, in the order of their names."""

    def __init__(self, context: Context, bucket: Bucket, prefix: str, delimiter: str | None) -> None:
        self.files: list[File] = []
        self.prefixes: list[str] = []
        self._context = context
        self._prefix = prefix
        self._delimiter = delimiter
        self._query: Select[File] = files_of(bucket).where(File.name >= prefix, File.name < prefix + LAST)

    def read(self, after: str, limit: int) -> str | None:
        """Read the page that follows a name; returns the name that the next page follows, or None at the end."""
        room = limit
        while True:
            # One more than fits on the page, which tells whether there is another page.
            query = self._query.where(File.name > after).order_by(File.name).limit(room + 1)
            found = self._context.session.scalars(query).all()
            for file in found:
                if not room:
                    return after
                room -= 1
                folder = self._folder(file.name)
                if folder is not None:
                    self.prefixes.append(folder)
                    after = folder + LAST
                    # The rest of the folder is skipped in the index, however many files it contains.
                    break
                self.files.append(file)
                after = file.name
            else:
                return None

    def _folder(self, name: str) -> str | None:
        if self._delimiter is None:
            return None
        end = name.find(self._delimiter, len(self._prefix))
        return None if end < 0 else name[: end + len(self._delimiter)]


def _check_limit(limit: int | None) -> int:
    if limit is None:
        return _DEFAULT_LIMIT
    if limit < 1:
        raise invalid(f"limit: it must be 1 or more, not {limit}")
    return min(limit, _LARGEST_LIMIT)


def _write_token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error) as error:
        raise invalid(f"continuation_token: '{token}' is not a token that a page returned") from error


def _find_bucket(context: Context, project_name: str, name: str) -> Bucket:
    return find_bucket(context.session, find_project(context, project_name).id, name)


def _record(context: Context, bucket: Bucket, file: str, action: str, event: str) -> None:
    record(context, bucket.project, action, event, object_type="file", object_name=f"{bucket.name}/{file}")


def _signed(context: Context, method: str, bucket: Bucket, name: str) -> dict[str, Any]:
    url = context.engine.storage.url(context.origin, method, bucket, name)
    return {"url": url, "provider": bucket.provider}


def _view(bucket: Bucket, file: File) -> dict[str, Any]:
    return {
        "file": file.name.removeprefix(bucket.prefix),
        "size": file.size,
        "time_created": file.time_created,
    }
