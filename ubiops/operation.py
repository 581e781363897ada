"""Operations: what an endpoint takes and returns. Builds requests and reads answers; touches no socket.

A generated method declares an `Operation` and calls it; what all methods share is here.
"""

from __future__ import annotations

import codecs
import json
import re
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypedDict
from urllib.parse import quote, quote_plus

from ubiops.exceptions import ApiFileError, ApiTypeError, ApiValueError, MissingArgumentError
from ubiops.files import Multipart, Stream, Upload
from ubiops.once import once
from ubiops.schema import (
    Invalid,
    Spec,
    alternatives,
    is_free,
    item_type,
    model_class,
    nearest_hint,
    reader,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ubiops.configuration import Configuration

__all__ = [
    "Body",
    "CallOptions",
    "Client",
    "File",
    "Form",
    "Header",
    "Operation",
    "Path",
    "Query",
    "Request",
    "is_newest",
    "sent_request",
]

_decoder = json.JSONDecoder()
_SIMPLE = frozenset({"bool", "date", "datetime", "float", "int", "object", "str"})
# Segments of a path that lead to another endpoint.
_LEADING_ELSEWHERE = ("", ".", "..")
# Characters that need no encoding anywhere in a URL.
_UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
# Python's text codecs that aren't charsets: they take quadratic time, or emit warnings.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
_CHARSET = r';\s*charset\s*=\s*"?([\w.:+-]+)'

# Seconds beyond the server's own time limit after which a call gives up.
_GRACE = 30
# No request runs longer, in seconds.
_LONGEST_TIMEOUT = 172_800
DATA_ONLY = "data only"
"""The option with which a twin states what it returns; programs can't pass it, since it isn't an identifier."""

_NEWEST_HOST = "https://api.ubiops.com/v2"


class CallOptions(TypedDict, total=False):
    """Keywords that every method of `CoreApi` takes.

    Attributes:
        async_req: Return a `multiprocessing.pool.AsyncResult` at once; the call runs in the client's thread pool.
        _preload_content: False returns the unread urllib3 response, which the caller reads and closes. It is the
            default for downloads of files; there, True writes the file into `Configuration.temp_folder_path` under the
            name that the server sends, and returns its path (str).
        _request_timeout: Seconds in all (int or float), or a pair of seconds (to connect, to wait for data).
            Default: 10 s to connect, 300 s to wait for data; a direct request waits for its server-side time
            limit plus 30 s.
        _return_http_data_only: For the ``*_with_http_info`` methods: whether to return only the data.
        _headers: Headers of this call only; they take precedence over the client's default headers and credentials.
        _request_stream: Accepted for programs of the newer client; files are always streamed.
        _progress_bar: Accepted likewise; a call shows no progress.
    """

    async_req: bool
    _preload_content: bool
    _request_timeout: float | tuple[float, float] | None
    _return_http_data_only: bool
    _headers: Mapping[str, str]
    _request_stream: bool
    _progress_bar: bool


class Request:
    """A request, ready to be sent below a host.

    Attributes:
        operation: Name of the operation, for errors; None for a low-level call.
        method: HTTP method.
        path: Encoded path, below the host.
        path_params: Encoded parts of the path.
        query: Encoded pairs of the query string.
        form: Fields of the form.
        headers: Headers that the operation sets.
        own_headers: Headers that the caller sets for this call.
        dropped: Hint for a service that has no such path: newer ones dropped the operation.
        newest: Whether it goes to ``/v2``, where the body leaves out the defaults that only 3.12 has.
        body: The body.
        read_timeout: Seconds to wait for data unless the caller says otherwise; None for the default.
    """

    __slots__ = (
        "body",
        "dropped",
        "form",
        "headers",
        "method",
        "newest",
        "operation",
        "own_headers",
        "path",
        "path_params",
        "query",
        "read_timeout",
    )

    def __init__(self, operation: str | None, method: str) -> None:
        self.operation = operation
        self.method = method
        self.path = ""
        self.path_params: dict[str, str] = {}
        self.query: list[str] = []
        self.form: list[tuple[str, bytes | Upload]] = []
        self.headers: dict[str, str] = {}
        self.own_headers: Mapping[str, str] = {}
        self.dropped: str | None = None
        self.newest = False
        self.body: bytes | Stream | None = None
        self.read_timeout: float | None = None

    @property
    def target(self) -> str:
        """Encoded path and query, below the host."""
        return f"{self.path}?{'&'.join(self.query)}" if self.query else self.path

    def hint_at(self, status: int | None) -> str | None:
        """A possible reason why the service answered with this status."""
        return self.dropped if status in (404, 405) else None


sent_request: ContextVar[Request | None] = ContextVar("sent_request", default=None)
"""The request of a method that is called through `call_api`, with more than the older client passed on."""


class Client(Protocol):
    """What an operation needs from a client: `ubiops.api_client.ApiClient`, or a double of it."""

    configuration: Configuration
    client_side_validation: bool

    def execute(
        self,
        request: Request,
        returns: str | None,
        *,
        async_req: bool,
        preload: bool,
        timeout: Any,
        data_only: bool,
        host: str | None,
    ) -> Any:
        """Send a request and read its answer: see `ApiClient.execute`."""

    def goes_straight(self) -> bool:
        """Whether no door of the older client has been replaced: see `ApiClient.goes_straight`."""

    def call_api(self, resource_path: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call any path of the API: see `ApiClient.call_api`."""


def quote_path(value: Any, safe: str) -> str:
    """A path parameter, percent-encoded whole.

    Raises:
        Invalid: It is empty, ``.`` or ``..`` and would lead to another endpoint; or it can't be encoded as UTF-8.
    """
    text = value if type(value) is str else write_text(value)
    if text not in _LEADING_ELSEWHERE and not text.strip(_UNRESERVED):
        return text
    for segment in text.split("/") if "/" in safe else (text,):
        if segment in _LEADING_ELSEWHERE:
            raise Invalid(f"must not be {'empty' if not segment else repr(segment)}: the path would lead elsewhere")
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError as error:
        raise Invalid(f"can't be encoded as UTF-8: {error.reason}") from None


class Parameter:
    """An argument of an operation, and where it goes in the request.

    Args:
        name: Name of the Python argument.
        type: Its type, as `ubiops.schema` names it.
        required: Whether it may not be None.
        wire_name: Name in the request, if it differs.
        alias: Another name by which it may be passed.
        **bounds: ``enum``, ``min_length``, ``max_length``, ``minimum``, ``maximum``.

    Attributes:
        goes_to: The argument of `ApiClient.call_api` that it belongs to.
    """

    goes_to: ClassVar[str]

    def __init__(
        self,
        name: str,
        type: str = "str",
        *,
        required: bool = False,
        wire_name: str | None = None,
        alias: str | None = None,
        **bounds: Any,
    ) -> None:
        self.name = name
        self.alias = alias
        self.wire_name = wire_name or name
        self.required = required
        self._type = type
        self._bounds = bounds
        self._takes_any_text = type == "str" and not bounds

    @once
    def spec(self) -> Spec:
        """The values that it takes; created at its first use, since a program uses few of the API's operations."""
        return Spec(self._type, required=self.required, **self._bounds)

    def check(self, value: Any) -> None:
        """Raise `Invalid` for a value that the API doesn't take."""
        self.spec.accept(value)

    def place(self, request: Request, value: Any, *, validate: bool, safe: str) -> None:
        """Put the value into the request."""
        raise NotImplementedError


def _numeral(spec: Spec, value: Any) -> Any:
    """An int that is passed for a string, as a string: names and ids may be numbers."""
    is_numeral = spec.type == "str" and isinstance(value, int) and not isinstance(value, bool)
    return write_text(value) if is_numeral else value


class Path(Parameter):
    """A part of the path; always required."""

    goes_to = "path_params"

    def __init__(self, name: str, type: str = "str", **bounds: Any) -> None:
        super().__init__(name, type, required=True, **bounds)

    def check(self, value: Any) -> None:
        if not (self._takes_any_text and type(value) is str):
            super().check(_numeral(self.spec, value))

    def place(self, request: Request, value: Any, *, validate: bool, safe: str) -> None:
        request.path_params[self.wire_name] = quote_path(value, safe)


class Query(Parameter):
    """A part of the query string."""

    goes_to = "query_params"

    def check(self, value: Any) -> None:
        if not (self._takes_any_text and type(value) is str):
            super().check(_numeral(self.spec, value))

    def place(self, request: Request, value: Any, *, validate: bool, safe: str) -> None:
        request.query.append(f"{self.wire_name}={quote_plus(write_text(value))}")


class Header(Parameter):
    """A header."""

    goes_to = "header_params"

    def place(self, request: Request, value: Any, *, validate: bool, safe: str) -> None:
        request.headers[self.wire_name] = write_text(value)


class Form(Parameter):
    """A field of a multipart form."""

    goes_to = "post_params"

    def place(self, request: Request, value: Any, *, validate: bool, safe: str) -> None:
        request.form.append((self.wire_name, write_text(value).encode()))


class File(Parameter):
    """A file of a multipart form, streamed."""

    goes_to = "files"

    def __init__(self, name: str, type: str = "file", **bounds: Any) -> None:
        super().__init__(name, type, **bounds)

    def place(self, request: Request, value: Any, *, validate: bool, safe: str) -> None:
        files = value if type(value) is list else [value]
        request.form.extend((self.wire_name, Upload(file)) for file in files)


class Body(Parameter):
    """The request body, as JSON.

    Args:
        name: Name of the Python argument.
        type: Its type; a dict, or a model of another class, is converted to the model.
        text: Whether a `str` goes as text/plain.
        **options: As for `Parameter`.
    """

    goes_to = "body"

    def __init__(self, name: str, type: str, *, text: bool = False, **options: Any) -> None:
        super().__init__(name, type, **options)
        self.text = text
        self._takes_one_item = text and item_type(type) is not None
        self._is_model = not is_free(type)

    def check(self, value: Any) -> None:
        # A model is checked where it is made from the value.
        if not self._is_model and not (self._takes_one_item and isinstance(value, (str, dict))):
            super().check(value)

    def place(self, request: Request, value: Any, *, validate: bool, safe: str) -> None:
        if self.text and isinstance(value, str):
            request.headers["Content-Type"] = "text/plain"
            request.body = value.encode()
            return
        if validate and self._is_model:
            value = model_class(self.spec.type).from_input(value).to_wire(withhold=request.newest)
        request.body = write_json(value)

    def for_call_api(self, value: Any, *, validate: bool, newest: bool) -> Any:
        """The same for `ApiClient.call_api`: a model as it was given, unless a default is left out; a dict as sent."""
        if not validate or not self._is_model or isinstance(value, str):
            return value
        due = model_class(self.spec.type)
        if isinstance(value, due) and not newest:
            return value
        return due.from_input(value).to_wire(withhold=newest)


class Operation:
    """One endpoint.

    Args:
        name: Name of the operation, that of its method.
        method: HTTP method.
        path: Path below the host, with the names of its parameters in braces.
        *parameters: The parameters, in the order of the arguments.
        returns: Type of the answer; None if it has no body, ``file`` if it is the open response.
        content_type: Content type of the request body.
        server_timeout: The parameter that bounds how long the server works on a request, and its default in seconds.
        together: Parameters that are required as soon as one of them, or of some others, is given; and those others.
        since: The first client that had it, such as ``4.6``; None for 3.12 or older.
        until: The last client that had it; None if the newest has it.
        successor: The operation that replaces this one in newer generations.
    """

    def __init__(
        self,
        name: str,
        method: str,
        path: str,
        *parameters: Parameter,
        returns: str | None = None,
        content_type: str = "application/json",
        server_timeout: tuple[str, int] | None = None,
        together: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
        since: str | None = None,
        until: str | None = None,
        successor: str | None = None,
    ) -> None:
        self.name = name
        self.method = method
        self.path = path
        self.parameters = parameters
        self.returns = returns
        self.content_type = content_type
        self.server_timeout = server_timeout
        self.together = together
        self.since = since
        self.until = until
        self.successor = successor

    @once
    def takes_body(self) -> bool:
        """Whether there is a request body of JSON or text."""
        return any(isinstance(parameter, Body) for parameter in self.parameters)

    @once
    def _aliases(self) -> dict[str, int]:
        return {parameter.alias: index for index, parameter in enumerate(self.parameters) if parameter.alias}

    def call(self, client: Client, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        """Call the endpoint and return the data; for a twin data, status and headers, unless the data is asked for.

        Raises:
            ApiValueError: An argument that the API doesn't accept; nothing was sent.
            ApiTypeError: An unknown keyword; nothing was sent.
            ApiException: The API refused or failed the call, or couldn't be reached.
        """
        return self._call(client, arguments, options, data_only=options.pop(DATA_ONLY, True))

    def _call(self, client: Client, arguments: Sequence[Any], options: Mapping[str, Any], *, data_only: bool) -> Any:
        if self._aliases:
            arguments, options = self._by_name(arguments, options)
        for option in options:
            if option not in CallOptions.__annotations__:
                raise self._unknown(option)
        self._refuse_where_lacking(client.configuration)
        # By its class: an instance of a double has this method too, but a double works only through `call_api`.
        goes_straight = getattr(type(client), "goes_straight", None)
        if goes_straight is None or not goes_straight(client):
            return self._call_by_doors(client, arguments, options, data_only=data_only)
        configuration = client.configuration
        host = self._host(configuration)
        request = self.request(
            arguments,
            validate=client.client_side_validation,
            safe=configuration.safe_chars_for_path_param,
            newest=is_newest(host or configuration.host),
        )
        request.own_headers = options.get("_headers") or {}
        return client.execute(
            request,
            self.returns,
            async_req=bool(options.get("async_req")),
            preload=options.get("_preload_content", self.returns != "file"),
            timeout=options.get("_request_timeout"),
            data_only=data_only,
            host=host,
        )

    def _by_name(self, arguments: Sequence[Any], options: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments and the options, with arguments that were passed by their other name in place."""
        arguments, options = list(arguments), dict(options)
        for alias, index in self._aliases.items():
            value = options.pop(alias, None)
            if value is not None and arguments[index] is not None:
                name = self.parameters[index].name
                raise ApiTypeError(f"Got both `{name}` and its other name `{alias}` in a call of {self.name}")
            arguments[index] = value if arguments[index] is None else arguments[index]
        return arguments, options

    def _refuse_where_lacking(self, configuration: Configuration) -> None:
        """Refuse a call of an operation that the generation set by the program doesn't have."""
        generation = getattr(configuration, "generation", None)
        # A double's isn't a string.
        if not isinstance(generation, str) or self._is_in(generation):
            return
        clients = f"since client {self.since}" if self.since else f"until client {self.until}"
        instead = f"; there, `{self.successor}` follows it" if self.successor and self.until else ""
        raise ApiValueError(f"generation {generation} has no operation `{self.name}`: it exists {clients}{instead}")

    def _is_in(self, generation: str) -> bool:
        there = _version(generation)
        return (self.since is None or _version(self.since) <= there) and (
            self.until is None or there <= _version(self.until)
        )

    def _host(self, configuration: Configuration) -> str | None:
        """The host to send to instead of the configured one: operations new in 4.15 exist only at ``/v2``."""
        if self.since is None or self._is_in("4.14") or self.until is not None:
            return None
        return _NEWEST_HOST if configuration.address() == configuration.get_host_settings()[0]["url"] else None

    @once
    def _dropped(self) -> str | None:
        if self.until is None:
            return None
        instead = f": `{self.successor}` follows it" if self.successor else ""
        return f"Installations newer than client {self.until} have no `{self.name}`{instead}"

    def _call_by_doors(
        self, client: Client, arguments: Sequence[Any], options: Mapping[str, Any], *, data_only: bool
    ) -> Any:
        """Call the endpoint through `ApiClient.call_api`, with the arguments that the older client's methods passed."""
        validate, safe = bool(client.client_side_validation), client.configuration.safe_chars_for_path_param
        host = self._host(client.configuration)
        newest = is_newest(host or client.configuration.host)
        request = self.request(arguments, validate=validate, safe=safe if isinstance(safe, str) else "", newest=newest)
        request.own_headers = options.get("_headers") or {}
        headers: dict[str, Any] = {name: request.headers[name] for name in ("Accept",) if name in request.headers}
        if self.content_type == "multipart/form-data":
            headers["Content-Type"] = self.content_type
        elif self.takes_body:
            headers["Content-Type"] = request.headers["Content-Type"]
        given: dict[str, Any] = {"path_params": {}, "query_params": [], "post_params": [], "files": {}, "body": None}
        for parameter, value in zip(self.parameters, arguments, strict=True):
            if value is None:
                continue
            if isinstance(parameter, Body):
                given["body"] = parameter.for_call_api(value, validate=validate, newest=newest)
            elif isinstance(parameter, Header):
                headers[parameter.wire_name] = value
            elif isinstance(given[parameter.goes_to], list):
                given[parameter.goes_to].append((parameter.wire_name, value))
            else:
                given[parameter.goes_to][parameter.wire_name] = value
        token = sent_request.set(request)
        try:
            return client.call_api(
                self.path,
                self.method,
                given["path_params"],
                given["query_params"],
                headers,
                body=given["body"],
                post_params=given["post_params"],
                files=given["files"],
                response_type=self.returns,
                auth_settings=["api_key"],
                async_req=options.get("async_req"),
                _return_http_data_only=data_only,
                _preload_content=options.get("_preload_content", self.returns != "file"),
                _request_timeout=options.get("_request_timeout"),
                collection_formats={},
                **({} if host is None else {"_host": host}),
            )
        finally:
            sent_request.reset(token)

    def request(
        self, arguments: Sequence[Any], *, validate: bool = True, safe: str = "", newest: bool = False
    ) -> Request:
        """Build the request for arguments in the order of the parameters; None means "not given".

        Raises:
            ApiValueError: An argument that the API doesn't accept.
        """
        request = Request(self.name, self.method)
        request.dropped = self._dropped
        request.newest = newest
        self._check_together(arguments)
        for parameter, value in zip(self.parameters, arguments, strict=True):
            if value is None:
                if parameter.required:
                    raise MissingArgumentError(
                        f"Missing the required parameter `{parameter.name}` when calling `{self.name}`"
                    )
                continue
            try:
                if validate:
                    parameter.check(value)
                parameter.place(request, value, validate=validate, safe=safe)
            except Invalid as error:
                place = f"`{error.under(parameter.name).place()}` when calling `{self.name}`"
                raise ApiValueError(f"Invalid value for {place}, {error.problem}") from None
            except UnicodeEncodeError as error:
                place = f"`{parameter.name}` when calling `{self.name}`"
                raise ApiValueError(f"Invalid value for {place}, can't be encoded as UTF-8: {error.reason}") from None
            except ApiFileError as error:
                place = f"`{parameter.name}` when calling `{self.name}`"
                raise ApiFileError.of(f"Invalid value for {place}, {error}", error) from error
        request.path = self.path.format_map(request.path_params)
        if self.returns is not None:
            request.headers["Accept"] = "application/json"
        if self.content_type == "multipart/form-data":
            request.body = Multipart(request.form)
            request.headers["Content-Type"] = request.body.content_type
        elif self.takes_body:
            request.headers.setdefault("Content-Type", self.content_type)
        if self.server_timeout is not None:
            name, default = self.server_timeout
            names = [parameter.name for parameter in self.parameters]
            given = arguments[names.index(name)]
            # Other values, or values out of bounds, are left to the server to refuse.
            usable = isinstance(given, int) and 0 < given <= _LONGEST_TIMEOUT
            request.read_timeout = (given if usable else default) + _GRACE
        return request

    def _check_together(self, arguments: Sequence[Any]) -> None:
        if self.together is None:
            return
        required, others = self.together
        given = {one.name for one, value in zip(self.parameters, arguments, strict=True) if value is not None}
        missing = [name for name in required if name not in given]
        if missing and given & {*required, *others}:
            cause = next(one.name for one in self.parameters if one.name in given & {*required, *others})
            raise MissingArgumentError(
                f"Missing the required parameter `{missing[0]}` when calling `{self.name}` with `{cause}`"
            )

    def _unknown(self, option: str) -> ApiTypeError:
        known = [*(parameter.name for parameter in self.parameters), *CallOptions.__annotations__]
        hint = nearest_hint(option, known)
        return ApiTypeError(f"Got an unexpected keyword argument '{option}' to method {self.name}{hint}")


def is_newest(host: Any) -> bool:
    """Whether a host is that of the newest generation, ``/v2``; false for a double's host, which isn't a string."""
    return isinstance(host, str) and host.rstrip("/").endswith("/v2")


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def decode_body(data: bytes, content_type: str | None = None) -> str:
    """The text of an answer's body, in the charset that its content type declares, else in UTF-8.

    A byte order mark is left out.

    Raises:
        ValueError: It isn't in that charset, or there is no such charset.
    """
    declared = re.search(_CHARSET, content_type, re.IGNORECASE) if content_type and ";" in content_type else None
    try:
        charset = codecs.lookup(declared[1]).name if declared else "utf-8"
        if charset in _NO_CHARSETS:
            raise ValueError(f"{charset} is not a charset")
        text = data.decode(charset)
    except LookupError as error:
        raise ValueError(str(error)) from None
    return text.removeprefix("\ufeff")


def read_body(data: bytes | str, type_name: str, content_type: str | None = None) -> Any:
    """The value of an answer's body; if it is empty, an empty list for a list operation, else None.

    Args:
        data: The body.
        type_name: The type to read it as.
        content_type: The answer's header, which may declare a charset.

    Raises:
        ValueError: It isn't JSON in its charset, or not of that type.
    """
    text = decode_body(data, content_type) if isinstance(data, bytes) else data.removeprefix("\ufeff")
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except ValueError:
        if not text.strip():
            return None if item_type(alternatives(type_name)[0]) is None else []
        raise
    read = reader(type_name)
    if read is None or value is None:
        return value
    due = _shapes(type_name)
    if due and type(value) not in due:
        raise ValueError(f"expected {type_name}, got {type(value).__name__}")
    items = item_type(due.get(list, ""))
    if type(value) is list and items and dict in _shapes(items) and any(type(item) is not dict for item in value):
        raise ValueError(f"expected {type_name}, but an item isn't an object")
    return read(value)


@cache
def _shapes(type_name: str) -> dict[type, str]:
    """The kinds of JSON that an answer of the type may be, each with its type; empty if it may be any."""
    names = [name for name in alternatives(type_name) if name not in _SIMPLE]
    return {dict if item_type(name) is None else list: name for name in names}
