"""One file on its way to the storage or from it, over signed URLs: these need no credentials, and get none."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from ubiops.deadline import Deadline
from ubiops.exceptions import ApiConnectionError, ApiException
from ubiops.files import BLOCK, Stream
from ubiops.rest import blocks_of
from ubiops.utils.answers import check_answer

if TYPE_CHECKING:
    from typing import BinaryIO

    from ubiops.api.core_api import CoreApi
    from ubiops.files import Upload
    from ubiops.models import FileUploadResponse
    from ubiops.utils.files.uri import UbiOpsFile

Timeout = float | tuple[float, float] | None

Report = Callable[[int], None]
"""Called with the number of bytes of each block, and with a negative number when a transfer starts over.

What it raises ends the transfer.
"""

__all__ = ["Download", "Report", "upload"]

_AZURE_HEADERS = {"x-ms-version": "2020-04-08", "x-ms-blob-type": "BlockBlob"}
_LARGE = 1 << 30
"""Bytes above which a file is sent in parts, where the service takes them."""

_PART = 128 << 20
"""Bytes of a part; the last one has what is left."""

_STALLED = 60.0
"""Seconds after which a transfer is given up in which nothing moves."""

_RESUMPTIONS = 5
"""How often a download goes on, in a row, without getting a block further; unless the program sets its own retries."""


def upload(
    api: CoreApi, project_name: str, file: UbiOpsFile, content: Upload, report: Report, timeout: Timeout = None
) -> None:
    """Send a file to a bucket.

    If the connection breaks off, the transport starts over with a fresh URL: an upload to a signed URL can't be
    resumed. A large file is sent in parts if the service takes them, so that only a part is repeated.

    Args:
        api: The client.
        project_name: Name of the project.
        file: What it becomes in the bucket.
        content: What to send.
        report: Called with the progress.
        timeout: Seconds in all, or a pair (connect, wait for data); None for no limit but that something must move
            within `_STALLED` seconds.

    Raises:
        ApiException: The API or the storage refused it, or nothing moved for too long.
        ApiFileError: The file couldn't be read to its end.
    """

    deadline = Deadline(timeout, read=_STALLED)

    def ask() -> FileUploadResponse:
        return api.files_upload(project_name, file.bucket, file.file, _request_timeout=_time_of_call(deadline, timeout))

    if content.length is not None and content.length > _LARGE and content.rewindable:
        multipart = _start_multipart(api, project_name, file, deadline, timeout)
        if multipart is not None:
            _upload_parts(api, project_name, file, content, report, deadline, timeout, multipart)
            return
    target = ask()
    url = _url("files_upload", target)
    headers = {"Content-Disposition": _disposition(file.file)}
    if content.length is not None:
        headers["Content-Length"] = str(content.length)
    if target.provider == "azure_blob_storage":
        headers.update(_AZURE_HEADERS)
    _send(api, "PUT", url, lambda: _url("files_upload", ask()), headers, deadline, _Reported(content, report))


def _start_multipart(
    api: CoreApi, project_name: str, file: UbiOpsFile, deadline: Deadline, timeout: Timeout
) -> str | None:
    """The id of an upload in parts; None if the service or the bucket doesn't take them."""
    try:
        started = api.files_start_multipart_upload(
            project_name, file.bucket, file.file, _request_timeout=_time_of_call(deadline, timeout)
        )
    except ApiException as error:
        # Older services have no such operation.
        if error.status in (404, 405):
            return None
        raise
    check_answer("files_start_multipart_upload", started, "upload_id", "provider")
    # Azure has blocks and block lists in the place of parts.
    return None if started.provider == "azure_blob_storage" else started.upload_id


def _upload_parts(
    api: CoreApi,
    project_name: str,
    file: UbiOpsFile,
    content: Upload,
    report: Report,
    deadline: Deadline,
    timeout: Timeout,
    upload_id: str,
) -> None:
    parts = []
    total = content.length or 0
    for number, offset in enumerate(range(0, total, _PART), 1):

        def ask(number: int = number) -> str:
            answer = api.files_upload(
                project_name,
                file.bucket,
                file.file,
                upload_id=upload_id,
                part_number=str(number),
                _request_timeout=_time_of_call(deadline, timeout),
            )
            return _url("files_upload", answer)

        part = content.part(offset, min(_PART, total - offset))
        headers = {"Content-Length": str(part.length)}
        response = _send(api, "PUT", ask(), ask, headers, deadline, _Reported(part, report))
        etag = response.headers.get("ETag")
        if etag is None:
            raise ApiException(response.status, f"The storage returned no ETag for part {number} of {file}")
        parts.append({"PartNumber": str(number), "ETag": etag})
    api.files_complete_multipart_upload(
        project_name,
        file.bucket,
        file.file,
        {"upload_id": upload_id, "parts": parts},
        _request_timeout=_time_of_call(deadline, timeout),
    )


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


class Download:
    """A file on its way from a bucket to disk.

    After a break it resumes, with ``Range`` and ``If-Range``. Only a strong ``ETag`` shows that the file is still the
    same; without one, or with another, it starts over.

    Args:
        api: The client.
        project_name: Name of the project.
        file: The file.
        content: Where to write it.
        report: Called with the progress.
        expect: Called with the size in bytes, once the storage has sent it.
        timeout: As for `upload`.
    """

    def __init__(
        self,
        api: CoreApi,
        project_name: str,
        file: UbiOpsFile,
        content: BinaryIO,
        report: Report,
        expect: Callable[[int], None] = lambda size: None,
        timeout: Timeout = None,
    ) -> None:
        self._timeout = timeout
        self._deadline = Deadline(timeout, read=_STALLED)
        self._api = api
        self._project_name = project_name
        self._file = file
        self._content = content
        self._report = report
        self._expect = expect
        self._received = 0
        self._size: int | None = None
        self._encoding: str | None = None
        self._etag: str | None = None

    def run(self) -> int | None:
        """Download it.

        Returns:
            The number of bytes that the storage keeps; None where it sent them in another encoding.

        Raises:
            ApiException: The API or the storage refused it, or it broke off again and again.
            OSError: It couldn't be written.
        """
        # What fails before the first byte has been repeated by the transport.
        response = self._open()
        rules, furthest = self._new_rules(), 0
        while True:
            try:
                self._read(self._open() if response is None else response)
                return self._received if self._encoding is None else None
            except ApiConnectionError as error:
                if self._received >= furthest + BLOCK:
                    rules = self._new_rules()
                furthest = max(furthest, self._received)
                pause = rules.after_break(error)
                if pause is None or pause >= self._deadline.left():
                    raise
            response = None
            time.sleep(pause)
            self._report(0)

    def _new_rules(self) -> Any:
        return self._api.api_client.rest_client.rules(default=_RESUMPTIONS)

    def _open(self) -> Any:
        """An answer whose body is what is missing, which may be all."""
        headers = {}
        if self._received and self._etag is not None:
            headers = {"Range": f"bytes={self._received}-", "If-Range": self._etag}
        try:
            response = _send(self._api, "GET", self._ask(), self._ask, headers, self._deadline)
        except ApiException as error:
            if not headers or error.status != 416:
                raise
            self._begin(None)
            return self._open()
        if response.status == 200:
            self._begin(response)
            return response
        if response.status == 206 and headers:
            if self._goes_on(response):
                return response
            response.close()
            self._begin(None)
            return self._open()
        response.close()
        raise ApiException(response.status, f"{response.reason}: unexpected answer to a request for a file")

    def _ask(self) -> str:
        answer = self._api.files_download(
            self._project_name,
            self._file.bucket,
            self._file.file,
            _request_timeout=_time_of_call(self._deadline, self._timeout),
        )
        return _url("files_download", answer)

    def _begin(self, response: Any) -> None:
        """Forget what was received, and await what an answer promises."""
        if self._received:
            self._content.seek(0)
            self._content.truncate()
            self._report(-self._received)
            self._received = 0
        headers = {} if response is None else response.headers
        self._encoding = headers.get("Content-Encoding")
        length, etag = headers.get("Content-Length", ""), headers.get("ETag", "")
        # What was decoded has another length, and no place to go on from.
        plain = self._encoding is None
        self._size = int(length) if plain and length.isdecimal() else None
        self._etag = etag if plain and etag.startswith('"') else None
        if self._size is not None:
            self._expect(self._size)

    def _goes_on(self, response: Any) -> bool:
        """Whether a partial answer goes on where it broke off, in the same file."""
        found = re.fullmatch(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", response.headers.get("Content-Range", ""))
        if found is None or self._size is None or response.headers.get("ETag") != self._etag:
            return False
        first, last = int(found[1]), int(found[2])
        # It may end before the file does; what is missing is asked for next.
        fits = first == self._received <= last < self._size and found[3] in (str(self._size), "*")
        length = response.headers.get("Content-Length")
        return fits and length in (None, str(last - first + 1))

    def _read(self, response: Any) -> None:
        with closing(response):
            for block in blocks_of(response, at_once=True):
                self._content.write(block)
                self._received += len(block)
                self._report(len(block))
        if self._size is not None and self._received != self._size:
            raise ApiConnectionError(0, f"received {self._received} of the {self._size} bytes of {self._file}")


def _send(
    api: CoreApi,
    method: str,
    url: str,
    renew: Callable[[], str],
    headers: dict[str, str],
    deadline: Deadline,
    body: Stream | None = None,
) -> Any:
    try:
        stream = body is None
        return api.api_client.rest_client.send(method, url, headers, body, deadline, stream=stream, renew=renew)[0]
    except ApiException as error:
        if error.method is None:
            # Without the query: that is the signature.
            error.locate(None, method, urlsplit(url).path)
        raise


def _time_of_call(deadline: Deadline, timeout: Timeout) -> Timeout:
    """What a call to the API on the way may take: what is left of a time in all."""
    return max(deadline.left(), 0.001) if deadline.end < math.inf else timeout


def _disposition(name: str) -> str:
    """The header that lets a browser save the file under its own name (RFC 6266)."""
    last = name.rstrip("/").rpartition("/")[2]
    plain = "".join(character if " " <= character <= "~" and character not in '"\\' else "_" for character in last)
    extended = "" if plain == last else f"; filename*=UTF-8''{quote(last, safe='', errors='replace')}"
    return f'attachment; filename="{plain}"{extended}'


def _url(operation: str, answer: FileUploadResponse) -> str:
    url = check_answer(operation, answer, "url", "provider").url
    if not isinstance(url, str):
        raise ApiException(reason=f"The API returned {url!r} instead of the file's URL")
    return url
