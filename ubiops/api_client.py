"""`ApiClient`: credentials, default headers, the thread pool, and the path of a call."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ubiops import __version__
from ubiops.clock import monotonic
from ubiops.compat import Doors, decode, naming_call
from ubiops.configuration import Configuration
from ubiops.connections import as_raw
from ubiops.deadline import READ_TIMEOUT, Deadline
from ubiops.exceptions import ApiException, ApiTypeError, ApiValueError, MaskedHeaders
from ubiops.files import Stream, filename_of, save
from ubiops.frames import one_frame
from ubiops.operation import Request
from ubiops.rest import RESTClientObject, RESTResponse, blocks_of
from ubiops.urls import same_origin
from ubiops.verbs import header_value

if TYPE_CHECKING:
    from multiprocessing.pool import AsyncResult, ThreadPool
    from types import TracebackType

__all__ = ["ApiClient"]

C = TypeVar("C", bound="ApiClient")

logger = logging.getLogger(__name__)

_CREDENTIALS = frozenset({"authorization", "cookie"})
# Seconds that the program's exit waits for the next asynchronous call to end.
_LEAVING = 30.0
# Shorter ones, as in tests, aren't secret, and masking them would garble the text.
_SHORTEST_TOKEN = 6


class ApiClient(Doors):
    """A client of the API; one serves many threads. Use it as a context manager, or close it.

    Args:
        configuration: Settings; by default a new `Configuration`.
        header_name: Name of a header to send with every request.
        header_value: Value of that header.
        cookie: Cookie to send with every request.
        pool_threads: Number of threads for calls with ``async_req=True``.

    Raises:
        ApiTypeError: The configuration isn't one.
        ApiValueError: A setting for TLS can't be used.
    """

    PRIMITIVE_TYPES = (float, bool, bytes, str, int)
    NATIVE_TYPES_MAPPING: ClassVar[dict[str, type]] = {
        "int": int,
        "long": int,
        "float": float,
        "str": str,
        "bool": bool,
        "date": date,
        "datetime": datetime,
        "object": object,
    }

    def __init__(
        self,
        configuration: Configuration | None = None,
        header_name: str | None = None,
        header_value: str | None = None,
        cookie: str | None = None,
        pool_threads: int = 1,
    ) -> None:
        # No isinstance: tests of programs pass a double.
        if configuration is not None and not hasattr(configuration, "host"):
            raise ApiTypeError(
                f"Invalid value for `configuration` of ApiClient, must be Configuration, not {configuration!r}"
            )
        self.configuration = configuration or Configuration()
        self.pool_threads = pool_threads
        self.rest_client = RESTClientObject(self.configuration)
        self.default_headers: dict[str, str] = {}
        self.user_agent = self._own_user_agent = f"ubiops/{__version__} (Python {sys.version.split()[0]})"
        if header_name is not None and header_value is not None:
            self.set_default_header(header_name, header_value)
        self.cookie = cookie
        self.client_side_validation = self.configuration.client_side_validation
        self.last_response: Any = None
        # By process: a fork copies the pool, but not its threads.
        self._pools: dict[int, ThreadPool] = {}
        self._submitting: set[object] = set()
        self._retired: deque[ThreadPool] = deque()

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections and let the threads end once their calls are done; it doesn't wait for them.

        The end of the program waits for asynchronous calls, closed or not, as long as one of them ends every 30 s.
        """
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            self._retired.append(pool)
            self._close_retired()
        self.rest_client.close()

    @property
    def pool(self) -> ThreadPool:
        """The thread pool for asynchronous calls, created at its first use."""
        return self._pools.get(os.getpid()) or self._new_pool()

    def _new_pool(self) -> ThreadPool:
        from multiprocessing.pool import ThreadPool

        pool = ThreadPool(self.pool_threads)
        kept = self._pools.setdefault(os.getpid(), pool)
        if kept is pool:
            weakref.finalize(self, pool.close)
            # Once, and last: what is registered last runs first, and the pool's own exit handler would drop its calls.
            atexit.unregister(_finish_calls)
            atexit.register(_finish_calls)
        else:
            # Another thread was faster.
            pool.close()
        return kept

    def apply_async(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> AsyncResult[Any]:
        """Call a function in the thread pool; in a new one if another thread has just closed it."""
        submission = object()
        try:
            self._submitting.add(submission)
            result = self._submit(function, arguments)
        finally:
            self._submitting.discard(submission)
            self._close_retired()
        # A double of the pool may return something that can't be referred to weakly.
        with suppress(TypeError):
            _begun[result] = os.getpid()
        return result

    def _submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> AsyncResult[Any]:
        while True:
            pool = self.pool
            try:
                return pool.apply_async(function, arguments)
            except ValueError:
                if self._pools.get(os.getpid()) is pool:
                    # Closed by the program itself.
                    del self._pools[os.getpid()]

    def _close_retired(self) -> None:
        """Close the retired pools, but not during a submission: a pool could accept a call and lose it.

        Without a lock, which Ctrl-C could leave locked: a submission is noted before it looks for its pool.
        """
        while self._retired:
            with suppress(IndexError):
                pool = self._retired.popleft()
                if not self._submitting:
                    pool.close()
                    continue
                self._retired.append(pool)
            if self._submitting:
                return

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pools": {}, "_submitting": set(), "_retired": deque(), "last_response": None}

    # Headers

    @property
    def user_agent(self) -> str:
        """The ``User-Agent`` header."""
        return next((value for name, value in self.default_headers.items() if name.lower() == "user-agent"), "")

    @user_agent.setter
    def user_agent(self, value: str) -> None:
        self.set_default_header("User-Agent", value)

    def set_default_header(self, header_name: str, header_value: str) -> None:
        """Send a header with every request; it replaces one of the same name, in any case."""
        for name in [name for name in self.default_headers if name.lower() == header_name.lower()]:
            del self.default_headers[name]
        self.default_headers[header_name] = header_value

    # The path of a call

    def execute(
        self,
        request: Request,
        returns: str | None,
        *,
        async_req: bool = False,
        preload: bool = True,
        timeout: Any = None,
        data_only: bool = True,
        host: str | None = None,
        auth_settings: Sequence[str] = ("api_key",),
    ) -> Any:
        """Send a request and read its answer.

        Args:
            request: The request.
            returns: Type of the answer, None if it has no body.
            async_req: Whether to run in the thread pool.
            preload: Whether to read the answer (a file: to write it to disk); else the data is the urllib3 response,
                unread.
            timeout: Seconds in all, or a pair of seconds to connect and to wait for data; None for the defaults.
            data_only: Whether to return only the data, not data, status and headers.
            host: URL to send to instead of the configuration's; credentials are sent only to the configuration's.
            auth_settings: Names of the security schemes to use.

        Raises:
            ApiException: The API refused or failed the call, or couldn't be reached.
        """
        try:
            url = self.url_of(request, host)
            headers = self.headers_of(request, None if host is None else url, auth_settings)
            deadline = Deadline(timeout, request.read_timeout or READ_TIMEOUT)
        except ApiValueError as error:
            raise naming_call(error, request) from None
        arguments = (request, url, headers, returns, preload, deadline, data_only)
        return self.apply_async(self._send, arguments) if async_req else self._send(*arguments)

    @one_frame
    def _send(
        self,
        request: Request,
        url: str,
        headers: MaskedHeaders,
        returns: str | None,
        preload: bool,
        deadline: Deadline,
        data_only: bool,
    ) -> Any:
        # In the thread pool, that is later than the call was made.
        deadline.start()
        streamed = not preload or returns == "file"
        try:
            response, body = self.rest_client.send(request.method, url, headers, request.body, deadline, streamed)
            if preload:
                # Another thread's answer may be the last one by the time this one is decoded.
                answer = self.last_response = RESTResponse(response, body)
                data = self._save(response) if returns == "file" else decode(answer, returns)
            else:
                data = self.last_response = as_raw(response, deadline)
        except ApiException as error:
            self.hide_credentials(error, headers)
            error.locate(request.operation, request.method, request.path, request.hint_at(error.status))
            raise
        except ApiValueError as error:
            raise naming_call(error, request) from error
        logger.debug("%s %s: %s", request.method, request.path, response.status)
        return data if data_only else (data, response.status, response.headers)

    def headers_of(self, request: Request, other_url: str | None, auth_settings: Sequence[str] | None) -> MaskedHeaders:
        """All headers of a request, without the credentials if it goes to another host."""
        credentials: dict[str, Any] = {"Cookie": self.cookie} if self.cookie else {}
        if auth_settings:
            self.update_params_for_auth(credentials, [], auth_settings)
        merged: dict[str, tuple[str, Any]] = {}
        for source in (self.default_headers, credentials):
            for name, value in source.items():
                if value is not None:
                    merged[name.lower()] = (name, value)
        for name, value in request.headers.items():
            # A header that the program sets overrides the operation's, even `Accept`.
            given = merged.get(name.lower())
            if value is not None and (given is None or given[1] is self._own_user_agent):
                merged[name.lower()] = (name, value)
        for name, value in request.own_headers.items():
            if value is not None:
                merged[name.lower()] = (name, value)
        if isinstance(request.body, Stream):
            if request.body.length is not None:
                merged["content-length"] = ("Content-Length", str(request.body.length))
            if "Content-Type" in request.headers:
                # It contains the boundary of the form's parts.
                merged["content-type"] = ("Content-Type", request.headers["Content-Type"])
        if other_url is not None and _is_foreign(other_url, self._address()):
            merged = {key: header for key, header in merged.items() if key not in _CREDENTIALS}
        return MaskedHeaders({name: header_value(name, value) for name, value in merged.values()})

    def hide_credentials(self, error: ApiException, headers: Mapping[str, str]) -> None:
        """Mask the credentials of a request if the server repeats them in its answer."""
        for name, value in headers.items():
            if name.lower() in _CREDENTIALS:
                error.hide(value)
                token = value.rpartition(" ")[2]
                if len(token) >= _SHORTEST_TOKEN:
                    error.hide(token)

    def url_of(self, request: Request, host: str | None = None) -> str:
        """The URL to send a request to; `host` instead of the configuration's."""
        return _base(host or self._address()) + request.target

    def _address(self) -> str:
        configuration = self.configuration
        # Tests of programs pass doubles that have a host.
        return configuration.address() if isinstance(configuration, Configuration) else configuration.host

    def _save(self, response: Any) -> str:
        name = filename_of(response.headers.get("Content-Disposition"))
        with closing(response):
            return save(blocks_of(response), self.configuration.temp_folder_path, name)


_begun: weakref.WeakKeyDictionary[AsyncResult[Any], int] = weakref.WeakKeyDictionary()
"""Asynchronous calls, each with the process that made it; unfinished ones are kept alive by their pools."""


def _finish_calls() -> None:
    """Let asynchronous calls finish before the program exits, unless none of them ends for too long."""
    left, end = len(_begun) + 1, 0.0
    while waiting := [call for call, pid in list(_begun.items()) if pid == os.getpid() and not call.ready()]:
        if len(waiting) < left:
            left, end = len(waiting), monotonic() + _LEAVING
        elif monotonic() > end:
            logger.warning("The program ends while %d asynchronous calls are under way: get() their results", left)
            return
        waiting[0].wait(0.1)


def _base(host: str) -> str:
    host = host.strip() if isinstance(host, str) else host
    if not isinstance(host, str) or not host[:8].lower().startswith(("https://", "http://")):
        raise ApiValueError(
            f"configuration.host must be a URL with its scheme, such as 'https://api.ubiops.com/v2.1', not {host!r}"
        )
    return host.rstrip("/")


def _is_foreign(url: str, host: str) -> bool:
    try:
        return not same_origin(url, host)
    except ValueError:
        # Not a URL: it is refused when a request is sent to it.
        return True
