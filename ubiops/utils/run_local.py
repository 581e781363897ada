"""Run a deployment package in this process, as the server would run it.

The module can be called as its function `run_local`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import sysconfig
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from ubiops.deployment_package import (
    DataError,
    PackageError,
    RequestError,
    StreamingUpdate,
    absolute_paths,
    check_data,
    find_root,
    load,
    main_file_name,
    map_files,
    to_json,
)
from ubiops.package_format import SETTINGS_FILE, read_variables
from ubiops.schema import Invalid, write_json
from ubiops.utils.arguments import StrPath, check_folder, invalid, wrong_type
from ubiops.utils.callable_module import make_callable
from ubiops.utils.exceptions import InvalidPackage, MissingExtra, RequestFailed

__all__ = ["local_context", "plain_fields", "run_local"]

_running = threading.RLock()
"""One run at a time: the working directory, the import path and the modules are those of the whole process."""

_STANDARD = sysconfig.get_path("stdlib")
_INSTALLED = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def run_local(
    deployment_directory: StrPath,
    data: Any,
    init_context: Mapping[str, Any] | None = None,
    request_context: Mapping[str, Any] | None = None,
) -> Any:
    """Run a deployment package in this process: import it, instantiate its ``Deployment``, answer one request.

    It runs as on the server: in its own folder, with that folder and its ``libraries`` first on the import path, with
    the variables of its ``ubiops.yaml`` and of ``init_context["environment_variables"]``, and with data as parsed from
    JSON. Its ``requirements.txt`` is not installed. Afterwards the working directory, the import path, the environment
    variables and the modules are as they were, so packages with modules of the same name can be run one after another,
    and an edited package runs in its new form. Runs in several threads take turns.

    Args:
        deployment_directory: The folder that contains ``deployment.py``, or contains a folder that does, like an
            unpacked zip.
        data: The input: a dictionary, a string, or a list of them.
        init_context: What ``__init__`` gets as ``context``. Missing keys get placeholders, such as ``local`` for the
            names. With ``input_fields`` or ``output_fields`` (lists of name and data type), input or output is checked,
            and paths of files are made absolute; with an ``input_type`` or ``output_type`` of ``plain``, it must be a
            string.
        request_context: What ``request`` and ``requests`` get as ``context``; missing keys get placeholders.
            ``streaming_update`` prints its texts.

    Returns:
        What the package returned.

    Raises:
        ApiValueError: The folder doesn't exist, or the input doesn't fit `init_context`.
        InvalidPackage: The package can't be imported or initialized. The exception in its code is the ``__cause__``.
        RequestFailed: Its code raised an exception, which is the ``__cause__``, or the output doesn't fit.
        MissingExtra: The package has a ``ubiops.yaml``, and pyyaml isn't installed.
    """
    directory = Path(check_folder("deployment_directory", "run_local", deployment_directory))
    given = _checked_context(init_context, "init_context")
    context = local_context(given)
    request = {**_request_context(), **_checked_context(request_context, "request_context")}
    data = _prepared(data, given)
    with _running, _restored_environment():
        os.environ.update(context["environment_variables"])
        try:
            root = find_root(directory, main_file_name(os.environ))
            os.environ.update({**_variables_of(root), **context["environment_variables"]})
            with _restored_imports(root):
                return _checked_output(load(root, context).run(data, request), given)
        except PackageError as error:
            raise InvalidPackage([str(error)]) from (error.__cause__ or error)
        except RequestError as error:
            raised = error.__cause__
            raise RequestFailed(
                f"{type(raised).__name__}: {raised}; of a request to the server, the message would be: {error}"
            ) from raised
        except DataError as error:
            raise RequestFailed(str(error)) from error
        except SystemExit as error:
            raise RequestFailed(f"The package would end its process: it exits with {error.code}") from error


# Input and output


def local_context(given: Mapping[str, Any]) -> dict[str, Any]:
    """The ``context`` of ``__init__`` without a server: the given values, and placeholders for the rest."""
    return {
        "project": "local",
        "deployment": "local",
        "version": "local",
        "input_type": "structured",
        "output_type": "structured",
        "input_fields": [],
        "output_fields": [],
        "language": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "environment_variables": {},
        **{key: value for key, value in given.items() if value is not None},
    }


def _request_context() -> dict[str, Any]:
    pipeline = ("pipeline_id", "pipeline_version_id", "pipeline_object_id", "pipeline_request_id")
    return {
        "id": str(uuid.uuid4()),
        "request_mode": "express",
        "user_id": None,
        "process_id": 0,
        "streaming_update": StreamingUpdate(print),
        **dict.fromkeys(pipeline),
    }


def _checked_context(given: Any, argument: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise wrong_type(argument, "run_local", "dict", given)
    context = dict(given)
    for key in ("input_fields", "output_fields"):
        if context.get(key) is not None:
            context[key] = plain_fields(f"{argument}[{key!r}]", "run_local", context[key])
    variables = context.get("environment_variables", {})
    place = f"{argument}['environment_variables']"
    if not isinstance(variables, Mapping):
        raise wrong_type(place, "run_local", "dict", variables)
    for text in [*variables, *variables.values()]:
        if not isinstance(text, str):
            raise wrong_type(place, "run_local", "a dict of str", text)
    return context


def plain_fields(argument: str, function: str, fields: Any) -> list[dict[str, Any]]:
    """Name and data type of each field, given as dictionaries or as models.

    Raises:
        ApiTypeError: They aren't a list of those.
    """
    try:
        dicts = [field if isinstance(field, Mapping) else field.to_dict() for field in fields]
        return [{"name": field["name"], "data_type": field["data_type"]} for field in dicts]
    except (TypeError, AttributeError, KeyError):
        raise wrong_type(argument, function, "a list of dicts with name and data_type", fields) from None


def _prepared(data: Any, given: Mapping[str, Any]) -> Any:
    """The input as passed by the server: as parsed from JSON, with the paths of existing files."""
    try:
        data = json.loads(write_json(data))
        _check(data, given, "input")
        data = absolute_paths(data, given.get("input_fields") or [])
        map_files(data, given.get("input_fields") or [], partial(_check_file, "input"))
    except (Invalid, DataError) as error:
        place = error.under("data").place() if isinstance(error, Invalid) else "data"
        raise invalid(place, "run_local", str(error)) from error
    return data


def _checked_output(result: Any, given: Mapping[str, Any]) -> Any:
    fields = given.get("output_fields") or []
    # As a dictionary, a file also names its target on the server.
    result = map_files(result, fields, lambda _, value: value.get("file") if isinstance(value, dict) else value)
    result = absolute_paths(result, fields)
    result = json.loads(to_json(result))
    _check(result, given, "output")
    map_files(result, fields, partial(_check_file, "output"))
    return result


def _check(data: Any, given: Mapping[str, Any], what: str) -> None:
    kind, fields = given.get(f"{what}_type"), given.get(f"{what}_fields")
    if kind == "plain" or fields is not None:
        check_data(data, kind or "structured", fields or [], what)


def _check_file(what: str, place: str, path: str) -> None:
    if not os.path.isfile(path):
        raise DataError(f"The {what} field '{place}' must be the path of a file; the file {path!r} doesn't exist")


def _variables_of(root: Path) -> dict[str, str]:
    try:
        return read_variables(root)
    except ImportError:
        raise MissingExtra("pyyaml", f"Reading {root / SETTINGS_FILE}") from None


# The process


@contextmanager
def _restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _restored_imports(root: Path) -> Iterator[None]:
    """Work in a package's folder, with its own modules in place of others with the same names."""
    directory, path, write_no_bytecode = os.getcwd(), list(sys.path), sys.dont_write_bytecode
    importlib.invalidate_caches()
    before = dict(sys.modules)
    hidden = _names_hidden_by([str(root), str(root / "libraries")])
    try:
        os.chdir(root)
        # Bytecode of a file that is edited within the same second would be used again; nor may any stay in the package.
        sys.dont_write_bytecode = True
        for name in hidden:
            del sys.modules[name]
        yield
    finally:
        os.chdir(directory)
        sys.dont_write_bytecode = write_no_bytecode
        sys.path[:] = path
        imported = [name for name, module in list(sys.modules.items()) if before.get(name) is not module]
        for name in [name for name in imported if _is_in(sys.modules[name], root)]:
            del sys.modules[name]
        sys.modules.update((name, before[name]) for name in hidden)


def _names_hidden_by(search: Sequence[str]) -> list[str]:
    """The modules of this process that a package that is searched first would replace by its own."""
    hidden = set()
    for name, module in list(sys.modules.items()):
        if "." in name or name == "__main__" or _is_standard(name, module):
            continue
        spec = PathFinder.find_spec(name, search)
        # A module or package that is found later takes precedence over a folder without __init__.py.
        if spec is not None and (spec.origin is not None or _file_of(module) is None):
            hidden.add(name)
    return [name for name in sys.modules if name.partition(".")[0] in hidden]


def _is_standard(name: str, module: ModuleType) -> bool:
    """Whether a module comes from the standard library, which is loaded before a package."""
    files = _files_of(module)
    return name in sys.stdlib_module_names and all(_is_below(file, _STANDARD) for file in files)


def _is_in(module: ModuleType, root: Path) -> bool:
    """Whether a module is the package's own, not one installed in a virtual environment in its folder."""
    files = [file for file in _files_of(module) if _is_below(file, str(root))]
    return any(not any(_is_below(file, folder) for folder in _INSTALLED) for file in files)


def _files_of(module: ModuleType) -> list[str]:
    """The file of a module, or the folders of a package without ``__init__.py``; empty for a built-in module."""
    file = _file_of(module)
    return [str(folder) for folder in _known(module).get("__path__", ())] if file is None else [file]


def _file_of(module: ModuleType) -> str | None:
    file = _known(module).get("__file__")
    return file if isinstance(file, str) else None


def _known(module: ModuleType) -> dict[str, Any]:
    # Without attribute access, on which some modules load more; None stands for a module that can't be imported.
    return getattr(module, "__dict__", {})


def _is_below(file: str, folder: str) -> bool:
    return file.startswith(os.path.join(folder, ""))


make_callable(__name__)
