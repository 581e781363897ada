"""`ApiClient`: credentials, default headers, the thread pool, and the one way that a call takes."""

from __future__ import annotations

import logging
import os
import sys
import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import quote_plus

from six import ensure_str

from ubiops import __version__
from ubiops.configuration import Configuration
from ubiops.exceptions import ApiException, ApiFileError, ApiTypeError, ApiValueError
from ubiops.files import Stream, Upload, filename_of, save
from ubiops.operation import Request, quote_path, read_body
from ubiops.rest import (
    READ_TIMEOUT,
    Deadline,
    RESTClientObject,
    RESTResponse,
    as_raw,
    blocks_of,
    encode_body,
    header_value,
    same_origin,
)
from ubiops.schema import Invalid, plain, reader, write_text

if TYPE_CHECKING:
    from multiprocessing.pool import ThreadPool
    from types import TracebackType

__all__ = ["ApiClient"]

C = TypeVar("C", bound="ApiClient")

logger = logging.getLogger(__name__)

_CREDENTIALS = frozenset({"authorization", "cookie"})
# Shorter ones, as in tests, are no secret, and masking them would garble the text.
_SHORTEST_TOKEN = 6


class ApiClient:
    """A client of the API; one serves many threads. Use it as a context manager, or close it.

    Args:
        configuration: Settings; by default a new `Configuration`.
        header_name: Name of a header to send with every request.
        header_value: Value of that header.
        cookie: Cookie to send with every request.
        pool_threads: Number of threads for calls with ``async_req=True``.

    Raises:
        ApiTypeError: The configuration is none.
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
        self.user_agent = f"ubiops/{__version__} (Python {sys.version.split()[0]})"
        if header_name is not None and header_value is not None:
            self.set_default_header(header_name, header_value)
        self.cookie = cookie
        self.client_side_validation = self.configuration.client_side_validation
        self.last_response: Any = None
        # By process: a fork takes the pool along, but not its threads.
        self._pools: dict[int, ThreadPool] = {}

    def __enter__(self: C) -> C:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections and let the threads end once their calls are done; waits for nothing."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()
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
        else:
            # Another thread was quicker.
            pool.close()
        return kept

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pools": {}, "last_response": None}

    # Headers

    @property
    def user_agent(self) -> str:
        """The ``User-Agent`` header."""
        return next((value for name, value in self.default_headers.items() if name.lower() == "user-agent"), "")

    @user_agent.setter
    def user_agent(self, value: str) -> None:
        self.set_default_header("User-Agent", value)

    def set_default_header(self, header_name: str, header_value: str) -> None:
        """Send a header with every request; it takes the place of one of the same name, whatever its case."""
        for name in [name for name in self.default_headers if name.lower() == header_name.lower()]:
            del self.default_headers[name]
        self.default_headers[header_name] = header_value

    def update_params_for_auth(
        self, headers: dict[str, Any], querys: list[tuple[str, Any]], auth_settings: Sequence[str] | None
    ) -> None:
        """Add the credentials of the named security schemes to headers and query parameters."""
        if not auth_settings:
            return
        settings = self.configuration.auth_settings()
        for name in auth_settings:
            setting = settings.get(name)
            if setting is None:
                continue
            if setting["in"] == "query":
                querys.append((setting["key"], setting["value"]))
            else:
                headers["Cookie" if setting["in"] == "cookie" else setting["key"]] = setting["value"]

    def select_header_accept(self, accepts: Sequence[str]) -> str | None:
        """The ``Accept`` header for these media types: JSON where it is among them."""
        if not accepts:
            return None
        accepts = [accept.lower() for accept in accepts]
        return "application/json" if "application/json" in accepts else ", ".join(accepts)

    def select_header_content_type(self, content_types: Sequence[str]) -> str:
        """The ``Content-Type`` header for these media types: JSON where it is among them."""
        if not content_types:
            return "application/json"
        content_types = [content_type.lower() for content_type in content_types]
        if "application/json" in content_types or "*/*" in content_types:
            return "application/json"
        return content_types[0]

    # The way of a call

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
            returns: Type of the answer, None for none.
            async_req: Whether to do so in the thread pool.
            preload: Whether to read the answer (a file: to write it to disk); else the data is the urllib3 response,
                unread.
            timeout: Seconds in all, or a pair of seconds to connect and to wait for data; None for the defaults.
            data_only: Whether to return the data alone, or data, status and headers.
            host: URL to send to instead of the configuration's; credentials go to the configuration's alone.
            auth_settings: Names of the security schemes to use.

        Raises:
            ApiException: The API refused or failed the call, or couldn't be reached.
        """
        try:
            url = _base(host or self.configuration.host) + request.target
            headers = self._headers(request, None if host is None else url, auth_settings)
            Deadline(timeout)
        except ApiValueError as error:
            raise _naming_call(error, request) from None
        arguments = (request, url, headers, returns, preload, timeout, data_only)
        return self.pool.apply_async(self._send, arguments) if async_req else self._send(*arguments)

    def _send(
        self,
        request: Request,
        url: str,
        headers: dict[str, str],
        returns: str | None,
        preload: bool,
        timeout: Any,
        data_only: bool,
    ) -> Any:
        deadline = Deadline(timeout, request.read_timeout or READ_TIMEOUT)
        streamed = not preload or returns == "file"
        try:
            response, body = self.rest_client.send(request.method, url, headers, request.body, deadline, streamed)
            if preload:
                # Another thread's answer may be the last by the time that this one is decoded.
                answer = self.last_response = RESTResponse(response, body)
                data = self._save(response) if returns == "file" else _decode(answer, returns)
            else:
                data = self.last_response = as_raw(response, deadline)
        except ApiException as error:
            self._hide_credentials(error, headers)
            error.locate(request.operation, request.method, request.path)
            raise
        except ApiValueError as error:
            raise _naming_call(error, request) from error
        logger.debug("%s %s: %s", request.method, request.path, response.status)
        return data if data_only else (data, response.status, response.headers)

    def _headers(self, request: Request, other_url: str | None, auth_settings: Sequence[str] | None) -> dict[str, str]:
        credentials: dict[str, Any] = {"Cookie": self.cookie} if self.cookie else {}
        if auth_settings:
            self.update_params_for_auth(credentials, [], auth_settings)
        merged: dict[str, tuple[str, Any]] = {}
        for headers in (self.default_headers, credentials, request.headers):
            for name, value in headers.items():
                if value is not None:
                    merged[name.lower()] = (name, value)
        if isinstance(request.body, Stream) and request.body.length is not None:
            merged["content-length"] = ("Content-Length", str(request.body.length))
        if other_url is not None and _is_foreign(other_url, self.configuration.host):
            merged = {key: header for key, header in merged.items() if key not in _CREDENTIALS}
        return {name: header_value(name, value) for name, value in merged.values()}

    def _hide_credentials(self, error: ApiException, headers: Mapping[str, str]) -> None:
        """Mask the credentials of a request where the server repeats them in its answer."""
        for name, value in headers.items():
            if name.lower() in _CREDENTIALS:
                error.hide(value)
                token = value.rpartition(" ")[2]
                if len(token) >= _SHORTEST_TOKEN:
                    error.hide(token)

    def _save(self, response: Any) -> str:
        name = filename_of(response.headers.get("Content-Disposition"))
        with closing(response):
            return save(blocks_of(response), self.configuration.temp_folder_path, name)

    # The low-level doors to the same way

    def call_api(
        self,
        resource_path: str,
        method: str,
        path_params: Any = None,
        query_params: Any = None,
        header_params: Mapping[str, Any] | None = None,
        body: Any = None,
        post_params: Any = None,
        files: Mapping[str, Any] | None = None,
        response_type: Any = None,
        auth_settings: Sequence[str] | None = None,
        async_req: bool | None = None,
        _return_http_data_only: bool | None = None,
        collection_formats: Mapping[str, str] | None = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
        _host: str | None = None,
    ) -> Any:
        """Call any path of the API, for instance one that this client has no method for.

        Args:
            resource_path: Path below the host, with the names of its parameters in braces.
            method: HTTP method.
            path_params: Values of the path's parameters, percent-encoded whole.
            query_params: Pairs or dict for the query string.
            header_params: Headers; ``Content-Type`` decides how `body` is written, JSON without it.
            body: What to send: models, dicts, plain data.
            post_params: Form fields.
            files: Files of a multipart form by field name: a path, a file object, or a list of them.
            response_type: Type of the answer, as in `openapi_types` of a model; ``file`` for a download, which
                is written into `Configuration.temp_folder_path`: the data is its path.
            auth_settings: Names of the security schemes to use: ``["api_key"]``.
            async_req: Whether to run in the thread pool and return its `AsyncResult`.
            _return_http_data_only: Whether to return the data alone.
            collection_formats: ``csv``, ``ssv``, ``tsv``, ``pipes`` or ``multi`` by name of a parameter with many
                values.
            _preload_content: Whether to read the answer.
            _request_timeout: Seconds in all, or a pair to connect and to wait for data.
            _host: URL to send to instead of the configuration's, without its credentials.

        Returns:
            The data, or data, status and headers; the data is the urllib3 response, unread, with
            ``_preload_content=False``.

        Raises:
            ApiException: The API refused or failed the call, or couldn't be reached.
            ApiValueError: A value that can't be sent, or a body and form fields together; nothing was sent.
        """
        request = Request(None, method.upper())
        returns = _type_name(response_type)
        request.path = self._fill_in(resource_path, self.parameters_to_tuples(path_params or {}, collection_formats))
        request.query = _encode_query(self.parameters_to_tuples(query_params or {}, collection_formats))
        request.headers = {name: value for name, value in (header_params or {}).items() if value is not None}
        form = self.parameters_to_tuples(post_params or {}, collection_formats)
        form = [*[(name, value) for name, value in form if value is not None], *self.files_parameters(files)]
        given = next((name for name in request.headers if name.lower() == "content-type"), None)
        content_type = ensure_str(request.headers.pop(given)) if given else None
        if content_type is None and form and body is None:
            content_type = "multipart/form-data" if files else "application/x-www-form-urlencoded"
        if body is not None and form:
            raise ApiValueError(f"Invalid value for `body` when calling `{resource_path}`, there are form fields too")
        try:
            request.body, content_type = encode_body(body, form, content_type)
        except UnicodeEncodeError as error:
            raise ApiValueError(
                f"Invalid value when calling `{resource_path}`, has no form in UTF-8: {error.reason}"
            ) from None
        if content_type is not None:
            request.headers["Content-Type"] = content_type
        return self.execute(
            request,
            returns,
            async_req=bool(async_req),
            preload=_preload_content,
            timeout=_request_timeout,
            data_only=bool(_return_http_data_only),
            host=_host,
            auth_settings=auth_settings or (),
        )

    def _fill_in(self, resource_path: str, values: Iterable[tuple[str, Any]]) -> str:
        path = resource_path if resource_path.startswith("/") else f"/{resource_path}"
        for name, value in values:
            try:
                if value is None:
                    raise Invalid("must not be `None`")
                path = path.replace(f"{{{name}}}", quote_path(value, self.configuration.safe_chars_for_path_param))
            except Invalid as error:
                place = f"`{name}` when calling `{resource_path}`"
                raise ApiValueError(f"Invalid value for {place}, {error.problem}") from None
        return path

    def request(
        self,
        method: str,
        url: str,
        query_params: Any = None,
        headers: Mapping[str, str] | None = None,
        post_params: Any = None,
        body: Any = None,
        _preload_content: bool = True,
        _request_timeout: Any = None,
    ) -> Any:
        """Send a request to any URL, with the given headers alone: see `RESTClientObject.request`."""
        return self.rest_client.request(
            method, url, query_params, headers, body, post_params, _preload_content, _request_timeout
        )

    def deserialize(self, response: Any, response_type: Any) -> Any:
        """The value of an answer.

        Args:
            response: An answer with ``data`` (`bytes` or `str`), such as a `RESTResponse`.
            response_type: Its type: a name, or a class.

        Raises:
            ApiException: The body isn't JSON, or not of the shape that is due.
        """
        returns = _type_name(response_type)
        if returns == "file":
            name = filename_of(response.getheader("Content-Disposition"))
            return save([response.data], self.configuration.temp_folder_path, name)
        return _decode(response, returns)

    def sanitize_for_serialization(self, obj: Any) -> Any:
        """Plain data for a model or anything in it: what JSON will carry.

        Raises:
            ApiTypeError: JSON has no form for it.
            ApiValueError: A model holds what its schema rules out.
        """
        try:
            return plain(obj)
        except Invalid as error:
            raise ApiValueError(f"Invalid value for `{error.place()}`, {error.problem}") from None
        except TypeError as error:
            raise ApiTypeError(str(error)) from None
        except RecursionError:
            raise ApiTypeError("JSON has no form for a value that holds itself or is nested too deeply") from None

    def parameters_to_tuples(self, params: Any, collection_formats: Mapping[str, str] | None) -> list[tuple[str, Any]]:
        """Pairs of name and value; a list of values becomes one text, or with ``multi`` one pair each."""
        pairs: Iterable[tuple[str, Any]] = params.items() if isinstance(params, Mapping) else params
        formats = collection_formats or {}
        result: list[tuple[str, Any]] = []
        for name, value in pairs:
            if name not in formats:
                result.append((name, value))
            elif formats[name] == "multi":
                result.extend((name, item) for item in value)
            else:
                delimiter = {"ssv": " ", "tsv": "\t", "pipes": "|"}.get(formats[name], ",")
                result.append((name, delimiter.join(write_text(item) for item in value)))
        return result

    def files_parameters(self, files: Mapping[str, Any] | None = None) -> list[tuple[str, Upload]]:
        """Form fields for files: a path, a file object, or a list of them by field name.

        Raises:
            ApiFileError: A file is missing, unreadable, or none.
        """
        uploads: list[tuple[str, Upload]] = []
        for name, given in (files or {}).items():
            for file in given if isinstance(given, (list, tuple)) else [given]:
                try:
                    uploads += [] if file is None else [(name, Upload(file))]
                except ApiFileError as error:
                    raise ApiFileError.of(f"Invalid value for `files[{name!r}]`, {error}", error) from error
        return uploads


def _encode_query(pairs: Iterable[tuple[str, Any]]) -> list[str]:
    try:
        return [f"{quote_plus(name)}={quote_plus(write_text(value))}" for name, value in pairs if value is not None]
    except UnicodeEncodeError as error:
        raise ApiValueError(f"Invalid value for `query_params`, has no form in UTF-8: {error.reason}") from None


def _base(host: str) -> str:
    host = host.strip() if isinstance(host, str) else host
    if not isinstance(host, str) or not host[:8].lower().startswith(("https://", "http://")):
        raise ApiValueError(
            f"configuration.host must be a URL with its scheme, such as 'https://api.ubiops.com/v2.1', not {host!r}"
        )
    return host.rstrip("/")


def _naming_call(error: ApiValueError, request: Request) -> ApiValueError:
    text = f"{error} (calling `{request.operation or request.path}`)"
    return ApiFileError.of(text, error) if isinstance(error, ApiFileError) else type(error)(text)


def _is_foreign(url: str, host: str) -> bool:
    try:
        return not same_origin(url, host)
    except ValueError:
        # No URL: it is refused when it is sent to.
        return True


def _type_name(response_type: Any) -> str | None:
    if response_type is None:
        return None
    name = response_type if isinstance(response_type, str) else getattr(response_type, "__name__", repr(response_type))
    try:
        reader(name)
    except AttributeError:
        raise ApiTypeError(f"Unknown `response_type` {name!r}: there is no such model or type") from None
    return name


def _decode(response: Any, returns: str | None) -> Any:
    if returns is None:
        return None
    data = response.data
    try:
        return read_body(data, returns)
    except ValueError as error:
        if returns == "str" and not isinstance(error, UnicodeDecodeError):
            return ensure_str(data)
        reason = f"{getattr(response, 'reason', None)}: the answer can't be read as {returns}: {error}"
        raise ApiException(
            status=getattr(response, "status", None),
            reason=reason,
            body=data,
            headers=response.getheaders() if hasattr(response, "getheaders") else None,
        ) from error
