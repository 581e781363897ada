"""Lists of any length, page by page."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, datetime, timedelta, timezone
from functools import partial
from itertools import islice
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import parse_qs

from ubiops.api.base import Api
from ubiops.api.core_api import CoreApi
from ubiops.exceptions import ApiException, ApiTypeError
from ubiops.frames import one_frame
from ubiops.operation import Body, CallOptions, Operation
from ubiops.schema import Invalid, nearest_hint, read_datetime
from ubiops.utils.answers import check_answer, check_list
from ubiops.utils.arguments import check_count, invalid, utc, wrong_type
from ubiops.utils.exceptions import unexpected_answer
from ubiops.utils.log_lines import LINES_PER_PAGE, date_of, latest_moment, present, read_lines

if TYPE_CHECKING:
    pass

__all__ = ["paginate"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Ask = Callable[..., Any]
"""Calls the method with the caller's arguments, replaced by those that it is given."""

_PER_PAGE, _FILES_PER_PAGE = 50, 100
"""How many items the API returns by default; it returns no fewer if more are requested."""

_MOST_ALIKE = 10
"""How many pages by offset may be the same in a row: a list that grows at its front may repeat a page."""

_LOG_RANGE = -21600


class _Files(Protocol[T_co]):
    @property
    def files(self) -> Sequence[T_co]: ...


class _Page(Protocol[T_co]):
    @property
    def results(self) -> Sequence[T_co]: ...


# The methods are overloaded, so type checkers can infer their items here, but not check their arguments.
@one_frame
def paginate(
    method: Callable[..., list[T] | _Files[T] | _Page[T]],
    /,
    *args: Any,
    page_size: int | None = None,
    **kwargs: Any,
) -> Iterator[T]:
    """Iterate over all items of a list method of `CoreApi`, requesting each page when it is needed.

        for request in paginate(api.deployment_requests_list, "lab", "model", status="failed"):

    No item is skipped or repeated, even if the list changes during the iteration: items added at its front after the
    start are left out, items added at its end come last. Items may also be deleted, for instance by the loop itself.

    Args:
        method: A list method of a client: ``api.deployment_requests_list``, ``api.files_list`` and so on. Those without
            pages work too; they are called once.
        *args: The arguments of the method.
        page_size: How many items to request at a time; None for 500 log lines, 100 files, or 50 of anything else. The
            server may return fewer.
        **kwargs: The arguments of the method by name. ``limit`` (for log lines in ``data``, for blobs ``range``) is how
            many items to return in total; without it, there is no limit. ``offset``, ``continuation_token``,
            ``creation_date``, and ``date`` or ``id`` of log lines say where to begin. The ``date_range`` of log lines
            may be of any length. ``_request_timeout`` applies to each call.

    Returns:
        An iterator over the items of the list; for `files_list` over the files, without the folders that a
        ``delimiter`` produces.

    Raises:
        ApiTypeError: It isn't a list method of a client, or doesn't take an argument; nothing was sent.
        ApiValueError: An argument is wrong; nothing was sent.
        ApiException: While iterating: the API refused a call, couldn't be reached, or didn't return a list; ``body`` is
            the answer.
    """
    given: Any = method
    while isinstance(given, partial):
        given, args, kwargs = given.func, (*given.args, *args), {**given.keywords, **kwargs}
    method = given
    client = _client_of(method)
    operation = _operation_of(method, client)
    arguments = _bind(method, client, operation, args, kwargs)
    if page_size is not None:
        check_count("page_size", "paginate", page_size, 1)
    names = {parameter.name for parameter in operation.parameters}

    def ask(**changes: Any) -> Any:
        answer = method(**{**arguments, **changes})
        if operation.returns == "FileDetail" or "cursor" in names:
            return answer
        return check_list(operation.name, answer, *read)

    read: tuple[str, ...] = ()
    if "continuation_token" in names:
        limit = _total(arguments.get("limit"))
        pages = _by_token(ask, arguments, _size(page_size, _FILES_PER_PAGE, limit))
    elif "cursor" in names:
        limit = _total(arguments.get("limit"))
        pages = _by_cursor(ask, operation.name, arguments, _size(page_size, _PER_PAGE, limit))
    elif "offset" in names:
        read = ("id",)
        limit = _total(arguments.get("limit"))
        pages = _by_offset(ask, arguments, _size(page_size, _PER_PAGE, limit), names)
    elif names >= {"range", "creation_date"}:
        read = ("id", "creation_date")
        number = arguments.get("range")
        limit = None if number is None else abs(number)
        pages = _by_date(ask, arguments, _size(page_size, _PER_PAGE, limit), number is not None and number > 0)
    elif _takes_log_query(operation):
        read = ("id", "date")
        query = _log_query(arguments.get("data"))
        limit = _total(query.get("limit"))
        pages = _by_line(ask, query, _size(page_size, LINES_PER_PAGE, limit))
    else:
        limit, pages = None, _whole(ask)
    return islice(pages, limit)


def _operation_of(method: Any, client: Any) -> Operation:
    """The operation that a method of a client (or a double or decorator of it) declares."""
    name = getattr(method, "__name__", None)
    if not isinstance(name, str):
        # The name of a mock.
        name = getattr(method, "_mock_name", None)
    operation = getattr(method, "operation", None)
    if not isinstance(operation, Operation):
        operation = getattr(_declared(str(name)), "operation", None)
    # By its type: a mock passes as an instance.
    unbound = client is None and type(method) is FunctionType
    if not isinstance(operation, Operation) or name != operation.name or unbound:
        raise wrong_type("method", "paginate", "a list method of a client, such as api.deployments_list", method)
    returns = operation.returns or ""
    lists = returns.startswith("list[") or returns.endswith("Paginated") or returns == "FileDetail"
    if not lists or (operation.method != "GET" and not _takes_log_query(operation)):
        raise wrong_type("method", "paginate", f"a method that lists something, not {operation.name}", method)
    return operation


def _declared(name: str) -> Any:
    """The client's own method, even if a test has replaced it; None for an unknown name."""
    found = (vars(base).get(name) for base in CoreApi.__mro__)
    return next((method for method in found if isinstance(getattr(method, "operation", None), Operation)), None)


def _client_of(method: Any) -> Any:
    """The client that a method belongs to, found through decorators; None for a double."""
    while type(method) is FunctionType and hasattr(method, "__wrapped__"):
        method = method.__wrapped__
    receiver = getattr(method, "__self__", None)
    return receiver.api_client if isinstance(receiver, Api) else None


def _takes_log_query(operation: Operation) -> bool:
    return any(
        isinstance(parameter, Body) and parameter.spec.type == "LogsCreate" for parameter in operation.parameters
    )


def _bind(
    method: Any, client: Any, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments by name, checked as by the method itself."""
    # The signature of CoreApi, even if a program's own class overrides it.
    signature = inspect.signature(_declared(operation.name))
    try:
        arguments = signature.bind(None, *args, **kwargs).arguments
    except TypeError:
        # The method itself raises the best error for what is missing, and then sends nothing.
        method(*args, **kwargs)
        raise
    del arguments["self"]
    options = arguments.pop("options", {})
    for option in options:
        if option not in CallOptions.__annotations__:
            known = [parameter.name for parameter in operation.parameters]
            raise ApiTypeError(
                f"Got an unexpected keyword argument '{option}' to method {operation.name}{nearest_hint(option, known)}"
            )
        if option != "_request_timeout":
            raise ApiTypeError(f"`paginate` reads the pages itself and doesn't take `{option}`")
    operation.request(
        [arguments.get(parameter.name) for parameter in operation.parameters],
        validate=client is None or bool(client.client_side_validation),
    )
    return {**arguments, **options}


def _total(limit: Any) -> int | None:
    if limit is not None:
        check_count("limit", "paginate", limit, 0)
    total: int | None = limit
    return total


def _size(page_size: int | None, default: int, limit: int | None) -> int:
    """How many items to request at a time: no more than are needed."""
    size = page_size or default
    return size if limit is None else min(size, limit)


@one_frame
def _whole(ask: Ask) -> Iterator[Any]:
    yield from ask()


@one_frame
def _by_token(ask: Ask, arguments: Mapping[str, Any], size: int) -> Iterator[Any]:
    token = arguments.get("continuation_token")
    while True:
        page = check_answer("files_list", ask(limit=size, continuation_token=token), "files", "continuation_token")
        yield from _items("files_list", page.files)
        if not page.continuation_token:
            return
        if page.continuation_token == token:
            raise ApiException(reason=f"The page after the continuation token {token!r} leads to itself")
        token = page.continuation_token


@one_frame
def _by_cursor(ask: Ask, operation: str, arguments: Mapping[str, Any], size: int) -> Iterator[Any]:
    cursor = arguments.get("cursor")
    while True:
        page = ask(limit=size, cursor=cursor)
        if isinstance(page, list):
            # An older service, which returns everything at once.
            yield from page
            return
        check_answer(operation, page, "results", "next")
        yield from _items(operation, page.results)
        if not isinstance(page.next, str | None):
            raise unexpected_answer(operation, "text as `next`", page)
        following = _cursor(page.next)
        if following is None:
            return
        if following == cursor:
            raise ApiException(reason=f"The page after the cursor {cursor!r} leads to itself")
        cursor = following


def _cursor(following: str | None) -> str | None:
    """The cursor of the next page; the API returns it alone, or in the URL of the page."""
    if not following:
        return None
    given = parse_qs(following.partition("?")[2].partition("#")[0]).get("cursor")
    return given[0] if given else following


def _items(operation: str, found: Any) -> Iterable[Any]:
    """The items of a page; a double's may not be a list."""
    if found is not None and (isinstance(found, str | Mapping) or not isinstance(found, Iterable)):
        raise unexpected_answer(operation, "a page with a list", found)
    return found or ()


@one_frame
def _by_offset(ask: Ask, arguments: Mapping[str, Any], size: int, names: Collection[str]) -> Iterator[Any]:
    # Every page but the first begins with the last item of the page before. If a page begins with an item that is
    # neither known nor newer than the list, items before it were deleted.
    size = max(size, 2)
    start = offset = arguments.get("offset") or 0
    seen: set[str] = set()
    newest: datetime | None = None
    fixed: dict[str, str] = {}
    went_back = stuck = False
    ids: list[str] = []
    same = 0
    while True:
        page = ask(limit=size, offset=offset, **fixed)
        before, ids = ids, [str(item.id) for item in page]
        same = same + 1 if ids == before else 0
        if same == _MOST_ALIKE:
            raise ApiException(reason="The same page is returned whatever the offset")
        if offset > start and not stuck and not (page and (str(page[0].id) in seen or _is_newer(page[0], newest))):
            offset = max(start, offset - (size - 1))
            went_back = True
            continue
        if page and not seen:
            newest = _newest(page, arguments, names)
            if newest is not None and not start and "end_date" in names and arguments.get("end_date") is None:
                # Pages needn't follow a list that grows at its front. The dates in answers are truncated, to
                # milliseconds at best, so items created together with the first one may seem a little later.
                fixed = {"end_date": (newest + timedelta(seconds=1)).isoformat()}
        new = [item for item in page if str(item.id) not in seen and not _is_newer(item, newest)]
        seen.update(str(item.id) for item in new)
        # Items whose order changes between pages would otherwise lead back and forth forever.
        stuck, went_back = went_back and not new, False
        yield from new
        if len(page) < min(size, _PER_PAGE):
            return
        offset += len(page) - 1


def _newest(page: Sequence[Any], arguments: Mapping[str, Any], names: Collection[str]) -> datetime | None:
    """The moment of the first item of a list that begins with the newest; None for any other list."""
    first, last = _moment(page[0]), _moment(page[-1])
    if first is None or last is None:
        return None
    newest_first = arguments.get("sort") != "asc" if "sort" in names else first > last
    return first if newest_first else None


def _is_newer(item: Any, newest: datetime | None) -> bool:
    moment = _moment(item)
    return newest is not None and moment is not None and moment > newest


def _moment(item: Any) -> datetime | None:
    return _utc(getattr(item, "time_created", None) or getattr(item, "date", None))


def _utc(date: Any) -> datetime | None:
    """A moment in UTC for comparisons; None for a value that isn't a date, or out of range."""
    moment = read_datetime(date)
    if not isinstance(moment, datetime) or moment.year in (MINYEAR, MAXYEAR):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


@one_frame
def _by_date(ask: Ask, arguments: Mapping[str, Any], size: int, forward: bool) -> Iterator[Any]:
    sign = 1 if forward else -1
    date = arguments.get("creation_date")
    last: datetime | None = None
    seen: dict[str, datetime | None] = {}
    # How many known items the next page repeats.
    overlap = 0
    while True:
        number = size + overlap
        page = ask(range=sign * number, creation_date=date)
        new = [item for item in page if str(item.id) not in seen and not _before(_created(item), last, sign)]
        seen.update((str(item.id), _created(item)) for item in new)
        yield from new
        if len(page) < number and (not new or len(page) < _PER_PAGE):
            return
        if not new:
            overlap += size
            continue
        last = _created(new[-1])
        if last is None:
            return
        # The API accepts whole seconds only: the next page begins with the whole second of the last item.
        turn = last.replace(microsecond=0)
        if not forward and turn < last:
            turn += timedelta(seconds=1)
        date = f"{turn.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"
        seen = {id: created for id, created in seen.items() if not _before(created, turn, sign)}
        overlap = len(seen)


def _created(blob: Any) -> datetime | None:
    return _utc(blob.creation_date)


def _before(moment: datetime | None, other: datetime | None, sign: int) -> bool:
    """Whether a moment comes before another in the order of a list."""
    return moment is not None and other is not None and sign * (moment - other) < timedelta(0)


def _log_query(data: Any) -> dict[str, Any]:
    """The query of the log, with the ``date`` as a moment."""
    from ubiops.models import LogsCreate

    try:
        query = LogsCreate.from_input(data or {}, warn=False).to_wire()
    except Invalid as error:
        raise invalid(error.under("data").place(), "paginate", error.problem) from None
    if "date" in query:
        date = read_datetime(query["date"])
        if not isinstance(date, datetime):
            raise invalid("data.date", "paginate", f"must be a date in ISO 8601, not {date!r}")
        query["date"] = utc("data.date", "paginate", date)
    return query


@one_frame
def _by_line(ask: Ask, query: dict[str, Any], size: int) -> Iterator[Any]:
    seconds = query.get("date_range", _LOG_RANGE)
    forward = seconds > 0
    origin = moment = query.get("date") or present()
    start = {"date": moment.isoformat()}
    if "id" in query:
        start = {"id": query["id"]}
        for line in ask(data={**start, "date_range": 1, "limit": 1}):
            origin = moment = date_of(line, moment)
    elif "date" not in query and not forward:
        moment = latest_moment()
        start = {"date": moment.isoformat()}
    yield from read_lines(
        lambda window: ask(data={"filters": query.get("filters", {}), **window}),
        start,
        moment,
        origin + timedelta(seconds=seconds),
        forward=forward,
        page_size=min(max(size, 2), LINES_PER_PAGE),
    )
