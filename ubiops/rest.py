"""The transport: connections, TLS, proxies, timeouts, retries and redirects. The only module that knows urllib3."""

from __future__ import annotations

import io
import logging
import math
import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode, urljoin, urlsplit

import certifi
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    LocationParseError,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    ProxyError,
    SSLError,
    TimeoutError,
)

from ubiops.exceptions import ApiConnectionError, ApiException, ApiTimeoutError, ApiValueError
from ubiops.files import Multipart, Stream, filename_of
from ubiops.schema import Invalid, write_json

if TYPE_CHECKING:
    from ubiops.configuration import Configuration

__all__ = ["ApiException", "RESTClientObject", "RESTResponse"]

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 300.0
RETRIES = 2
BLOCK = 1 << 20

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 120.0
_REDIRECTS = 10
_ERROR_BODY = 1 << 20
# Connections that are kept open where the program chose no number: enough for any pool of threads that shares a client.
_KEPT_CONNECTIONS = 64
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_TRANSIENT = frozenset({408, 429, 502, 503, 504})

logger = logging.getLogger(__name__)


class RESTResponse(io.IOBase):
    """An answer whose body has been read.

    Attributes:
        status (int): HTTP status.
        reason (str): Reason phrase.
        data (bytes): The body.
        urllib3_response: The urllib3 response that it came in.
    """

    def __init__(self, resp: Any, data: bytes | None = None) -> None:
        self.urllib3_response = resp
        self.status: int = resp.status
        self.reason: str = resp.reason
        self.data: bytes = resp.data if data is None else data

    def getheaders(self) -> Mapping[str, str]:
        """The headers; their names are case-insensitive."""
        headers: Mapping[str, str] = self.urllib3_response.headers
        return headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """One header's value."""
        return self.getheaders().get(name, default)


class RawResponse(urllib3.HTTPResponse):
    """The urllib3 response of a call with ``_preload_content=False``: unread, to be read and closed by the caller."""

    def getfilename(self) -> str | None:
        """The file name that the server gave, reduced to its last part; None where it gave none."""
        return filename_of(self.headers.get("Content-Disposition"))


class Deadline:
    """The timeouts of one call, in seconds.

    Args:
        timeout: Seconds in all, or a pair of seconds to connect and to wait for data; None for the defaults.
        read: The default for waiting for data.

    Raises:
        ApiValueError: It can't be used as a timeout.
    """

    __slots__ = ("connect", "end", "read")

    def __init__(self, timeout: Any = None, read: float = READ_TIMEOUT) -> None:
        self.connect, self.read, self.end = CONNECT_TIMEOUT, read, math.inf
        if timeout is None:
            return
        if isinstance(timeout, (tuple, list)):
            if len(timeout) != 2:
                raise _no_timeout(timeout)
            self.connect = CONNECT_TIMEOUT if timeout[0] is None else _seconds(timeout[0], timeout)
            self.read = read if timeout[1] is None else _seconds(timeout[1], timeout)
        else:
            self.connect = self.read = _seconds(timeout, timeout)
            self.end = time.monotonic() + self.read

    def left(self) -> float:
        """Seconds that are left of the call."""
        return self.end - time.monotonic()

    def attempt(self) -> urllib3.Timeout:
        """The timeouts for one attempt."""
        if self.end == math.inf:
            return urllib3.Timeout(connect=self.connect, read=self.read)
        return urllib3.Timeout(total=max(self.left(), 0.001))


def _seconds(value: Any, given: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise _no_timeout(given)
    return float(value)


def _no_timeout(given: Any) -> ApiValueError:
    return ApiValueError(
        f"Invalid value for `_request_timeout`, must be seconds above 0 or a pair (connect, read), not {given!r}"
    )


class RESTClientObject:
    """Sends requests over kept connections, retries what may be repeated and maps what fails.

    Args:
        configuration: TLS, proxy and retry settings.
        pools_size: Number of hosts to keep connections to.
        maxsize: Connections to keep open to a host; by default ``configuration.connection_pool_maxsize``.
    """

    def __init__(self, configuration: Configuration, pools_size: int = 4, maxsize: int | None = None) -> None:
        self.configuration = configuration
        self._pools_size = pools_size
        self._maxsize = maxsize or configuration.connection_pool_maxsize
        if maxsize is None and configuration.connection_pool_maxsize == type(configuration).connection_pool_maxsize:
            self._maxsize = max(self._maxsize, _KEPT_CONNECTIONS)
        self._tls = _tls_options(configuration)
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._pools: dict[str, urllib3.HTTPConnectionPool | None] = {}
        self.pool_manager = self._manager(None)

    def _manager(self, proxy: str | None) -> urllib3.PoolManager:
        if proxy not in self._managers:
            options = {**self._tls, "num_pools": self._pools_size, "maxsize": self._maxsize, "blocksize": BLOCK}
            if proxy is None:
                self._managers[proxy] = urllib3.PoolManager(**options)
            else:
                parts = urlsplit(proxy)
                headers = dict(self.configuration.proxy_headers or {})
                if parts.username:
                    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                    headers = {**urllib3.make_headers(proxy_basic_auth=secret), **headers}
                self._managers[proxy] = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
        return self._managers[proxy]

    def close(self) -> None:
        """Close the idle connections; those in use close when their answer has been read."""
        for manager in self._managers.values():
            manager.clear()
        self._reset()

    def __getstate__(self) -> dict[str, Any]:
        sockets = {"_managers", "_pools", "pool_manager"}
        return {name: value for name, value in self.__dict__.items() if name not in sockets}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    # Sending

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None = None,
        deadline: Deadline | None = None,
        stream: bool = False,
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        """Send a request, again where that is safe, and follow a redirect of a GET within the same origin.

        Args:
            method: HTTP method.
            url: Absolute URL, encoded.
            headers: All the headers to send.
            body: The body, if any.
            deadline: The timeouts; by default 10 s to connect and 300 s to wait for data.
            stream: Whether to leave a successful answer's body unread.

        Returns:
            The response and its body; the body is empty where it is left unread.

        Raises:
            ApiConnectionError: No connection, or it broke.
            ApiTimeoutError: No answer in time.
            ApiException: The answer's status is no success; a subclass for it.
            ApiValueError: The URL or a timeout can't be used.
        """
        deadline = deadline or Deadline()
        for _ in range(_REDIRECTS):
            response, data = self._send_repeatedly(method, url, headers, body, deadline, stream)
            if 200 <= response.status <= 299:
                return response, data
            target = urljoin(url, response.headers.get("Location", ""))
            if response.status not in (301, 302, 303, 307, 308) or target == url:
                raise _failure(response, data)
            if method not in ("GET", "HEAD") or _origin(target) != _origin(url):
                raise _failure(response, data, f"{response.reason}: not followed to {_without_secrets(target)}")
            url = target
        raise _failure(response, data, f"More than {_REDIRECTS} redirects, the last to {_without_secrets(url)}")

    def _send_repeatedly(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None,
        deadline: Deadline,
        stream: bool,
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        retries = self.configuration.retries
        own_retries = retries if isinstance(retries, urllib3.Retry) else None
        attempts = 1 if own_retries else 1 + (RETRIES if retries is None else int(retries))
        if isinstance(body, Stream) and not body.rewindable:
            attempts = 1
        for attempt in range(1, attempts + 1):
            try:
                response, data = self._attempt(method, url, headers, body, deadline, stream, own_retries)
            except HTTPError as error:
                if attempt == attempts or not _may_repeat_after_error(method, error):
                    raise _broken(error) from error
                if not _wait(attempt, deadline, None):
                    raise _broken(error) from error
                logger.debug("%s %s failed (%s): attempt %s", method, _without_secrets(url), error, attempt + 1)
                continue
            repeatable = response.status in _TRANSIENT if method in _REPEATABLE else response.status == 429
            if attempt == attempts or not repeatable or not _wait(attempt, deadline, response.headers):
                break
            logger.debug("%s %s gave %s: attempt %s", method, _without_secrets(url), response.status, attempt + 1)
        return response, data

    def _attempt(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None,
        deadline: Deadline,
        stream: bool,
        retries: urllib3.Retry | None,
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        if self._pid != os.getpid():
            # After a fork the connections are the parent's: they are left alone.
            self._reset()
        origin, target = _split(url)
        pool = self._pool(origin)
        response = (pool or self._manager(self._proxy(origin))).urlopen(
            method,
            url if pool is None else target,
            body=body,
            headers=headers,
            retries=retries.new(raise_on_status=False) if retries else False,
            redirect=False,
            timeout=deadline.attempt(),
            preload_content=False,
        )
        if 200 <= response.status <= 299:
            return response, b"" if stream else _read(response, deadline)
        try:
            return response, _read(response, deadline, _ERROR_BODY)
        except HTTPError:
            # The status says more than the body that couldn't be read.
            return response, b""

    def _pool(self, origin: str) -> urllib3.HTTPConnectionPool | None:
        """The connections to an origin; None where they go through a proxy."""
        try:
            return self._pools[origin]
        except KeyError:
            pool = None
            if self._proxy(origin) is None:
                try:
                    pool = self._manager(None).connection_from_url(origin)
                except (LocationParseError, LocationValueError) as error:
                    raise ApiValueError(f"The host {_without_secrets(origin)!r} can't be used: {error}") from None
            if len(self._pools) >= _KEPT_CONNECTIONS:
                self._pools.clear()
            self._pools[origin] = pool
            return pool

    def _proxy(self, origin: str) -> str | None:
        if self.configuration.proxy:
            return self.configuration.proxy
        if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
            return None
        from urllib.request import getproxies_environment, proxy_bypass

        parts = urlsplit(origin)
        proxies = getproxies_environment()
        if proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        return f"http://{proxy}" if proxy and "://" not in proxy else proxy

    # The verbs that programs of the older client call

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
            post_params: Form fields, where the content type is a form's.
            _preload_content: Whether to read the answer.
            _request_timeout: Seconds in all, or a pair to connect and to wait for data.

        Returns:
            RESTResponse: The answer; the urllib3 response, unread, with ``_preload_content=False``.
        """
        method = method.upper()
        if method not in ("GET", "HEAD", "DELETE", "POST", "PUT", "PATCH", "OPTIONS"):
            raise ApiValueError(
                f"http method must be `GET`, `HEAD`, `OPTIONS`, `POST`, `PATCH`, `PUT` or `DELETE`, not {method!r}"
            )
        if query_params:
            pairs = query_params.items() if isinstance(query_params, Mapping) else query_params
            url += ("&" if "?" in url else "?") + urlencode([(k, v) for k, v in pairs if v is not None])
        sent = {name: value for name, value in (headers or {}).items() if value is not None}
        content, content_type = encode_body(body, post_params, _content_type(sent))
        if content_type is not None:
            sent = {name: value for name, value in sent.items() if name.lower() != "content-type"}
            sent["Content-Type"] = content_type
        if isinstance(content, Stream) and content.length is not None:
            sent["Content-Length"] = str(content.length)
        response, data = self.send(method, url, sent, content, Deadline(_request_timeout), not _preload_content)
        return RESTResponse(response, data) if _preload_content else as_raw(response)

    def GET(
        self,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """`request` with GET."""
        return self.request("GET", url, query_params, headers, None, None, _preload_content, _request_timeout)

    def HEAD(
        self,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """`request` with HEAD."""
        return self.request("HEAD", url, query_params, headers, None, None, _preload_content, _request_timeout)

    def OPTIONS(
        self,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        post_params: Any = None,
        body: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """`request` with OPTIONS."""
        return self.request(
            "OPTIONS", url, query_params, headers, body, post_params, _preload_content, _request_timeout
        )

    def DELETE(
        self,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        body: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """`request` with DELETE."""
        return self.request("DELETE", url, query_params, headers, body, None, _preload_content, _request_timeout)

    def POST(
        self,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        post_params: Any = None,
        body: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """`request` with POST."""
        return self.request("POST", url, query_params, headers, body, post_params, _preload_content, _request_timeout)

    def PUT(
        self,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        post_params: Any = None,
        body: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """`request` with PUT."""
        return self.request("PUT", url, query_params, headers, body, post_params, _preload_content, _request_timeout)

    def PATCH(
        self,
        url: str,
        headers: Any = None,
        query_params: Any = None,
        post_params: Any = None,
        body: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """`request` with PATCH."""
        return self.request("PATCH", url, query_params, headers, body, post_params, _preload_content, _request_timeout)


def encode_body(body: Any, post_params: Any, content_type: str | None) -> tuple[Any, str | None]:
    """The bytes to send for a body or form fields, and their content type.

    Raises:
        ApiValueError: The body has no form in that content type.
    """
    if content_type is not None and content_type.startswith("multipart/form-data"):
        multipart = Multipart(post_params or [])
        return multipart, multipart.content_type
    if content_type is not None and content_type.startswith("application/x-www-form-urlencoded"):
        return urlencode(post_params or []).encode(), content_type
    if body is None:
        return None, content_type
    if content_type is None or "json" in content_type.lower():
        try:
            return write_json(body), content_type or "application/json"
        except Invalid as error:
            raise ApiValueError(f"Invalid value for `{error.place() or 'body'}`, {error.problem}") from None
    if isinstance(body, str):
        return body.encode(), content_type
    if isinstance(body, (bytes, bytearray)) or hasattr(body, "read") or hasattr(body, "__iter__"):
        return body, content_type
    raise ApiValueError(f"Invalid value for `body`, {type(body).__name__} can't be sent as {content_type}")


def as_raw(response: urllib3.BaseHTTPResponse) -> RawResponse:
    """The response, unread, with `getfilename`."""
    # urllib3 makes its responses itself: this one only gains a method.
    response.__class__ = RawResponse
    return response  # type: ignore[return-value]


def blocks_of(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> Iterator[bytes]:
    """The body in blocks of at most 1 MiB; the connection is given back at the end, closed where it comes early.

    Raises:
        ApiConnectionError: The connection broke before the promised length.
        ApiTimeoutError: The call's time is over, or the server fell silent.
    """
    with broken_connections(), closing(response):
        while block := response.read(BLOCK):
            if deadline.left() < 0:
                raise TimeoutError("the call's time is over")
            yield block


@contextmanager
def broken_connections() -> Iterator[None]:
    """Raise what urllib3 raises within as `ApiConnectionError` or `ApiTimeoutError`."""
    try:
        yield
    except HTTPError as error:
        raise _broken(error) from error


def _read(response: urllib3.BaseHTTPResponse, deadline: Deadline, most: int | None = None) -> bytes:
    if deadline.end == math.inf:
        return response.read(most)
    # Block by block as it arrives, so that a server that drips doesn't hold the call beyond its time.
    data = bytearray()
    while block := response.read1(BLOCK):
        data += block
        if deadline.left() < 0:
            raise TimeoutError("the call's time is over")
        if most is not None and len(data) >= most:
            break
    return bytes(data)


def _may_repeat_after_error(method: str, error: HTTPError) -> bool:
    if isinstance(error, (SSLError, DecodeError, LocationParseError, LocationValueError)):
        return False
    if method in _REPEATABLE:
        return True
    # No connection was made, so nothing was carried out.
    reason = error.original_error if isinstance(error, ProxyError) else error
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _wait(attempt: int, deadline: Deadline, headers: Mapping[str, str] | None) -> bool:
    """Wait before the next attempt; False, at once, where the wait would be too long."""
    seconds = min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT) * random.uniform(0.5, 1)
    asked = _retry_after(headers.get("Retry-After") if headers else None)
    if asked is not None:
        if asked > _LONGEST_RETRY_AFTER:
            return False
        seconds = asked
    if seconds >= deadline.left():
        return False
    time.sleep(seconds)
    return True


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def _failure(response: urllib3.BaseHTTPResponse, data: bytes, reason: str | None = None) -> ApiException:
    error = ApiException.class_for(response.status)
    return error(status=response.status, reason=reason or response.reason, body=data, headers=response.headers)


def _broken(error: HTTPError) -> ApiException:
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    timed_out = isinstance(cause, TimeoutError) and not isinstance(cause, NewConnectionError)
    return (ApiTimeoutError if timed_out else ApiConnectionError)(status=0, reason=f"{type(cause).__name__}: {cause}")


def _content_type(headers: Mapping[str, str]) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == "content-type"), None)


def _split(url: str) -> tuple[str, str]:
    """Origin and target of an absolute URL."""
    scheme = url.find("://")
    if scheme < 1:
        raise ApiValueError(f"The host {_without_secrets(url)!r} has no scheme: write https://{_without_secrets(url)}")
    slash = url.find("/", scheme + 3)
    return (url, "/") if slash < 0 else (url[:slash], url[slash:])


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs have scheme, host and port in common."""
    return _origin(url) == _origin(other)


def _without_secrets(url: str) -> str:
    """A URL to show: without user, password and query, which hold credentials and signatures."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="***" if parts.query else "").geturl()


def _tls_options(configuration: Configuration) -> dict[str, Any]:
    options: dict[str, Any] = {
        "cert_reqs": "CERT_REQUIRED" if configuration.verify_ssl else "CERT_NONE",
        "ca_certs": configuration.ssl_ca_cert or certifi.where(),
        "cert_file": configuration.cert_file,
        "key_file": configuration.key_file,
    }
    if configuration.assert_hostname is not None:
        options["assert_hostname"] = configuration.assert_hostname
    return options
