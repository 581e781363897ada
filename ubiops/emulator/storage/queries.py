"""Queries for buckets, files and blobs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ubiops.emulator.dates import now, timestamp
from ubiops.emulator.errors import invalid, not_found
from ubiops.emulator.tables import Blob, Bucket, File

LAST = "\U0010ffff"
"""The last of all characters: texts with a prefix sort before the prefix followed by this."""


def files_of(bucket: Bucket) -> Select[File]:
    """The files of a bucket that have not expired."""
    query = all_files_of(bucket)
    return query if bucket.ttl is None else query.where(File.time_created > oldest_of(bucket))


def all_files_of(bucket: Bucket) -> Select[File]:
    """The files of a bucket, including those that have expired but are still on disk."""
    query = select(File).where(File.place == bucket.place)
    return query.where(File.name >= bucket.prefix, File.name < bucket.prefix + LAST) if bucket.prefix else query


def oldest_of(bucket: Bucket) -> str:
    """The earliest creation date of a file of a bucket that has not expired."""
    assert bucket.ttl is not None
    return timestamp(datetime.now(timezone.utc) - timedelta(seconds=bucket.ttl))


def find_bucket(session: Session, project_id: str, name: str) -> Bucket:
    """Find a bucket by its name.

    Raises:
        ApiError: 404: it doesn't exist.
    """
    bucket = session.scalar(select(Bucket).where(Bucket.project_id == project_id, Bucket.name == name))
    if bucket is None:
        raise not_found(f"The bucket '{name}' was not found")
    return bucket


def find_file(session: Session, bucket: Bucket, name: str) -> File:
    """Find a file by its name in a bucket.

    Raises:
        ApiError: 404: it doesn't exist, or has expired.
    """
    file = session.scalar(files_of(bucket).where(File.name == bucket.prefix + name))
    if file is None:
        raise not_found(f"The file '{name}' was not found in the bucket '{bucket.name}'")
    return file


def find_blob(session: Session, project_id: str, blob_id: str) -> Blob:
    """Find a blob by its id.

    Raises:
        ApiError: 404: it doesn't exist, or has expired.
    """
    query = select(Blob).where(Blob.project_id == project_id, Blob.id == blob_id, Blob.expires > now())
    blob = session.scalar(query)
    if blob is None:
        raise not_found(f"The blob '{blob_id}' was not found")
    return blob


def check_file_name(name: str) -> str:
    """Check the name of a file in a bucket: up to 1024 bytes, slashes included.

    Raises:
        ApiError: 400: it isn't a valid name.
    """
    if not name or len(name.encode(errors="replace")) > 1024 or name in (".", "..") or {"\0", LAST} & {*name}:
        raise invalid(f"The file name '{name[:100]}' is not valid: use 1 to 1024 bytes, and not '.' or '..'")
    return name
