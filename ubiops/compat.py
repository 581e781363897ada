"""The low-level methods of the older client ("doors"): `call_api` and the methods that it calls. Programs call,
override and replace them.

The client's own methods don't use them, unless a program has replaced one of them: then a call goes through all of them
as in the older client, step by step and with the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from ubiops.exceptions import ApiException, ApiFileError, ApiTypeError, ApiValueError, MaskedHeaders
from ubiops.files import Upload, filename_of, save
from ubiops.frames import one_frame
from ubiops.operation import Request, quote_path, read_body, sent_request
from ubiops.rest import RESTClientObject, RESTResponse
from ubiops.schema import Invalid, plain, reader
from ubiops.verbs import encode_body, text_of

if TYPE_CHECKING:
    from multiprocessing.pool import AsyncResult

    from ubiops.configuration import Configuration

__all__ = ["Doors", "decode", "naming_call"]


class Doors:
    """The base of `ApiClient`: what programs of the older client call, override and replace."""

    # A value on the class, so that doubles made from it have these too.
    configuration: Configuration = None  # type: ignore[assignment]
    rest_client: RESTClientObject = None  # type: ignore[assignment]
    default_headers: dict[str, Any] = None  # type: ignore[assignment]
    cookie: str | None = None
    pool_threads: int = 1
    client_side_validation: bool = True
    last_response: Any = None

    # What the doors need from the client itself.

    def apply_async(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> AsyncResult[Any]:
        """Call a function in the thread pool."""
        raise NotImplementedError

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
        """Send a request and read its answer."""
        raise NotImplementedError

    def headers_of(self, request: Request, other_url: str | None, auth_settings: Sequence[str] | None) -> MaskedHeaders:
        """All headers of a request."""
        raise NotImplementedError

    def hide_credentials(self, error: ApiException, headers: Mapping[str, str]) -> None:
        """Mask the credentials of a request if the server repeats them in its answer."""
        raise NotImplementedError

    def url_of(self, request: Request, host: str | None) -> str:
        """The URL to send a request to."""
        raise NotImplementedError

    def goes_straight(self) -> bool:
        """Whether no door has been replaced: not by a subclass, nor by a patch of the class or of this object."""
        return (
            _doors_of(type(self)) == _DOORS
            and self.__dict__.keys().isdisjoint(_DOOR_NAMES)
            and type(self.rest_client) is RESTClientObject
            and _verbs_of(RESTClientObject) == _VERBS
            and self.rest_client.__dict__.keys().isdisjoint(_VERB_NAMES)
        )

    @one_frame
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
        stream: bool = False,
        chunk_size: int = 8192,
        progress_bar: bool = False,
    ) -> Any:
        """Call any path of the API, for instance one without a method in this client.

        Args:
            resource_path: Path below the host, with the names of its parameters in braces.
            method: HTTP method.
            path_params: Values of the path's parameters, percent-encoded whole.
            query_params: Pairs or dict for the query string.
            header_params: Headers; ``Content-Type`` decides how `body` is written, JSON without it. The client's
                default headers win over them.
            body: What to send: models, dicts, plain data.
            post_params: Form fields.
            files: Files of a multipart form by field name: a path, a file object, or a list of them.
            response_type: Type of the answer, as in `openapi_types` of a model; ``file`` for a download, which
                is written into `Configuration.temp_folder_path`: the data is its path.
            auth_settings: Names of the security schemes to use: ``["api_key"]``.
            async_req: Whether to run in the thread pool and return its `AsyncResult`.
            _return_http_data_only: Whether to return only the data.
            collection_formats: ``csv``, ``ssv``, ``tsv``, ``pipes`` or ``multi`` by name of a parameter with many
                values.
            _preload_content: Whether to read the answer.
            _request_timeout: Seconds in all, or a pair to connect and to wait for data.
            _host: URL to send to instead of the configuration's, without its credentials.
            stream: Accepted for programs of the newer client; files are always streamed.
            chunk_size: Accepted likewise.
            progress_bar: Accepted likewise.

        Returns:
            The data, or data, status and headers; with ``_preload_content=False`` the data is the unread urllib3
            response.

        Raises:
            ApiException: The API refused or failed the call, or couldn't be reached.
            ApiValueError: A value that can't be sent, or a body and form fields together; nothing was sent.
        """
        if not self._goes_straight_below_call_api():
            arguments = (
                resource_path,
                method,
                path_params,
                query_params,
                header_params,
                body,
                post_params,
                files,
                response_type,
                auth_settings,
                _return_http_data_only,
                collection_formats,
                _preload_content,
                _request_timeout,
                _host,
                sent_request.get(),
            )
            if async_req:
                return self.apply_async(self._call_step_by_step, arguments)
            return self._call_step_by_step(*arguments)
        returns, known = _type_name(response_type), sent_request.get()
        request = self._request(method, resource_path, path_params, header_params, collection_formats, known)
        request.query = _encode_query(self.parameters_to_tuples(query_params or {}, collection_formats))
        form = self._form(post_params, files, collection_formats)
        if body is not None and form:
            raise ApiValueError(f"Invalid value for `body` when calling `{resource_path}`, can't come with form fields")
        given = next((name for name in request.headers if name.lower() == "content-type"), None)
        content_type = request.headers.pop(given) if given else None
        if isinstance(content_type, bytes):
            content_type = content_type.decode()
        if content_type is None and form:
            content_type = "multipart/form-data" if files else "application/x-www-form-urlencoded"
        try:
            request.body, content_type = encode_body(body, form, content_type)
        except UnicodeEncodeError as error:
            raise ApiValueError(
                f"Invalid value when calling `{resource_path}`, can't be encoded as UTF-8: {error.reason}"
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

    def _goes_straight_below_call_api(self) -> bool:
        if self.goes_straight():
            return True
        # A subclass that overrides only `call_api` calls this one.
        doors = zip(_DOOR_NAMES, _doors_of(type(self)), _DOORS, strict=True)
        replaced = {name for name, door, ours in doors if door is not ours or name in self.__dict__}
        return replaced == {"call_api"} and _is_ours(self.rest_client)

    @one_frame
    def _call_step_by_step(
        self,
        resource_path: str,
        method: str,
        path_params: Any,
        query_params: Any,
        header_params: Mapping[str, Any] | None,
        body: Any,
        post_params: Any,
        files: Mapping[str, Any] | None,
        response_type: Any,
        auth_settings: Sequence[str] | None,
        data_only: bool | None,
        collection_formats: Mapping[str, str] | None,
        preload: bool,
        timeout: Any,
        host: str | None,
        known: Request | None,
    ) -> Any:
        """The same through the doors, as in the older client."""
        request = self._request(method, resource_path, path_params, header_params, collection_formats, known)
        query: list[tuple[str, Any]] = []
        if query_params:
            pairs = self.parameters_to_tuples(self.sanitize_for_serialization(query_params), collection_formats)
            query = [(name, value) for name, value in pairs if value is not None]
        if post_params:
            post_params = self.sanitize_for_serialization(post_params)
        form = self._form(post_params, files, collection_formats)
        if body is not None and form:
            raise ApiValueError(f"Invalid value for `body` when calling `{resource_path}`, can't come with form fields")
        url = self.url_of(request, host)
        # Masked, since the program's own doors may show them in their frames.
        headers = self.headers_of(request, None if host is None else url, ())
        self.update_params_for_auth(headers, query, auth_settings)
        if body is not None:
            body = self.sanitize_for_serialization(body)
        token = sent_request.set(request)
        try:
            response = self.request(
                request.method,
                url,
                query_params=query,
                headers=headers,
                post_params=form,
                body=body,
                _preload_content=preload,
                _request_timeout=timeout,
            )
            self.last_response = response
            data = response
            if preload:
                data = self.deserialize(response, response_type) if response_type else None
        except ApiException as error:
            self.hide_credentials(error, headers)
            if error.method is None:
                error.locate(request.operation, request.method, request.path, request.hint_at(error.status))
            raise
        finally:
            sent_request.reset(token)
        if data_only:
            return data
        return data, response.status, response.getheaders() if hasattr(response, "getheaders") else response.headers

    def _request(
        self,
        method: str,
        resource_path: str,
        path_params: Any,
        header_params: Mapping[str, Any] | None,
        collection_formats: Mapping[str, str] | None,
        known: Request | None,
    ) -> Request:
        """A request without its query and body, with what its method knows about it."""
        request = Request(None, method.upper())
        request.path = self._fill_in(resource_path, self.parameters_to_tuples(path_params or {}, collection_formats))
        request.headers = {name: value for name, value in (header_params or {}).items() if value is not None}
        if known is not None and (known.method, known.path) == (request.method, request.path):
            request.operation, request.read_timeout = known.operation, known.read_timeout
            request.own_headers, request.dropped = known.own_headers, known.dropped
        return request

    def _form(
        self, post_params: Any, files: Mapping[str, Any] | None, collection_formats: Mapping[str, str] | None
    ) -> list[tuple[str, Any]]:
        form = self.parameters_to_tuples(post_params or {}, collection_formats)
        return [*[(name, value) for name, value in form if value is not None], *self.files_parameters(files)]

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

    @one_frame
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
        """Send a request to any URL, with only the given headers, by the method of `rest_client` for its verb."""
        verb = method.upper()
        if verb not in _BODIES:
            raise ApiValueError(
                f"http method must be `GET`, `HEAD`, `OPTIONS`, `POST`, `PATCH`, `PUT` or `DELETE`, not {method!r}"
            )
        known = sent_request.get()
        if _request_timeout is None and known is not None and known.read_timeout is not None:
            _request_timeout = (None, known.read_timeout)
        given = {"post_params": post_params, "body": body}
        return getattr(self.rest_client, verb)(
            url,
            query_params=query_params,
            headers=headers,
            _preload_content=_preload_content,
            _request_timeout=_request_timeout,
            **{name: given[name] for name in _BODIES[verb]},
        )

    def deserialize(
        self,
        response: Any,
        response_type: Any,
        stream: bool = False,
        chunk_size: int = 8192,
        progress_bar: bool = False,
    ) -> Any:
        """The value of an answer.

        Args:
            response: An answer with ``data`` (`bytes` or `str`), such as a `RESTResponse`.
            response_type: Its type: a name, or a class.
            stream: Accepted for programs of the newer client.
            chunk_size: Accepted likewise.
            progress_bar: Accepted likewise.

        Raises:
            ApiException: The body isn't JSON, or doesn't have the expected shape.
        """
        returns = _type_name(response_type)
        if returns == "file":
            from six import ensure_binary

            name = filename_of(response.getheader("Content-Disposition"))
            content = response.content if isinstance(response, RESTResponse) else ensure_binary(response.data)
            return save([content], self.configuration.temp_folder_path, name)
        return decode(response, returns)

    def _ApiClient__deserialize(self, data: Any, klass: Any) -> Any:
        """The value of plain data from JSON, as a model or a list of models."""
        name = _type_name(klass)
        read = None if name is None else reader(name)
        return data if read is None or data is None else read(data)

    def sanitize_for_serialization(self, obj: Any) -> Any:
        """Plain data, ready for JSON, for a model or anything in it.

        Raises:
            ApiTypeError: It can't be represented in JSON.
            ApiValueError: A model contains a value that its schema rules out.
        """
        try:
            return plain(obj)
        except Invalid as error:
            raise ApiValueError(f"Invalid value for `{error.place()}`, {error.problem}") from None
        except TypeError as error:
            raise ApiTypeError(str(error)) from None
        except RecursionError:
            raise ApiTypeError("JSON can't represent a value that contains itself or is nested too deeply") from None

    def update_params_for_auth(
        self,
        headers: dict[str, Any],
        querys: list[tuple[str, Any]] | None = None,
        auth_settings: Sequence[str] | None = None,
        *,
        query_params: list[tuple[str, Any]] | None = None,
    ) -> None:
        """Add the credentials of the named security schemes to headers and query parameters.

        Args:
            headers: The headers, changed in place.
            querys: The query's pairs, changed in place.
            auth_settings: Names of the security schemes.
            query_params: The newer client's name for `querys`.
        """
        if not auth_settings:
            return
        settings = self.configuration.auth_settings()
        for name in auth_settings:
            setting = settings.get(name)
            if setting is None:
                continue
            if setting["in"] == "query":
                pairs = query_params if querys is None else querys
                if pairs is not None:
                    pairs.append((setting["key"], setting["value"]))
            else:
                headers["Cookie" if setting["in"] == "cookie" else setting["key"]] = setting["value"]

    @staticmethod
    def select_header_accept(accepts: Sequence[str]) -> str | None:
        """The ``Accept`` header for these media types: JSON if it is among them."""
        if not accepts:
            return None
        accepts = [accept.lower() for accept in accepts]
        return "application/json" if "application/json" in accepts else ", ".join(accepts)

    @staticmethod
    def select_header_content_type(content_types: Sequence[str]) -> str:
        """The ``Content-Type`` header for these media types: JSON if it is among them."""
        if not content_types:
            return "application/json"
        content_types = [content_type.lower() for content_type in content_types]
        if "application/json" in content_types or "*/*" in content_types:
            return "application/json"
        return content_types[0]

    @staticmethod
    def parameters_to_tuples(params: Any, collection_formats: Mapping[str, str] | None) -> list[tuple[str, Any]]:
        """Pairs of name and value; a list of values becomes one string, or with ``multi`` one pair each."""
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
                result.append((name, delimiter.join(text_of(name, item) for item in value)))
        return result

    @staticmethod
    def files_parameters(files: Mapping[str, Any] | None = None) -> list[tuple[str, Upload]]:
        """Form fields for files: a path, a file object, or a list of them by field name.

        Raises:
            ApiFileError: A file is missing or unreadable, or isn't a file.
        """
        uploads: list[tuple[str, Upload]] = []
        for name, given in (files or {}).items():
            for file in given if isinstance(given, (list, tuple)) else [given]:
                try:
                    uploads += [] if file is None else [(name, Upload(file))]
                except ApiFileError as error:
                    raise ApiFileError.of(f"Invalid value for `files[{name!r}]`, {error}", error) from error
        return uploads


# The body arguments that the older client passed to each verb.
_BODIES: dict[str, tuple[str, ...]] = {
    "GET": (),
    "HEAD": (),
    "OPTIONS": (),
    "DELETE": ("body",),
    "POST": ("post_params", "body"),
    "PUT": ("post_params", "body"),
    "PATCH": ("post_params", "body"),
}
_DOOR_NAMES = ("call_api", "request", "deserialize", "update_params_for_auth", "sanitize_for_serialization")
_VERB_NAMES = ("request", *_BODIES)
# Read in one step in C: these are compared at each call.
_doors_of, _verbs_of = attrgetter(*_DOOR_NAMES), attrgetter(*_VERB_NAMES)
_DOORS, _VERBS = _doors_of(Doors), _verbs_of(RESTClientObject)


def _is_ours(rest_client: Any) -> bool:
    return (
        type(rest_client) is RESTClientObject
        and _verbs_of(RESTClientObject) == _VERBS
        and rest_client.__dict__.keys().isdisjoint(_VERB_NAMES)
    )


def decode(response: Any, returns: str | None) -> Any:
    """The value of an answer's body.

    Raises:
        ApiException: It isn't JSON, or doesn't have the expected shape.
    """
    if returns is None:
        return None
    data = response.data
    try:
        return read_body(data, returns)
    except ValueError as error:
        if returns == "str" and not isinstance(error, UnicodeDecodeError):
            from six import ensure_str

            return ensure_str(data)
        reason = f"{getattr(response, 'reason', None)}: the answer can't be read as {returns}: {error}"
        raise ApiException(
            status=getattr(response, "status", None),
            reason=reason,
            body=data,
            headers=response.getheaders() if hasattr(response, "getheaders") else None,
        ) from error


def naming_call(error: ApiValueError, request: Request) -> ApiValueError:
    """The error for a request that can't be sent, naming the call."""
    text = f"{error} (calling `{request.operation or request.path}`)"
    return ApiFileError.of(text, error) if isinstance(error, ApiFileError) else type(error)(text)


def _encode_query(pairs: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{quote_plus(name)}={quote_plus(text_of(name, value))}" for name, value in pairs if value is not None]


def _type_name(response_type: Any) -> str | None:
    if response_type is None:
        return None
    name = response_type if isinstance(response_type, str) else getattr(response_type, "__name__", repr(response_type))
    try:
        reader(name)
    except AttributeError:
        raise ApiTypeError(f"Unknown `response_type` {name!r}: no model or type has this name") from None
    return name
