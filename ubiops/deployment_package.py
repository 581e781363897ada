"""The contract of a deployment package: how its code is found and called, and what it may take and return.

It uses only the standard library, since it also runs inside the process of the user's code, and little of it, since an
instance takes requests only after this is imported.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from types import FunctionType, MethodType, ModuleType

# Type checkers treat it like the one of `typing`, whose import takes time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

__all__ = [
    "DataError",
    "Deployment",
    "PackageError",
    "RequestError",
    "StreamingUpdate",
    "absolute_paths",
    "check_data",
    "find_root",
    "inherited_environment",
    "is_of_files",
    "load",
    "main_file_name",
    "map_files",
    "to_json",
]

GENERAL_ERROR = "An exception occurred in the request. See the logs for details."

Fields = Sequence[Mapping[str, "Any"]]


class PackageError(Exception):
    """A package can't be used; the message says why."""


class RequestError(Exception):
    """The user's code failed a request; the message is meant for whoever made the request."""


class DataError(ValueError):
    """Input or output doesn't fit the fields of its deployment; the message names the field."""


# The process of the code

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "PYTHONHOME")


def inherited_environment() -> dict[str, str]:
    """The variables of this process that user code gets in a separate process. Not all of them: code must not come to
    depend on missing isolation.
    """
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


# Finding the code


def main_file_name(environment: Mapping[str, str]) -> str:
    """The name of the file with the class ``Deployment``, as chosen by the version's variables."""
    name = environment.get("SYS_DEPLOYMENT_FILE_NAME") or environment.get("ML_MODEL_FILE_NAME") or "deployment"
    return name if name.endswith(".py") else f"{name}.py"


def find_root(directory: Path, file_name: str) -> Path:
    """The directory of an unpacked zip that contains the main file.

    That is the directory itself, or else the one directory in it, or else ``deployment_package`` among several.

    Raises:
        PackageError: The main file doesn't exist.
    """
    if (directory / file_name).is_file():
        return directory
    folders = sorted(path for path in directory.iterdir() if path.is_dir() and path.name != "__MACOSX")
    if len(folders) > 1:
        folders = [path for path in folders if path.name == "deployment_package"]
    if not folders:
        raise PackageError(f"The package has no {file_name} at its top level, and no single folder that could have it")
    if not (folders[0] / file_name).is_file():
        raise PackageError(f"The package has no {file_name} in its folder {folders[0].name}")
    return folders[0]


def load(
    root: str | os.PathLike[str], context: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> Deployment:
    """Import the package and make an instance of its class ``Deployment``.

    Args:
        root: Directory of the package, as `find_root` returns it; it and its ``libraries`` go onto the import path.
        context: The ``context`` for ``__init__``, if it takes one.
        environment: Variables of the version.

    Raises:
        PackageError: The code can't be imported, lacks the class or its methods, or fails to initialize. If the user's
            code raised an exception, that is the cause.
    """
    folder = os.fspath(root)
    sys.path[:0] = [folder, os.path.join(folder, "libraries")]
    user_class = _load_class(os.path.join(folder, main_file_name(environment)))
    arguments = {"base_directory": folder, "context": dict(context)}
    try:
        return Deployment(user_class(**_declared(user_class, arguments)))
    except PackageError:
        raise
    except Exception as error:
        raise PackageError(f"Failed to initialize deployment: {_public_message(error) or _one_line(error)}") from error


def _load_class(file: str) -> type:
    name = os.path.basename(file)
    user_class = getattr(_import(file, name), "Deployment", None)
    if not isinstance(user_class, type):
        raise PackageError(f"{name} has no class Deployment")
    return user_class


def _import(file: str, name: str) -> ModuleType:
    if not os.path.isfile(file):
        raise PackageError(f"The package has no {name}")
    stem = name.removesuffix(".py")
    spec = importlib.util.spec_from_file_location(stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs, as by an import: dataclasses and pickle look up their module.
    sys.modules[stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PackageError(f"Failed to load deployment package: {_one_line(error)}") from error
    return module


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _public_message(error: Exception) -> str | None:
    message = getattr(error, "public_error_message", None)
    return None if message is None else str(message)


# Calling the code


class Deployment:
    """An instance of the user's class ``Deployment``.

    Attributes:
        has_request_method (bool): Whether it has ``request``, for one input.
        has_requests_method (bool): Whether it has ``requests``, for a list of inputs.
    """

    def __init__(self, instance: object) -> None:
        self._request = _method(instance, "request")
        self._requests = _method(instance, "requests")
        self.has_request_method = self._request is not None
        self.has_requests_method = self._requests is not None
        if self._request is None and self._requests is None:
            raise PackageError("The class Deployment has neither a method request nor a method requests")

    def run(self, data: Any, context: Mapping[str, Any]) -> Any:
        """Answer a request.

        A list goes to ``requests`` in one call, or else item by item to ``request``; a single input goes to
        ``request``, or else to ``requests`` as a list of one.

        Raises:
            RequestError: The user's code raised an exception, which is the cause of this one.
        """
        try:
            return self._dispatch(data, context)
        except Exception as error:
            raise RequestError(_public_message(error) or GENERAL_ERROR) from error

    def _dispatch(self, data: Any, context: Mapping[str, Any]) -> Any:
        if isinstance(data, list):
            if self._requests is not None:
                return _call(self._requests, data, context)
            assert self._request is not None
            return [_call(self._request, item, context) for item in data]
        if self._request is not None:
            return _call(self._request, data, context)
        assert self._requests is not None
        result = _call(self._requests, [data], context)
        return result[0] if isinstance(result, list) and len(result) == 1 else result


class StreamingUpdate(str):
    """``context["streaming_update"]``: sends texts, from any thread, until their request is answered.

    Args:
        send: Takes each text.

    It is a `str` itself, so that older code can still write its context as JSON or pickle it.
    """

    _send: Callable[[str], None]
    _lock: threading.Lock
    _open: bool

    def __new__(cls, send: Callable[[str], None]) -> StreamingUpdate:
        self = super().__new__(cls, "streaming_update")
        self._send = send
        self._lock = threading.Lock()
        self._open = True
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)

    def __deepcopy__(self, _memo: object) -> StreamingUpdate:
        return self

    def __call__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"streaming_update takes a str, not {type(text).__name__}")
        with self._lock:
            if self._open:
                self._send(text)

    def close(self) -> None:
        with self._lock:
            self._open = False


def _method(instance: object, name: str) -> Callable[..., Any] | None:
    method = getattr(instance, name, None)
    return method if callable(method) else None


def _call(method: Callable[..., Any], data: Any, context: Mapping[str, Any]) -> Any:
    return method(data, **_declared(method, {"context": dict(context)}))


def _declared(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a function declares by name, or takes as ``**keywords``."""
    names, takes_all = _parameters(function)
    return arguments if takes_all else {name: arguments[name] for name in arguments if name in names}


_VAR_KEYWORDS = 0x08
"""`inspect.CO_VARKEYWORDS`."""


def _parameters(function: Callable[..., Any]) -> tuple[Container[str], bool]:
    """The names of a function's parameters, and whether it takes further ``**keywords``.

    What most packages have, plain methods and classes with a plain ``__init__`` or none, is read off their code: the
    import of inspect takes a third of the start of an instance.
    """
    plain: Any = function
    is_bound = True
    if type(function) is type and plain.__new__ is object.__new__ and not hasattr(function, "__signature__"):
        plain = plain.__init__
        if plain is object.__init__:
            return (), False
    elif isinstance(function, MethodType):
        plain = function.__func__
    else:
        is_bound = False
    # Its dictionary is where a decorator leaves what it wrapped, or the signature to show.
    if isinstance(plain, FunctionType) and not vars(plain):
        code = plain.__code__
        end = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[is_bound : code.co_argcount] + code.co_varnames[code.co_argcount : end]
        return names, bool(code.co_flags & _VAR_KEYWORDS)
    import inspect

    parameters = inspect.signature(function).parameters
    return parameters, any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


# Files


def map_files(data: Any, fields: Fields, change: Callable[[str, Any], Any]) -> Any:
    """Replace the values of the file fields in an input or output, or in a list of them.

    Args:
        data: Structured input or output; anything else is returned unchanged.
        fields: Name and data type of each field.
        change: Returns the new value, given a path in the data such as ``0/photo`` or ``photos/2`` and the value there.
    """
    types = {field["name"]: field["data_type"] for field in fields if is_of_files(field)}
    if not types:
        return data
    if isinstance(data, list):
        return [_map_item(item, types, change, f"{index}/") for index, item in enumerate(data)]
    return _map_item(data, types, change, "")


def is_of_files(field: Mapping[str, Any]) -> bool:
    """Whether a field's value is a file, or several."""
    return field["data_type"] in ("file", "blob", "array_file")


def _map_item(item: Any, types: Mapping[str, str], change: Callable[[str, Any], Any], place: str) -> Any:
    if not isinstance(item, dict):
        return item

    def changed(name: str, value: Any) -> Any:
        if types[name] != "array_file":
            return change(place + name, value)
        if not isinstance(value, list):
            # The check reports it.
            return value
        return [change(f"{place}{name}/{index}", one) for index, one in enumerate(value)]

    return item | {name: changed(name, item[name]) for name in types if name in item}


def absolute_paths(result: Any, fields: Fields) -> Any:
    """An output with absolute paths of its files, for readers in another working directory."""
    return map_files(result, fields, lambda _, value: _absolute(value))


def _absolute(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("file"), str):
        return {**value, "file": _absolute(value["file"])}
    if isinstance(value, str) and value and not value.startswith("ubiops-file://"):
        return os.path.abspath(value)
    return value


# Checking input and output


def to_json(output: Any) -> str:
    """An output as JSON text. Arrays and scalars of numpy become lists and numbers.

    Raises:
        DataError: It can't be represented in JSON.
    """
    try:
        return json.dumps(output, allow_nan=False, default=_builtin)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"The output can't be written as JSON: {error}") from error


def _builtin(value: Any) -> Any:
    # Not by its class: numpy isn't imported here, and other array libraries have the same method.
    if callable(convert := getattr(value, "tolist", None)):
        return convert()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def check_data(data: Any, kind: str, fields: Fields, what: str) -> None:
    """Check an input or an output, or a list of them.

    Args:
        data: The input or output.
        kind: ``structured`` (a dictionary of the fields; None is allowed without fields) or ``plain`` (a string).
        fields: Name and data type of each field, if structured.
        what: ``input`` or ``output``, for the message.

    Raises:
        DataError: It doesn't fit.
    """
    types = None if kind == "plain" else {field["name"]: field["data_type"] for field in fields}
    if not isinstance(data, list):
        if problem := _problem_of(data, types):
            raise DataError(f"The {what} {problem}")
        return
    for index, item in enumerate(data):
        if problem := _problem_of(item, types):
            raise DataError(f"The {what} [{index}] {problem}")


def _problem_of(item: Any, types: Mapping[str, str] | None) -> str | None:
    """What is wrong with a structured item or, without types, with a plain one."""
    if types is None:
        return None if isinstance(item, str) else f"must be a string (it is plain), not {_shown(item)}"
    if item is None and not types:
        return None
    if not isinstance(item, dict):
        return f"must be a dictionary of its fields, not {_shown(item)}"
    if item.keys() != types.keys():
        missing = [name for name in types if name not in item]
        if missing:
            return f"lacks the field {_quoted(missing)}"
        unknown = [name for name in item if name not in types]
        known = f"its fields are {_quoted(types)}" if types else "it has no fields"
        return f"has the unknown field {_quoted(unknown)}; {known}"
    for name, data_type in types.items():
        if not _fits(item[name], data_type):
            return f"field '{name}' must be of type {data_type}, not {_shown(item[name])}"
    return None


def _fits(value: Any, data_type: str) -> bool:
    if data_type.startswith("array_"):
        return isinstance(value, list) and all(_fits(item, data_type[len("array_") :]) for item in value)
    if data_type == "bool":
        return isinstance(value, bool)
    if data_type == "dict":
        return isinstance(value, dict)
    if data_type == "int":
        return not isinstance(value, bool) and (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        )
    if data_type == "double":
        # An integer may be too large for `isfinite`.
        return (isinstance(value, float) and math.isfinite(value)) or (
            isinstance(value, int) and not isinstance(value, bool)
        )
    return isinstance(value, str)


def _quoted(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} ({text if len(text) <= 60 else text[:57] + '...'})"
