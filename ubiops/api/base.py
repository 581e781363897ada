"""Shared by the classes of the API's methods: the client, and how each method takes its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import ubiops
from ubiops.exceptions import ApiTypeError, MissingArgumentError
from ubiops.frames import keeps_frames, without_frames
from ubiops.operation import DATA_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from ubiops.operation import Operation

__all__ = ["Api", "GroupOf", "method_of", "twin_of"]

F = TypeVar("F", bound="Callable[..., Any]")
G = TypeVar("G", bound="Api")


class Api:
    """The base of `CoreApi` and of the groups of its methods: it has the client that they use.

    Args:
        api_client: The client; by default a new one with the default configuration.

    Raises:
        ApiTypeError: It isn't a client.
    """

    # Whether ``*_with_http_info`` returns only the data by default, as on the groups of client 4.x.
    _twins_return_data_only = True
    # A value on the class, so that doubles made from it have this too.
    api_client: ubiops.ApiClient = None  # type: ignore[assignment]

    def __init__(self, api_client: ubiops.ApiClient | None = None) -> None:
        if api_client is None:
            from ubiops.api_client import ApiClient

            api_client = ApiClient()
        # No isinstance: tests of programs pass a double.
        if not hasattr(api_client, "configuration"):
            raise ApiTypeError(
                f"Invalid value for `api_client` of {type(self).__name__}, must be ApiClient, not {api_client!r}"
            )
        self.api_client = api_client


class GroupOf(Generic[G]):
    """A group of the methods of `CoreApi`: on an instance a group with its client, on the class the group's class.

    Args:
        cls: The class of the group.
    """

    def __init__(self, cls: type[G]) -> None:
        self.cls = cls

    def __set_name__(self, owner: type[Api], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type[Api]) -> type[G]: ...
    @overload
    def __get__(self, instance: Api, owner: type[Api]) -> G: ...

    def __get__(self, instance: Api | None, owner: type[Api]) -> type[G] | G:
        if instance is None:
            return self.cls
        group: G = instance.__dict__.setdefault(self.name, self.cls(instance.api_client))
        return group


def method_of(operation: Operation) -> Callable[[F], F]:
    """Turn a function into a method that calls an operation.

    The method has the operation as its attribute ``operation``, and raises Python's errors about missing and surplus
    arguments as the client's own errors. Errors leave it without the frames below it, see `ubiops.frames`.
    """

    def decorate(function: F) -> F:
        return _method(function, operation)  # type: ignore[return-value]

    return decorate


def twin_of(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method's twin ``*_with_http_info``: it returns status and headers too, unless its class says otherwise."""
    function: Callable[..., Any] = method.__wrapped__  # type: ignore[attr-defined]
    return _method(function, method.operation, twin=True)  # type: ignore[attr-defined]


def _method(function: Callable[..., Any], operation: Operation, twin: bool = False) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        try:
            if twin and args:
                data_only = kwargs.get("_return_http_data_only")
                kwargs[DATA_ONLY] = args[0]._twins_return_data_only if data_only is None else bool(data_only)
            return function(*args, **kwargs)
        except Exception as error:
            if isinstance(error, TypeError) and error.__traceback__ and error.__traceback__.tb_next is None:
                problem = _binding_error(function, method.__name__, args, kwargs, error)
            elif keeps_frames(args):
                raise
            else:
                del args, kwargs
                raise without_frames(error)  # noqa: B904 - it is the same error
        del args, kwargs
        try:
            raise problem
        finally:
            # Its traceback refers to this frame.
            del problem

    # Like functools.wraps, which takes four times as long: `import ubiops` and the first call pay for each method.
    method.__module__ = function.__module__
    method.__name__ = function.__name__
    method.__qualname__ = function.__qualname__
    method.__doc__ = function.__doc__
    method.__annotations__ = function.__annotations__
    method.__dict__.update(__wrapped__=function, operation=operation)
    if twin:
        method.__name__ += "_with_http_info"
        method.__qualname__ += "_with_http_info"
        method.__doc__ = f"Like `{function.__name__}`; on `CoreApi` it returns status and headers too."
        # The type depends on the class.
        method.__annotations__ = {**function.__annotations__, "return": "Any"}
    return method


def _binding_error(
    function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any], problem: TypeError
) -> TypeError:
    import inspect

    signature = inspect.signature(function)
    try:
        given = signature.bind_partial(*args, **kwargs).arguments
    except TypeError:
        return ApiTypeError(str(problem).replace(f"{function.__name__}()", f"{name}()"))
    missing = [
        argument
        for argument, parameter in signature.parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind is not parameter.VAR_KEYWORD
        and argument not in given
    ]
    return MissingArgumentError(f"Missing the required parameter `{missing[0]}` when calling `{name}`")
