"""Requests to the storage by signed URLs, which need no credentials and get none; and the download of a file."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ubiops.deadline import Deadline
from ubiops.exceptions import ApiConnectionError, ApiException, ApiValueError
from ubiops.files import BLOCK
from ubiops.rest import blocks_of
from ubiops.urls import origin_of, split, without_secrets
from ubiops.utils.answers import check_answer

if TYPE_CHECKING:
    from typing import BinaryIO

    from ubiops.api.core_api import CoreApi
    from ubiops.files import Stream
    from ubiops.models import FileUploadResponse
    from ubiops.utils.files.uri import UbiOpsFile

Timeout = float | tuple[float, float] | None

Report = Callable[[int], None]
"""Called with the number of bytes of each block, and with a negative number when a transfer starts over.

An error that it raises ends the transfer.
"""

__all__ = ["Download", "Report", "Timeout", "new_deadline", "send", "time_of_call", "url_of"]

_STALLED = 60.0
"""Seconds without progress after which a transfer is given up."""

_RESUMPTIONS = 5
"""How often in a row a download is resumed without receiving a whole block; unless the program sets its own retries."""


class Download:
    """The download of a file from a bucket to disk.

    After a break it resumes, with ``Range`` and ``If-Range``. Only a strong ``ETag`` shows that the file is still the
    same; without one, or with another, it starts over.

    Args:
        api: The client.
        project_name: Name of the project.
        file: The file.
        content: Where to write it.
        report: Called with the progress.
        expect: Called with the size in bytes, once the storage has sent it.
        timeout: Seconds in all, or a pair (connect, wait for data); None for no limit, except that there must be
            progress within `_STALLED` seconds.
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
        self._deadline = new_deadline(timeout)
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
            The number of bytes in the storage; None if it sent them in another encoding.

        Raises:
            ApiException: The API or the storage refused it, or it broke off again and again.
            OSError: It couldn't be written.
        """
        # Failures before the first byte were already retried by the transport.
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
        """An answer whose body is the missing part of the file, perhaps all of it."""
        headers = {}
        if self._received and self._etag is not None:
            headers = {"Range": f"bytes={self._received}-", "If-Range": self._etag}
        try:
            response = send(self._api, "GET", self._ask(), self._ask, headers, self._deadline)
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
            _request_timeout=time_of_call(self._deadline, self._timeout),
        )
        return url_of("files_download", answer)

    def _begin(self, response: Any) -> None:
        """Start over with the size that an answer states."""
        if self._received:
            self._content.seek(0)
            self._content.truncate()
            self._report(-self._received)
            self._received = 0
        headers = {} if response is None else response.headers
        self._encoding = headers.get("Content-Encoding")
        length, etag = headers.get("Content-Length", ""), headers.get("ETag", "")
        # Decoded content has another length, so a download of it can't be resumed.
        plain = self._encoding is None
        self._size = int(length) if plain and length.isdecimal() else None
        self._etag = etag if plain and etag.startswith('"') else None
        if self._size is not None:
            self._expect(self._size)

    def _goes_on(self, response: Any) -> bool:
        """Whether a partial answer continues where the download broke off, in the same file."""
        found = re.fullmatch(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", response.headers.get("Content-Range", ""))
        if found is None or self._size is None or response.headers.get("ETag") != self._etag:
            return False
        first, last = int(found[1]), int(found[2])
        # It may end before the file does; the rest is requested next.
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


def new_deadline(timeout: Timeout) -> Deadline:
    """The deadline of a transfer: without progress for `_STALLED` seconds, it fails."""
    return Deadline(timeout, read=_STALLED)


def send(
    api: CoreApi,
    method: str,
    url: str,
    renew: Callable[[], str],
    headers: dict[str, str],
    deadline: Deadline,
    body: Stream | None = None,
) -> Any:
    """Send a request to the storage, and return its answer; a download's is unread.

    Raises:
        ApiException: The storage refused it, or couldn't be reached.
    """
    try:
        stream = body is None
        return api.api_client.rest_client.send(method, url, headers, body, deadline, stream=stream, renew=renew)[0]
    except ApiException as error:
        if error.method is None:
            # Without the query, which is the signature.
            error.locate(None, method, re.split("[?#]", split(url)[1])[0])
        raise


def time_of_call(deadline: Deadline, timeout: Timeout) -> Timeout:
    """The timeout of a call to the API during a transfer: the rest of the total time."""
    return max(deadline.left(), 0.001) if deadline.end < math.inf else timeout


def url_of(operation: str, answer: FileUploadResponse) -> str:
    """The signed URL that the API returned.

    Raises:
        ApiException: It isn't one.
    """
    url = check_answer(operation, answer, "url", "provider").url
    try:
        origin_of(split(url)[0])
    except (ApiValueError, TypeError):
        shown = without_secrets(url) if isinstance(url, str) else url
        raise ApiException(200, f"The API returned {shown!r} instead of the file's URL") from None
    return url
