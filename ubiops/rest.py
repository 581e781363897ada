"""The transport: sends requests, follows redirects, and raises errors that say what failed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

import certifi
import urllib3
from urllib3.exceptions import HTTPError

from ubiops.connections import BLOCK, RawResponse, pools_by_scheme
from ubiops.deadline import Deadline, current
from ubiops.exceptions import ApiException, ApiFileError, ApiValueError
from ubiops.files import Stream
from ubiops.proxies import is_socks, proxy_from_environment, proxy_manager, proxy_secrets, with_scheme
from ubiops.retries import RETRIES, Rules, can_be_sent_again, rules_for
from ubiops.transport_errors import transport_error
from ubiops.urls import Origin, is_upgrade, origin_of, redirect_target, same_origin, split, without_secrets
from ubiops.verbs import RESTResponse, Verbs

if TYPE_CHECKING:
    from ubiops.configuration import Configuration

__all__ = ["ApiException", "RESTClientObject", "RESTResponse", "RawResponse"]


_REDIRECTS = 10
_ERROR_BODY = 1 << 20
# Connections to keep open by default: enough for any pool of threads that share a client.
_KEPT_CONNECTIONS = 64
# With these headers the client doesn't ask for gzip: a range is a part of the file as stored.
_ENCODING_AFFAIRS = frozenset({"accept-encoding", "range"})
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
# What urllib3 would create from False for each request.
_NO_RETRIES = urllib3.Retry(False, redirect=False)

logger = logging.getLogger(__name__)


class _UnreadableBodyError(Exception):
    """The caller's file couldn't be read. It isn't an `OSError`, which urllib3 would attribute to the connection."""

    def __init__(self, error: ApiFileError) -> None:
        self.error = error


def _outgoing(body: Stream) -> Iterator[bytes]:
    try:
        yield from body
    except ApiFileError as error:
        raise _UnreadableBodyError(error) from error


class RESTClientObject(Verbs):
    """Sends requests over kept connections, retries what may be repeated, and maps errors.

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
        self._proxy_secrets: set[str] = set()
        # Opens the URLs of an origin: its connection pool, or the manager of the proxy in between.
        self._openers: dict[str, urllib3.HTTPConnectionPool | urllib3.PoolManager] = {}
        self.pool_manager = self._manager(None)
        # Last: a thread that sees it uses the new ones.
        self._pid = os.getpid()

    def _manager(self, proxy: str | None) -> urllib3.PoolManager:
        manager = self._managers.get(proxy)
        if manager is None:
            options = {**self._tls, "num_pools": self._pools_size, "maxsize": self._maxsize, "blocksize": BLOCK}
            if proxy is None:
                made = urllib3.PoolManager(**options)
                made.pool_classes_by_scheme = pools_by_scheme()
            else:
                made = proxy_manager(proxy, self.configuration.proxy_headers, options)
                self._proxy_secrets |= proxy_secrets(proxy, self.configuration.proxy_headers)
            made.pools.dispose_func = _retire
            # If two threads create one, both use the same.
            manager = self._managers.setdefault(proxy, made)
        return manager

    def close(self) -> None:
        """Close the idle connections; those in use close when their answer has been read."""
        for manager in self._managers.values():
            manager.clear()
        self._reset()

    def __getstate__(self) -> dict[str, Any]:
        sockets = {"_managers", "_openers", "_proxy_secrets", "pool_manager"}
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
        """Send a request, retry it if that is safe, and follow a redirect of a GET within the same origin.

        Args:
            method: HTTP method.
            url: Absolute URL, encoded.
            headers: All the headers to send.
            body: The body, if any.
            deadline: The timeouts; by default 10 s to connect and 300 s to wait for data.
            stream: Whether to leave the body of a successful answer unread.
            renew: Requests a new URL, if it is a signed one that expires: before each repetition, and once if the
                answer says that it has expired.

        Returns:
            The response and its body; the body is empty if it is left unread.

        Raises:
            ApiConnectionError: No connection, or it broke.
            ApiTimeoutError: No answer in time.
            ApiException: The answer's status isn't a success; a subclass for the status.
            ApiValueError: The URL or a timeout can't be used.
        """
        try:
            return self._send(method, url, headers, body, deadline or Deadline(), stream, renew)
        except ApiException as error:
            for secret in self._proxy_secrets:
                error.hide(secret)
            raise

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Stream | None,
        deadline: Deadline,
        stream: bool,
        renew: Callable[[], str] | None,
    ) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        for _ in range(_REDIRECTS):
            response, data = self._send_repeatedly(method, url, headers, body, deadline, stream, renew)
            if response.status == 206 and not any(name.lower() == "range" for name in headers):
                response.close()
                raise _failure(response, data, f"{response.reason}: only a part was returned, not the whole")
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
        refused: tuple[urllib3.BaseHTTPResponse, bytes] | None = None
        may_renew = renew is not None and can_be_sent_again(body)
        while True:
            try:
                response, data = self._attempt(method, url, headers, body, deadline, stream)
            except HTTPError as error:
                problem = type(error).__name__
                if refused is not None and deadline.left() <= 0:
                    # An earlier answer of the server says more than that the time is over.
                    return refused
                pause = rules.after_error(method, error)
                if pause is None or pause >= deadline.left():
                    raise transport_error(error, method) from error
            else:
                problem = str(response.status)
                pause = None if 200 <= response.status <= 299 else rules.after_answer(method, response)
                if may_renew and _has_expired(response, data):
                    may_renew, pause = False, 0.0
                if pause is None or pause >= deadline.left():
                    return response, data
                refused = response, data
            logger.debug("%s %s: %s, again in %.1f s", method, without_secrets(url), problem, pause)
            time.sleep(pause)
            if renew is not None:
                url = renew()

    def rules(self, body: bytes | Stream | None = None, default: int = RETRIES) -> Rules:
        """The retry rules for a request with this body; `default` is the number of retries if the program sets none."""
        rules = rules_for(self.configuration.retries, body, default)
        rules.rate_limits = self.configuration.auto_retry_rate_limiting
        return rules

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
            # After a fork, the connections belong to the parent: leave them alone.
            self._reset()
        start, target = split(url)
        sent = dict(headers)
        if method == "GET" and not stream and _ENCODING_AFFAIRS.isdisjoint(map(str.lower, headers)):
            sent["Accept-Encoding"] = "gzip"
        opener = self._openers.get(start) or self._opener(start)
        # A call may be made while the body of another one is being sent.
        outer = current.deadline
        try:
            current.deadline = deadline
            response = opener.urlopen(
                method,
                f"{origin_of(start)}{target}" if isinstance(opener, urllib3.PoolManager) else target,
                body=_outgoing(body) if isinstance(body, Stream) else body,
                headers=sent,
                retries=_NO_RETRIES,
                redirect=False,
                timeout=deadline.attempt(),
                preload_content=False,
            )
        except _UnreadableBodyError as error:
            raise error.error from None
        finally:
            current.deadline = outer
        if 200 <= response.status <= 299:
            return response, b"" if stream else self._read(response)
        with closing(response):
            try:
                return response, response.read(_ERROR_BODY)
            except HTTPError:
                # The status says more than the body that couldn't be read.
                return response, b""

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """The whole body.

        Raises:
            ApiException: It is larger than ``configuration.max_response_size``.
        """
        limit = self.configuration.max_response_size
        promised = getattr(response, "length_remaining", None)
        if promised is not None and promised <= limit and "Content-Encoding" not in response.headers:
            return response.read()
        blocks: list[bytes] = []
        size = 0
        with closing(response):
            while block := response.read(BLOCK):
                size += len(block)
                if size > limit:
                    reason = f"the answer is larger than configuration.max_response_size ({limit} bytes)"
                    raise _failure(response, b"", f"{response.reason}: {reason}")
                blocks.append(block)
        return b"".join(blocks)

    def _opener(self, start: str) -> urllib3.HTTPConnectionPool | urllib3.PoolManager:
        origin = origin_of(start)
        proxy = self._proxy(origin)
        manager = self._manager(proxy)
        opener = (
            manager
            if proxy and not is_socks(proxy)
            else manager.connection_from_host(origin.host, origin.port, origin.scheme)
        )
        if len(self._openers) >= self._pools_size:
            self._openers.clear()
        return self._openers.setdefault(start, opener)

    def _proxy(self, origin: Origin) -> str | None:
        if self.configuration.proxy is not None:
            return with_scheme(self.configuration.proxy) if self.configuration.proxy else None
        return proxy_from_environment(origin)


def blocks_of(response: urllib3.BaseHTTPResponse, at_once: bool = False) -> Iterator[bytes]:
    """The body in blocks of at most 1 MiB; the connection is released at the end, or closed if that comes early.

    Args:
        response: The answer, unread.
        at_once: Whether to yield data as it arrives, instead of waiting for a whole block, which is lost if the
            connection breaks.

    Raises:
        ApiConnectionError: The connection broke before the promised length.
        ApiTimeoutError: The call's time is over, or the server stopped sending.
    """
    read = response.read1 if at_once else response.read
    with closing(response):
        try:
            while block := read(BLOCK):
                yield block
        except HTTPError as error:
            raise transport_error(error, "GET") from error


def _retire(pool: Any) -> None:
    pool.retire()


def _has_expired(response: urllib3.BaseHTTPResponse, data: bytes) -> bool:
    """Whether a storage refused a signed URL because it has expired; Google's answers 400."""
    return response.status == 403 or (response.status == 400 and b"ExpiredToken" in data)


def _failure(response: urllib3.BaseHTTPResponse, data: bytes, reason: str | None = None) -> ApiException:
    error = ApiException.class_for(response.status)
    return error(status=response.status, reason=reason or response.reason, body=data, headers=response.headers)


def _tls_options(configuration: Configuration) -> dict[str, Any]:
    for setting in ("ssl_ca_cert", "cert_file", "key_file"):
        path = getattr(configuration, setting)
        if path is not None and not os.path.isfile(path):
            raise ApiValueError(f"configuration.{setting} must be a PEM file, but {path!r} doesn't exist")
    options: dict[str, Any] = {"cert_file": configuration.cert_file, "key_file": configuration.key_file}
    if configuration.ssl_context is not None:
        options["ssl_context"] = configuration.ssl_context
    elif configuration.verify_ssl:
        options.update(cert_reqs="CERT_REQUIRED", **_authorities(configuration.ssl_ca_cert))
    else:
        options["cert_reqs"] = "CERT_NONE"
    if configuration.assert_hostname is not None:
        options["assert_hostname"] = configuration.assert_hostname
    return options


def _authorities(file: str | None) -> dict[str, str]:
    """The certificates of the authorities: a file, or a folder of files named by hash."""
    if file:
        return {"ca_certs": file}
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        path = os.environ.get(name)
        if path and os.path.isdir(path) and name != "SSL_CERT_FILE":
            return {"ca_cert_dir": path}
        if path and os.path.isfile(path) and name != "SSL_CERT_DIR":
            return {"ca_certs": path}
        if path:
            kind = "folder" if name == "SSL_CERT_DIR" else "PEM file"
            raise ApiValueError(f"The environment variable {name} must name a {kind}, but {path!r} doesn't exist")
    return {"ca_certs": certifi.where()}
