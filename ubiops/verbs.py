"""The transport methods that programs of the older client call: the HTTP verbs, with the caller's headers and body."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ubiops.connections import as_raw
from ubiops.deadline import Deadline
from ubiops.exceptions import ApiValueError
from ubiops.files import Multipart, Stream, Upload
from ubiops.operation import decode_body
from ubiops.schema import Invalid, write_json, write_text

if TYPE_CHECKING:
    import urllib3

__all__ = ["RESTResponse", "Verbs", "encode_body", "header_value", "text_of"]

_HEADER_NAME = re.compile(r"[!-9;-~]+")


class RESTResponse(io.IOBase):
    """An answer whose body has been read.

    Attributes:
        status (int): HTTP status.
        reason (str): Reason phrase.
        content (bytes): The body.
        data (str | bytes): The body as text, in its charset; `bytes` if it isn't text. It can be set.
        urllib3_response: The urllib3 response that it came in.
    """

    def __init__(self, resp: Any, data: bytes | None = None) -> None:
        self.urllib3_response = resp
        self.status: int = resp.status
        self.reason: str = resp.reason
        self.content: bytes = resp.data if data is None else data
        self._data: Any = None
        if getattr(resp, "_connection", self) is None:
            # It is read, and an answer that is kept must not keep connections open.
            resp._pool = None

    @property
    def data(self) -> Any:
        """The body as text."""
        if self._data is None:
            try:
                self._data = decode_body(self.content, self.getheader("Content-Type"))
            except ValueError:
                self._data = self.content
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data = value

    def getheaders(self) -> Mapping[str, str]:
        """The headers; their names are case-insensitive."""
        headers: Mapping[str, str] = self.urllib3_response.headers
        return headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """One header's value."""
        return self.getheaders().get(name, default)


def _reading(method: str) -> Callable[..., Any]:
    """A verb that sends no body."""

    def verb(
        self: Verbs,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        return self.request(
            method,
            url,
            headers=headers,
            query_params=query_params,
            _preload_content=_preload_content,
            _request_timeout=_request_timeout,
        )

    return _named(verb, method)


def _deleting(method: str) -> Callable[..., Any]:
    """A verb that takes a body, but no form."""

    def verb(
        self: Verbs,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        body: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        return self.request(
            method,
            url,
            body=body,
            headers=headers,
            query_params=query_params,
            _preload_content=_preload_content,
            _request_timeout=_request_timeout,
        )

    return _named(verb, method)


def _writing(method: str) -> Callable[..., Any]:
    """A verb that takes a body or a form."""

    def verb(
        self: Verbs,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        post_params: Any = None,
        body: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        return self.request(
            method,
            url,
            post_params=post_params,
            body=body,
            headers=headers,
            query_params=query_params,
            _preload_content=_preload_content,
            _request_timeout=_request_timeout,
        )

    return _named(verb, method)


def _named(verb: Callable[..., Any], method: str) -> Callable[..., Any]:
    verb.__name__, verb.__qualname__ = method, f"RESTClientObject.{method}"
    verb.__doc__ = f"`request` with {method}."
    return verb


class Verbs:
    """The base of `RESTClientObject`."""

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None = None,
        deadline: Deadline | None = None,
        stream: bool = False,
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        """Send a request: `RESTClientObject.send`."""
        raise NotImplementedError

    def request(
        self,
        method: str,
        url: str,
        query_params: Any = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        post_params: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """Send a request to any URL; the content type decides how the body is written.

        Args:
            method: HTTP method.
            url: Absolute URL.
            query_params: Pairs or dict to append to the URL.
            headers: Headers to send; with a body and no ``Content-Type`` it is JSON.
            body: What to send: plain data as JSON, or `str`, `bytes` or an iterable of `bytes` as it is.
            post_params: Form fields, if the content type is a form's.
            _preload_content: Whether to read the answer.
            _request_timeout: Seconds in all, or a pair to connect and to wait for data.

        Returns:
            RESTResponse: The answer; with ``_preload_content=False`` the unread urllib3 response.
        """
        method = method.upper()
        if method not in ("GET", "HEAD", "DELETE", "POST", "PUT", "PATCH", "OPTIONS"):
            raise ApiValueError(
                f"http method must be `GET`, `HEAD`, `OPTIONS`, `POST`, `PATCH`, `PUT` or `DELETE`, not {method!r}"
            )
        if query_params:
            pairs = query_params.items() if isinstance(query_params, Mapping) else query_params
            url += ("&" if "?" in url else "?") + urlencode([(k, text_of(k, v)) for k, v in pairs if v is not None])
        sent = {name: header_value(name, value) for name, value in (headers or {}).items() if value is not None}
        content, content_type = encode_body(body, post_params, _content_type(sent))
        if content_type is not None:
            sent = {name: value for name, value in sent.items() if name.lower() != "content-type"}
            sent["Content-Type"] = content_type
        if isinstance(content, Stream) and content.length is not None:
            sent["Content-Length"] = str(content.length)
        deadline = Deadline(_request_timeout)
        response, data = self.send(method, url, sent, content, deadline, not _preload_content)
        return RESTResponse(response, data) if _preload_content else as_raw(response, deadline)

    GET = _reading("GET")
    HEAD = _reading("HEAD")
    DELETE = _deleting("DELETE")
    OPTIONS = _writing("OPTIONS")
    POST = _writing("POST")
    PUT = _writing("PUT")
    PATCH = _writing("PATCH")


def encode_body(body: Any, post_params: Any, content_type: str | None) -> tuple[Any, str | None]:
    """The bytes to send for a body or form fields, and their content type.

    Raises:
        ApiValueError: The body can't be encoded in that content type.
    """
    pairs = post_params.items() if isinstance(post_params, Mapping) else post_params or ()
    fields = [(name, value) for name, value in pairs if value is not None]
    if content_type is not None and content_type.startswith("multipart/form-data"):
        multipart = Multipart(fields)
        return multipart, multipart.content_type
    if content_type is not None and content_type.startswith("application/x-www-form-urlencoded") and body is None:
        return urlencode([(name, text_of(name, value)) for name, value in fields]).encode(), content_type
    if body is None:
        return None, content_type
    if content_type is None or "json" in content_type.lower():
        try:
            return write_json(body), content_type or "application/json"
        except Invalid as error:
            raise ApiValueError(f"Invalid value for `{error.place() or 'body'}`, {error.problem}") from None
    if isinstance(body, (str, bytes, bytearray)):
        return body.encode() if isinstance(body, str) else bytes(body), content_type
    if hasattr(body, "read"):
        return Upload(body), content_type
    if hasattr(body, "__iter__") and not isinstance(body, Mapping):
        return body, content_type
    raise ApiValueError(f"Invalid value for `body`, {type(body).__name__} can't be sent as {content_type}")


def text_of(name: str, value: Any) -> str:
    """The text of a part of a query or form.

    Raises:
        ApiValueError: It means a missing value, or can't be encoded as UTF-8.
    """
    try:
        text = write_text(value)
        text.encode()
    except UnicodeEncodeError as error:
        raise ApiValueError(f"Invalid value for `{name}`, can't be encoded as UTF-8: {error.reason}") from None
    except Invalid as error:
        raise ApiValueError(f"Invalid value for `{name}`, {error.problem}") from None
    return text


def header_value(name: str, value: Any) -> str:
    """The text of a header.

    Raises:
        ApiValueError: It contains a line break, or isn't Latin-1 text.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise ApiValueError(f"Invalid name of a header, {name!r}: must be printable ASCII without spaces and colons")
    if type(value) is str and value.isascii() and value.isprintable():
        return value
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    text = text if isinstance(text, str) else text_of(name, text)
    if "\r" in text or "\n" in text or "\0" in text:
        raise ApiValueError(f"Invalid value for the header {name!r}, must be one line: it contains a line break or NUL")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ApiValueError(f"Invalid value for the header {name!r}, must be Latin-1 text") from None
    return text


def _content_type(headers: Mapping[str, str]) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == "content-type"), None)
