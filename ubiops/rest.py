"""The transport: connections, TLS, proxies, timeouts, retries and redirects. The only module that knows urllib3."""

from __future__ import annotations

import io
import logging
import math
import os
import random
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode

import certifi
import urllib3
from six import ensure_binary, ensure_str
from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TransportTimeoutError
from urllib3.util import parse_url

from ubiops.connections import BLOCK, Pool, RawResponse, TLSPool
from ubiops.deadline import Deadline, current
from ubiops.exceptions import ApiConnectionError, ApiException, ApiFileError, ApiTimeoutError, ApiValueError
from ubiops.files import Multipart, Stream, Upload
from ubiops.operation import decode_body
from ubiops.schema import Invalid, write_json, write_text
from ubiops.urls import Origin, is_upgrade, origin_of, redirect_target, same_origin, split, without_secrets

if TYPE_CHECKING:
    from ubiops.configuration import Configuration

__all__ = ["ApiException", "RESTClientObject", "RESTResponse", "RawResponse"]

RETRIES = 2

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 120.0
_REDIRECTS = 10
_ERROR_BODY = 1 << 20
# Connections that are kept open where the program chose no number: enough for any pool of threads that shares a client.
_KEPT_CONNECTIONS = 64
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_TRANSIENT = frozenset({408, 429, 502, 503, 504})
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_HEADER_NAME = re.compile(r"[!-9;-~]+")

logger = logging.getLogger(__name__)


class RESTResponse(io.IOBase):
    """An answer whose body has been read.

    Attributes:
        status (int): HTTP status.
        reason (str): Reason phrase.
        content (bytes): The body.
        data (str | bytes): The body as text, in its charset; `bytes` where it is none. It can be set.
        urllib3_response: The urllib3 response that it came in.
    """

    def __init__(self, resp: Any, data: bytes | None = None) -> None:
        self.urllib3_response = resp
        self.status: int = resp.status
        self.reason: str = resp.reason
        self.content: bytes = resp.data if data is None else data
        self._data: Any = None

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


class Rules:
    """When a request is sent again, and how many seconds later; None for never."""

    def __init__(self, retries: int) -> None:
        self._left = retries
        self._wait = _FIRST_WAIT

    def after_error(self, method: str, error: HTTPError) -> float | None:
        return self._pause() if _may_repeat_after_error(method, error) else None

    def after_answer(self, method: str, response: urllib3.BaseHTTPResponse) -> float | None:
        if response.status not in (_TRANSIENT if method in _REPEATABLE else (429,)):
            return None
        asked = _retry_after(response.headers.get("Retry-After"))
        if asked is not None and asked > _LONGEST_RETRY_AFTER:
            return None
        pause = self._pause()
        return pause if asked is None or pause is None else asked

    def after_break(self, error: ApiConnectionError) -> float | None:
        """The same for the answer to a GET that broke off while it was read."""
        cause = error.__cause__
        return self.after_error("GET", cause if isinstance(cause, HTTPError) else ProtocolError(str(error)))

    def _pause(self) -> float | None:
        if self._left < 1:
            return None
        self._left -= 1
        wait = self._wait
        self._wait = min(2 * wait, _LONGEST_WAIT)
        return wait * random.uniform(0.5, 1)


class _RulesOfProgram(Rules):
    """The same, as a `urllib3.Retry` of the program's has it."""

    def __init__(self, retry: urllib3.Retry) -> None:
        self._retry = retry

    def after_error(self, method: str, error: HTTPError) -> float | None:
        try:
            self._retry = self._retry.increment(method, error=error)
        except HTTPError:
            return None
        return self._retry.get_backoff_time()

    def after_answer(self, method: str, response: urllib3.BaseHTTPResponse) -> float | None:
        if not self._retry.is_retry(method, response.status, "Retry-After" in response.headers):
            return None
        try:
            self._retry = self._retry.increment(method, response=response)
            asked = self._retry.get_retry_after(response) if self._retry.respect_retry_after_header else None
        except HTTPError:
            return None
        return asked or self._retry.get_backoff_time()


class _UnreadableBodyError(Exception):
    """The caller's file couldn't be read: no `OSError`, which urllib3 would take for the connection's."""

    def __init__(self, error: ApiFileError) -> None:
        self.error = error


def _outgoing(body: Stream) -> Iterator[bytes]:
    try:
        yield from body
    except ApiFileError as error:
        raise _UnreadableBodyError(error) from error


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
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        # What opens the URLs of an origin: its connections, or the manager of the proxy on the way to it.
        self._openers: dict[str, urllib3.HTTPConnectionPool | urllib3.PoolManager] = {}
        self.pool_manager = self._manager(None)
        # Last: another thread that sees it goes on with the new ones.
        self._pid = os.getpid()

    def _manager(self, proxy: str | None) -> urllib3.PoolManager:
        manager = self._managers.get(proxy)
        if manager is None:
            options = {**self._tls, "num_pools": self._pools_size, "maxsize": self._maxsize, "blocksize": BLOCK}
            made = urllib3.PoolManager(**options) if proxy is None else self._proxy_manager(proxy, options)
            made.pool_classes_by_scheme = {"http": Pool, "https": TLSPool}
            # Of two threads that made one, both use the same.
            manager = self._managers.setdefault(proxy, made)
        return manager

    def _proxy_manager(self, proxy: str, options: dict[str, Any]) -> urllib3.ProxyManager:
        headers = dict(self.configuration.proxy_headers or {})
        try:
            parsed = parse_url(proxy)
            if not parsed.host:
                raise ValueError("no host")
            if parsed.auth and not any(name.lower() == "proxy-authorization" for name in headers):
                user, _, password = parsed.auth.partition(":")
                secret = f"{unquote(user)}:{unquote(password)}"
                headers["Proxy-Authorization"] = f"Basic {b64encode(secret.encode()).decode()}"
            return urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
        except ValueError:
            raise ApiValueError(f"The proxy {without_secrets(proxy)!r} can't be used: write http://host:port") from None

    def close(self) -> None:
        """Close the idle connections; those in use close when their answer has been read."""
        for manager in self._managers.values():
            manager.clear()
        self._reset()

    def __getstate__(self) -> dict[str, Any]:
        sockets = {"_managers", "_openers", "pool_manager"}
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
        renew: Callable[[], str] | None = None,
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        """Send a request, again where that is safe, and follow a redirect of a GET within the same origin.

        Args:
            method: HTTP method.
            url: Absolute URL, encoded.
            headers: All the headers to send.
            body: The body, if any.
            deadline: The timeouts; by default 10 s to connect and 300 s to wait for data.
            stream: Whether to leave a successful answer's body unread.
            renew: Asks for the URL anew, where it is a signed one that expires: before each repetition, and once where
                the answer says that it has expired.

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
            response, data = self._send_repeatedly(method, url, headers, body, deadline, stream, renew)
            if 200 <= response.status <= 299:
                return response, data
            location = response.headers.get("Location")
            if response.status not in _REDIRECTED or not location:
                raise _failure(response, data)
            target = redirect_target(url, location)
            if target == url:
                raise _failure(response, data)
            may_follow = target is not None and (same_origin(target, url) or is_upgrade(url, target))
            if target is None or not may_follow or method not in ("GET", "HEAD"):
                shown = without_secrets(target or location)
                raise _failure(response, data, f"{response.reason}: not followed to {shown}")
            url = target
        raise _failure(response, data, f"More than {_REDIRECTS} redirects, the last to {without_secrets(url)}")

    def _send_repeatedly(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None,
        deadline: Deadline,
        stream: bool,
        renew: Callable[[], str] | None,
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        rules = self.rules(body)
        may_renew = renew is not None and _can_be_sent_again(body)
        while True:
            try:
                response, data = self._attempt(method, url, headers, body, deadline, stream)
            except HTTPError as error:
                problem = type(error).__name__
                pause = rules.after_error(method, error)
                if pause is None or pause >= deadline.left():
                    raise _broken(error) from error
            else:
                problem = str(response.status)
                pause = None if 200 <= response.status <= 299 else rules.after_answer(method, response)
                if may_renew and _has_expired(response, data):
                    may_renew, pause = False, 0.0
                if pause is None or pause >= deadline.left():
                    return response, data
            logger.debug("%s %s: %s, again in %.1f s", method, without_secrets(url), problem, pause)
            time.sleep(pause)
            if renew is not None:
                url = renew()

    def rules(self, body: bytes | Stream | None = None, default: int = RETRIES) -> Rules:
        """When a request with this body is sent again; `default` is how often, where the program doesn't say."""
        retries = self.configuration.retries
        if not _can_be_sent_again(body):
            return Rules(0)
        if isinstance(retries, urllib3.Retry):
            return _RulesOfProgram(retries)
        if retries is not None and (not isinstance(retries, int) or retries < 0):
            raise ApiValueError(
                f"configuration.retries must be a number of retries (0 for none) or a urllib3.Retry, not {retries!r}"
            )
        return Rules(default if retries is None else retries)

    def _attempt(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None,
        deadline: Deadline,
        stream: bool,
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        if self._pid != os.getpid():
            # After a fork the connections are the parent's: they are left alone.
            self._reset()
        start, target = split(url)
        opener = self._openers.get(start) or self._opener(start)
        # A call may be made while another one's body is read for sending.
        outer, current.deadline = current.deadline, deadline
        try:
            response = opener.urlopen(
                method,
                f"{origin_of(start)}{target}" if isinstance(opener, urllib3.PoolManager) else target,
                body=_outgoing(body) if isinstance(body, Stream) else body,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=deadline.attempt(),
                preload_content=False,
            )
        except _UnreadableBodyError as error:
            raise error.error from None
        finally:
            current.deadline = outer
        if 200 <= response.status <= 299:
            return response, b"" if stream else response.read()
        with closing(response):
            try:
                return response, response.read(_ERROR_BODY)
            except HTTPError:
                # The status says more than the body that couldn't be read.
                return response, b""

    def _opener(self, start: str) -> urllib3.HTTPConnectionPool | urllib3.PoolManager:
        origin = origin_of(start)
        proxy = self._proxy(origin)
        manager = self._manager(proxy)
        opener = manager if proxy else manager.connection_from_host(origin.host, origin.port, origin.scheme)
        if len(self._openers) >= self._pools_size:
            self._openers.clear()
        return self._openers.setdefault(start, opener)

    def _proxy(self, origin: Origin) -> str | None:
        if self.configuration.proxy is not None:
            return _with_scheme(self.configuration.proxy) if self.configuration.proxy else None
        if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
            return None
        from urllib.request import getproxies_environment, proxy_bypass

        proxies = getproxies_environment()
        if proxy_bypass(f"{origin.host}:{origin.port}"):
            return None
        proxy = proxies.get(origin.scheme) or proxies.get("all")
        return _with_scheme(proxy) if proxy else None

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
    pairs = post_params.items() if isinstance(post_params, Mapping) else post_params or ()
    fields = [(name, value) for name, value in pairs if value is not None]
    if content_type is not None and content_type.startswith("multipart/form-data"):
        multipart = Multipart(fields)
        return multipart, multipart.content_type
    if content_type is not None and content_type.startswith("application/x-www-form-urlencoded") and body is None:
        return urlencode([(name, write_text(value)) for name, value in fields]).encode(), content_type
    if body is None:
        return None, content_type
    if content_type is None or "json" in content_type.lower():
        try:
            return write_json(body), content_type or "application/json"
        except Invalid as error:
            raise ApiValueError(f"Invalid value for `{error.place() or 'body'}`, {error.problem}") from None
    if isinstance(body, (str, bytes, bytearray)):
        return ensure_binary(body) if isinstance(body, str) else bytes(body), content_type
    if hasattr(body, "read"):
        return Upload(body), content_type
    if hasattr(body, "__iter__") and not isinstance(body, Mapping):
        return body, content_type
    raise ApiValueError(f"Invalid value for `body`, {type(body).__name__} can't be sent as {content_type}")


def header_value(name: str, value: Any) -> str:
    """The text of a header.

    Raises:
        ApiValueError: It can't be sent: a line break, or no Latin-1 text.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise ApiValueError(f"Invalid name of a header, {name!r}: must be printable ASCII without spaces and colons")
    text = ensure_str(value, "latin-1") if isinstance(value, (str, bytes)) else write_text(value)
    if "\r" in text or "\n" in text or "\0" in text:
        raise ApiValueError(f"Invalid value for the header {name!r}, must be one line: it holds a line break or NUL")
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise ApiValueError(f"Invalid value for the header {name!r}, must be Latin-1 text") from None
    return text


def as_raw(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> RawResponse:
    """The response, unread, with `getfilename`; its time is the caller's."""
    deadline.end = math.inf
    return response  # type: ignore[return-value]


def blocks_of(response: urllib3.BaseHTTPResponse, at_once: bool = False) -> Iterator[bytes]:
    """The body in blocks of at most 1 MiB; the connection is given back at the end, closed where it comes early.

    Args:
        response: The answer, unread.
        at_once: Whether to give what has come, instead of waiting for a whole block, which is lost where it breaks off.

    Raises:
        ApiConnectionError: The connection broke before the promised length.
        ApiTimeoutError: The call's time is over, or the server fell silent.
    """
    read = response.read1 if at_once else response.read
    with closing(response):
        try:
            while block := read(BLOCK):
                yield block
        except HTTPError as error:
            raise _broken(error) from error


def _can_be_sent_again(body: Any) -> bool:
    return body is None or isinstance(body, bytes) or (isinstance(body, Stream) and body.rewindable)


def _has_expired(response: urllib3.BaseHTTPResponse, data: bytes) -> bool:
    """Whether this is how a storage refuses a signed URL whose time is over; Google's answers 400."""
    return response.status == 403 or (response.status == 400 and b"ExpiredToken" in data)


def _may_repeat_after_error(method: str, error: HTTPError) -> bool:
    if isinstance(error, (SSLError, DecodeError)):
        return False
    if method in _REPEATABLE:
        return True
    # No connection was made, so nothing was carried out.
    reason = error.original_error if isinstance(error, ProxyError) else error
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _retry_after(value: str | None) -> float | None:
    if value is None:
        return None
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def _failure(response: urllib3.BaseHTTPResponse, data: bytes, reason: str | None = None) -> ApiException:
    error = ApiException.class_for(response.status)
    return error(status=response.status, reason=reason or response.reason, body=data, headers=response.headers)


def _broken(error: HTTPError) -> ApiException:
    # urllib3 takes a timeout while sending for a broken connection.
    sending = isinstance(error, ProtocolError) and any(isinstance(cause, TimeoutError) for cause in error.args)
    timed_out = isinstance(error, TransportTimeoutError) and not isinstance(error, NewConnectionError)
    kind = ApiTimeoutError if timed_out or sending else ApiConnectionError
    return kind(status=0, reason=f"{type(error).__name__}: {error}")


def _content_type(headers: Mapping[str, str]) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == "content-type"), None)


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _tls_options(configuration: Configuration) -> dict[str, Any]:
    for setting in ("ssl_ca_cert", "cert_file", "key_file"):
        path = getattr(configuration, setting)
        if path is not None and not os.path.isfile(path):
            raise ApiValueError(f"configuration.{setting} must be a PEM file, there is none at {path!r}")
    options: dict[str, Any] = {
        "cert_reqs": "CERT_REQUIRED" if configuration.verify_ssl else "CERT_NONE",
        "ca_certs": configuration.ssl_ca_cert or certifi.where(),
        "cert_file": configuration.cert_file,
        "key_file": configuration.key_file,
    }
    if configuration.assert_hostname is not None:
        options["assert_hostname"] = configuration.assert_hostname
    return options
