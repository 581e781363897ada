"""The upload of a file: whole or, if it is large, in parts that are retried one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ubiops.exceptions import ApiException
from ubiops.files import Stream
from ubiops.utils.answers import check_answer
from ubiops.utils.files.transfer import new_deadline, send, time_of_call, url_of
from ubiops.utils.files.upload_record import Part, UploadRecord

if TYPE_CHECKING:
    import os

    from ubiops.api.core_api import CoreApi
    from ubiops.files import Upload
    from ubiops.models import FileUploadResponse
    from ubiops.utils.files.transfer import Report, Timeout
    from ubiops.utils.files.uri import UbiOpsFile

__all__ = ["upload"]

_AZURE = "azure_blob_storage"
_AZURE_HEADERS = {"x-ms-version": "2020-04-08", "x-ms-blob-type": "BlockBlob"}
_LARGE = 1 << 30
"""Bytes above which a file is sent in parts, if the service supports that."""

_PART = 128 << 20
"""Bytes of a part; the last one has the rest."""

_NOT_KNOWN = (400, 404)
"""The statuses for an upload that has ended, or that the storage has given up."""


def upload(
    api: CoreApi,
    project_name: str,
    file: UbiOpsFile,
    content: Upload,
    report: Report,
    timeout: Timeout = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> None:
    """Send a file to a bucket.

    If the connection breaks off, the transport starts over with a fresh URL: an upload to a signed URL can't be
    resumed. A large file is sent in parts if the service supports that, so that only a part is repeated.

    Args:
        api: The client.
        project_name: Name of the project.
        file: The file in the bucket.
        content: What to send.
        report: Called with the progress.
        timeout: Seconds in all, or a pair (connect, wait for data); None for no limit, but there must be progress.
        checkpoint: Path of the record from which an upload in parts is continued; by default there is no record.

    Raises:
        ApiValueError: The checkpoint can't be used.
        ApiException: The API or the storage refused it, or there was no progress for too long.
        ApiFileError: The file couldn't be read to its end.
    """
    storage = _Storage(api, project_name, file, timeout)
    if content.length is not None and content.length > _LARGE and content.rewindable:
        if checkpoint is None:
            if _Parts(storage, content, report, None).send():
                return
        else:
            with UploadRecord(checkpoint, project_name, file) as record:
                if _Parts(storage, content, report, record).send():
                    record.delete()
                    return
                record.delete()
    storage.put(content, report)


class _Storage:
    """The storage of a bucket, for one file, by the signed URLs of the API."""

    def __init__(self, api: CoreApi, project_name: str, file: UbiOpsFile, timeout: Timeout) -> None:
        self.file = file
        self._api = api
        self._place = (project_name, file.bucket, file.file)
        self._timeout = timeout
        self._deadline = new_deadline(timeout)

    def put(self, content: Upload, report: Report) -> None:
        """Send the file whole."""

        def ask() -> FileUploadResponse:
            return self._api.files_upload(*self._place, _request_timeout=self._time())

        target = ask()
        url = url_of("files_upload", target)
        headers = {"Content-Disposition": _disposition(self.file.file)}
        if content.length is not None:
            headers["Content-Length"] = str(content.length)
        if target.provider == _AZURE:
            headers.update(_AZURE_HEADERS)
        body = _Reported(content, report)
        send(self._api, "PUT", url, lambda: url_of("files_upload", ask()), headers, self._deadline, body)

    def start_parts(self) -> str | None:
        """Start an upload in parts, and return its id; None if the service or the bucket doesn't support that."""
        try:
            started = self._api.files_start_multipart_upload(*self._place, _request_timeout=self._time())
        except ApiException as error:
            # Older services have no such operation.
            if error.status in (404, 405):
                return None
            raise
        check_answer("files_start_multipart_upload", started, "upload_id", "provider")
        # Azure has blocks and block lists instead of parts.
        return None if started.provider == _AZURE else started.upload_id

    def put_part(self, upload_id: str, number: int, part: Stream) -> str:
        """Send a part, and return its ETag."""

        def ask() -> str:
            answer = self._api.files_upload(
                *self._place, upload_id=upload_id, part_number=str(number), _request_timeout=self._time()
            )
            return url_of("files_upload", answer)

        headers = {"Content-Length": str(part.length)}
        response = send(self._api, "PUT", ask(), ask, headers, self._deadline, part)
        etag: str | None = response.headers.get("ETag")
        if etag is None:
            raise ApiException(response.status, f"The storage returned no ETag for part {number} of {self.file}")
        return etag

    def complete(self, upload_id: str, etags: list[str]) -> None:
        """Assemble the file from its parts."""
        parts = [{"PartNumber": str(number), "ETag": etag} for number, etag in enumerate(etags, 1)]
        body = {"upload_id": upload_id, "parts": parts}
        self._api.files_complete_multipart_upload(*self._place, body, _request_timeout=self._time())

    def present(self) -> tuple[int | None, str] | None:
        """The size of the file and when it was created; None if it doesn't exist."""
        try:
            found = self._api.files_get(*self._place, _request_timeout=self._time())
        except ApiException as error:
            if error.status != 404:
                raise
            return None
        check_answer("files_get", found, "size", "time_created")
        return found.size, str(found.time_created)

    def _time(self) -> Timeout:
        return time_of_call(self._deadline, self._timeout)


class _Parts:
    """The upload of one file in parts; with a record, it continues where the last call with that record ended."""

    def __init__(self, storage: _Storage, content: Upload, report: Report, record: UploadRecord | None) -> None:
        self._storage = storage
        self._content = content
        self._total = content.length or 0
        self._report = report
        self._reported = 0
        self._record = record

    def send(self) -> bool:
        """Send the file; returns False if the service or the bucket doesn't support parts."""
        if self._record is not None and self._resume(self._record):
            return True
        upload_id = self._storage.start_parts()
        if upload_id is None:
            return False
        if self._record is not None:
            self._record.start(upload_id, self._total, _PART)
        etags = self._send_from(upload_id, [], _PART)
        self._note_completion()
        self._storage.complete(upload_id, etags)
        return True

    def _resume(self, record: UploadRecord) -> bool:
        """Continue the recorded upload; returns False if the file must be sent from its beginning."""
        if record.upload_id is None or record.size != self._total:
            return False
        completing = record.completing
        try:
            if self._is_unchanged(record):
                etags = self._send_from(record.upload_id, [part.etag for part in record.parts], record.part_size)
                if not completing:
                    self._note_completion()
                self._storage.complete(record.upload_id, etags)
                return True
        except ApiException as error:
            if error.status not in _NOT_KNOWN:
                raise
            # Perhaps only the answer to the completion was lost.
            if completing and self._is_complete(record):
                return True
        self._count(-self._reported)
        return False

    def _is_unchanged(self, record: UploadRecord) -> bool:
        """Whether the file still has the bytes that the recorded parts were sent with."""
        for number, part in enumerate(record.parts):
            content = _Digested(self._content.part(number * record.part_size, part.length), self._count)
            for _ in content:
                pass
            if content.digest.hexdigest() != part.sha256:
                return False
        return True

    def _send_from(self, upload_id: str, etags: list[str], size: int) -> list[str]:
        """Send the parts after those with these ETags; returns the ETags of all parts."""
        for offset in range(len(etags) * size, self._total, size):
            content = self._content.part(offset, min(size, self._total - offset))
            part = (_Reported if self._record is None else _Digested)(content, self._count)
            etags.append(self._storage.put_part(upload_id, len(etags) + 1, part))
            if self._record is not None and isinstance(part, _Digested):
                self._record.note_part(Part(content.length or 0, etags[-1], part.digest.hexdigest()))
        return etags

    def _count(self, amount: int) -> None:
        self._reported += amount
        self._report(amount)

    def _note_completion(self) -> None:
        if self._record is not None:
            self._record.note_completion(self._storage.present())

    def _is_complete(self, record: UploadRecord) -> bool:
        """Whether the file in the bucket was created since its completion was requested, and has the right size."""
        present = self._storage.present()
        return present is not None and present != record.replaced and present[0] == self._total


class _Reported(Stream):
    """A file whose sending is reported."""

    def __init__(self, content: Upload, report: Report) -> None:
        self.length = content.length
        self.rewindable = content.rewindable
        self._content = content
        self._report = report
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        self._report(-self._sent)
        self._sent = 0
        for block in self._content:
            yield block
            self._sent += len(block)
            self._report(len(block))


class _Digested(_Reported):
    """The same, with the SHA-256 of the bytes sent."""

    digest: Any = None

    def __iter__(self) -> Iterator[bytes]:
        self.digest = hashlib.sha256()
        for block in super().__iter__():
            self.digest.update(block)
            yield block


def _disposition(name: str) -> str:
    """The header that lets a browser save the file under its own name (RFC 6266)."""
    last = name.rstrip("/").rpartition("/")[2]
    plain = "".join(character if " " <= character <= "~" and character not in '"\\' else "_" for character in last)
    extended = "" if plain == last else f"; filename*=UTF-8''{quote(last, safe='', errors='replace')}"
    return f'attachment; filename="{plain}"{extended}'
