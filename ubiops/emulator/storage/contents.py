"""The contents of files and blobs on disk, and the signatures of the URLs that lead to them.

A content is written once, under an id of its own, and never changed: what replaces a file gets a new id. So neither a
running download nor a crash in the middle of an upload ever leads to half a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from sqlalchemy import Select, delete, event, select
from sqlalchemy.orm import Session

from ubiops.emulator.dates import now, timestamp
from ubiops.emulator.errors import ApiError
from ubiops.emulator.ids import new_id
from ubiops.emulator.storage.queries import all_files_of, files_of, oldest_of
from ubiops.emulator.store import Store
from ubiops.emulator.tables import Blob, Bucket, File, Part, Project, Upload

URL_LIFETIME = 3600
"""Seconds for which a signed URL is valid."""

BLOB_TTL = 86400
"""Seconds that a blob is kept, unless its uploader says otherwise."""

PATH = "/_emulator/storage"
"""Path that signed URLs begin with."""

PARTS = "parts"
"""Takes the place of the bucket in the URL of a part."""

BLOCK = 2**20
"""Bytes that are read or written at once."""


class Storage:
    """The contents of files and blobs.

    Args:
        store: The database.
        directory: Where the contents are kept; created if it doesn't exist.
    """

    def __init__(self, store: Store, directory: Path) -> None:
        self._store = store
        self._contents = directory / "contents"
        self._incoming = directory / "incoming"
        self._work = directory / "work"
        self._held: Counter[str] = Counter()
        self._dropped: set[str] = set()
        for path in (self._contents, self._incoming, self._work):
            path.mkdir(parents=True, exist_ok=True)
        self._key = _signing_key(directory / "signing.key")

    # Contents

    def path(self, content_id: str) -> Path:
        """The path of a content."""
        return self._contents / content_id

    async def receive(self, blocks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Store a stream; returns the id of the content and its size in bytes."""
        content_id = new_id()
        incoming = self._incoming / content_id
        try:
            with incoming.open("wb", buffering=0) as file:
                async for block in _gathered(blocks):
                    await asyncio.to_thread(_write, file, block)
                size = file.tell()
            incoming.replace(self.path(content_id))
        finally:
            incoming.unlink(missing_ok=True)
        return content_id, size

    async def join(self, content_ids: Sequence[str]) -> tuple[str, int]:
        """Join several contents to a new one; returns its id and its size in bytes."""
        content_id = new_id()
        incoming = self._incoming / content_id
        try:
            await asyncio.to_thread(_join, [self.path(id) for id in content_ids], incoming)
            size = incoming.stat().st_size
            incoming.replace(self.path(content_id))
        finally:
            incoming.unlink(missing_ok=True)
        return content_id, size

    async def copy(self, source: BinaryIO | Path) -> tuple[str, int]:
        """Store a copy of a file; returns the id of the content and its size in bytes."""
        content_id = new_id()
        incoming = self._incoming / content_id
        try:
            await asyncio.to_thread(_copy, source, incoming)
            size = incoming.stat().st_size
            incoming.replace(self.path(content_id))
        finally:
            incoming.unlink(missing_ok=True)
        return content_id, size

    @contextmanager
    def unless_failed(self, content: tuple[str, int]) -> Iterator[None]:
        """Delete a new content if the block fails."""
        try:
            yield
        except BaseException:
            self._drop([content[0]])
            raise

    @contextmanager
    def hold(self, content_id: str) -> Iterator[Path]:
        """The file of a content, which isn't deleted inside the block."""
        self._held[content_id] += 1
        try:
            yield self.path(content_id)
        finally:
            self._held[content_id] -= 1
            if not self._held[content_id]:
                del self._held[content_id]
                if content_id in self._dropped:
                    self._drop([content_id])

    def drop(self, session: Session, content_ids: Iterable[str]) -> None:
        """Delete contents once the current transaction is committed and no reader is left."""
        dropped = list(content_ids)
        if dropped:
            event.listen(session, "after_commit", lambda _: self._drop(dropped), once=True)

    def _drop(self, content_ids: Iterable[str]) -> None:
        for content_id in content_ids:
            if content_id in self._held:
                self._dropped.add(content_id)
            else:
                self._dropped.discard(content_id)
                self.path(content_id).unlink(missing_ok=True)

    # Files and blobs

    def put(self, session: Session, bucket: Bucket, name: str, content: tuple[str, int]) -> None:
        """Name a content in a bucket; it replaces a file of that name."""
        self.remove_files(session, files_of(bucket).where(File.name == bucket.prefix + name))
        content_id, size = content
        session.add(File(id=content_id, place=bucket.place, name=bucket.prefix + name, size=size))

    def put_blob(
        self, session: Session, blob: Blob, filename: str, content: tuple[str, int], ttl: int = BLOB_TTL
    ) -> None:
        """Set the content of a blob, in place of any earlier one, and its time to live in seconds from now."""
        if blob.content_id is not None:
            self.drop(session, [blob.content_id])
        moment = datetime.now(timezone.utc)
        blob.content_id, blob.size = content
        blob.filename, blob.ttl = filename, ttl
        blob.last_updated, blob.expires = timestamp(moment), timestamp(moment + timedelta(seconds=ttl))
        blob.creation_date = blob.creation_date or blob.last_updated
        session.add(blob)

    def remove_files(self, session: Session, files: Select[File]) -> None:
        """Delete files, and their contents."""
        ids = files.with_only_columns(File.id)
        self.drop(session, session.scalars(ids))
        session.execute(delete(File).where(File.id.in_(ids)))

    def remove_blobs(self, session: Session, blobs: Select[Blob]) -> None:
        """Delete blobs, and their contents."""
        self.drop(session, session.scalars(blobs.with_only_columns(Blob.content_id)))
        session.execute(delete(Blob).where(Blob.id.in_(blobs.with_only_columns(Blob.id))))

    def forget(self, session: Session, project: Project) -> None:
        """Delete the files and blobs of a project that is being deleted; files of other providers stay."""
        for bucket in session.scalars(select(Bucket).where(Bucket.project_id == project.id)):
            self.forget_bucket(session, bucket)
        self.remove_blobs(session, select(Blob).where(Blob.project_id == project.id))

    def forget_bucket(self, session: Session, bucket: Bucket) -> None:
        """Delete the files of a bucket that is being deleted, unless it is one of another provider."""
        parts = select(Part.id).join(Upload, Part.upload_id == Upload.id).where(Upload.bucket_id == bucket.id)
        self.drop(session, session.scalars(parts))
        if bucket.provider == "ubiops":
            self.remove_files(session, files_of(bucket))

    # Local files of a request

    def work_directory(self, request_id: str) -> Path:
        """The directory of a request's input files while it runs."""
        return self._work / request_id

    # Signed URLs

    def url(self, origin: str, method: str, bucket: Bucket, name: str) -> str:
        """An absolute URL that allows one operation, for a while.

        Args:
            origin: Scheme, host and port at which the caller reached the emulator.
            method: ``GET`` or ``PUT``.
            bucket: Bucket of the file.
            name: Name of the file in the bucket.
        """
        expires = int(time.time()) + URL_LIFETIME
        query = urlencode({"expires": expires, "signature": self._sign(method, bucket.id, name, str(expires))})
        return f"{origin}{PATH}/{bucket.id}/{quote(name, safe='')}?{query}"

    def part_url(self, origin: str, upload_id: str, number: int) -> str:
        """An absolute URL to which one part of an upload can be sent, for a while."""
        expires = int(time.time()) + URL_LIFETIME
        query = urlencode(
            {"expires": expires, "signature": self._sign("PUT", PARTS, f"{upload_id}/{number}", str(expires))}
        )
        return f"{origin}{PATH}/{PARTS}/{quote(f'{upload_id}/{number}', safe='')}?{query}"

    def check(self, method: str, bucket_id: str, name: str, expires: str, signature: str) -> None:
        """Check a signed URL.

        Raises:
            ApiError: 403: it was tampered with, is for another method, or has expired.
        """
        expected = self._sign(method, bucket_id, name, expires)
        if not secrets.compare_digest(signature.encode(), expected.encode()):
            raise ApiError(403, f"The signature of the URL is not valid for {method}; ask the API for a new URL")
        if int(expires) < time.time():
            raise ApiError(403, "The URL has expired; ask the API for a new one")

    def _sign(self, *parts: str) -> str:
        return hmac.new(self._key, "&".join(map(quote, parts)).encode(), hashlib.sha256).hexdigest()

    # Maintenance

    def expire(self) -> None:
        """Delete what has outlived its time to live; it is hidden already."""
        with self._store.session() as session:
            self.remove_blobs(session, select(Blob).where(Blob.expires <= now()))
            for bucket in session.scalars(select(Bucket).where(Bucket.ttl.is_not(None))):
                self.remove_files(session, all_files_of(bucket).where(File.time_created <= oldest_of(bucket)))

    def recover(self) -> None:
        """Delete contents that nothing refers to, left behind by an earlier process that was killed."""
        for directory in (self._incoming, self._work):
            _empty(directory)
        with self._store.session() as session:
            kept = (File.id, Blob.content_id, Part.id)
            known = {id for column in kept for id in session.scalars(select(column))}
        for name in set(os.listdir(self._contents)) - known:
            self.path(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete everything."""
        for directory in (self._contents, self._incoming, self._work):
            _empty(directory)


def _signing_key(path: Path) -> bytes:
    # Stored with the contents, so that URLs survive a restart.
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()


async def _gathered(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytearray]:
    """The same bytes in larger blocks, since each block is written in a thread of its own."""
    gathered = bytearray()
    async for block in blocks:
        gathered += block
        if len(gathered) >= BLOCK:
            yield gathered
            gathered = bytearray()
    if gathered:
        yield gathered


def _write(file: Any, block: bytearray) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


def _copy(source: BinaryIO | Path, target: Path) -> None:
    if isinstance(source, Path):
        shutil.copyfile(source, target)
        return
    with target.open("wb") as file:
        shutil.copyfileobj(source, file, BLOCK)


def _join(sources: Sequence[Path], target: Path) -> None:
    with target.open("wb") as joined:
        for source in sources:
            with source.open("rb") as file:
                shutil.copyfileobj(file, joined, BLOCK)


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(exist_ok=True)
