"""The endpoint of signed URLs."""

from __future__ import annotations

from urllib.parse import unquote

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from ubiops.emulator.errors import ApiError, invalid, not_found
from ubiops.emulator.storage.contents import BLOCK, PARTS, PATH, Storage
from ubiops.emulator.storage.queries import find_file
from ubiops.emulator.store import Store
from ubiops.emulator.tables import Bucket, Part, Upload
from ubiops.emulator.web.bodies import LARGEST_FILE, BoundedRequest
from ubiops.emulator.web.responses import failure


class ContentResponse(FileResponse):
    """A content, streamed; ranges are supported. It stays on disk until the last byte is sent."""

    chunk_size = BLOCK

    def __init__(self, storage: Storage, content_id: str, *, filename: str | None = None) -> None:
        super().__init__(storage.path(content_id), media_type="application/octet-stream", filename=filename)
        self._storage = storage
        self._content_id = content_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._storage.hold(self._content_id):
            await super().__call__(scope, receive, send)


class StorageEndpoint:
    """Answers requests to signed URLs without a token, as cloud storage does.

    Args:
        store: The database.
        storage: The contents.
    """

    def __init__(self, store: Store, storage: Storage) -> None:
        self._store = store
        self._storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = BoundedRequest(scope, receive, LARGEST_FILE)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception as error:
            response = failure(request, error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method not in ("GET", "PUT"):
            raise ApiError(405, f"The method {method} is not allowed here; use the one of the URL, GET or PUT")
        bucket_id, _, name = request.scope["raw_path"].decode("ascii", "replace")[len(PATH) + 1 :].partition("/")
        name, query = unquote(name), request.query_params
        self._storage.check(method, bucket_id, name, query.get("expires", ""), query.get("signature", ""))
        if bucket_id == PARTS:
            return await self._receive_part(request, *name.split("/"))
        return self._send(bucket_id, name) if method == "GET" else await self._receive(request, bucket_id, name)

    def _send(self, bucket_id: str, name: str) -> Response:
        with self._store.session() as session:
            return ContentResponse(self._storage, find_file(session, _bucket(session, bucket_id), name).id)

    async def _receive(self, request: Request, bucket_id: str, name: str) -> Response:
        with self._store.session() as session:
            azure = _bucket(session, bucket_id).provider == "azure_blob_storage"
        if azure and request.headers.get("x-ms-blob-type") != "BlockBlob":
            raise invalid("Azure takes an upload only with the header x-ms-blob-type: BlockBlob")
        content = await self._storage.receive(request.stream())
        with self._storage.unless_failed(content), self._store.session() as session:
            self._storage.put(session, _bucket(session, bucket_id), name, content)
        return Response(status_code=201 if azure else 200)

    async def _receive_part(self, request: Request, upload_id: str, number: str) -> Response:
        content = await self._storage.receive(request.stream())
        # Not a hash of the content, which would have to be read again; the ETag of a large file on S3 isn't one.
        tag = content[0].replace("-", "")
        with self._storage.unless_failed(content), self._store.session() as session:
            if session.get(Upload, upload_id) is None:
                raise not_found("The upload was completed or deleted")
            place = {"upload_id": upload_id, "number": int(number)}
            # A part that is uploaded again replaces the earlier one.
            for old in session.scalars(select(Part).filter_by(**place)).all():
                self._storage.drop(session, [old.id])
                session.delete(old)
                session.flush()
            session.add(Part(id=content[0], tag=tag, **place))
        return Response(status_code=200, headers={"ETag": f'"{tag}"'})


def _bucket(session: Session, bucket_id: str) -> Bucket:
    bucket = session.get(Bucket, bucket_id)
    if bucket is None:
        raise not_found("The bucket was deleted")
    return bucket
