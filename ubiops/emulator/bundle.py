"""The zip of an export or import: its contents as one dictionary, and the packages.

The dictionary has ``deployments``, ``pipelines``, ``services``, ``environments`` and ``environment_variables`` by name,
in the form of a confirmation of an import. The ``zip`` of a version, or of a tag of an environment, is the path of the
file that was uploaded to it.
"""

from __future__ import annotations

import math
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ubiops.emulator.dates import now
from ubiops.emulator.execution.packages import BROKEN, find_bomb
from ubiops.package_format import MAXIMUM_ZIP_SIZE

_FORMAT = "v1.0"
_ROOT = "export"
_LARGEST_DESCRIPTIONS = 10 * 2**20
_CHUNK = 2**20
_BROKEN = (*BROKEN, yaml.YAMLError)

_PREFIXED = ("name", "description", "labels", "environment_variables")
"""Keys that files prefix with the kind: ``deployment_labels``, ``version_labels``."""

_REQUIRED = {
    "deployment": ("name", "input_type", "output_type"),
    "pipeline": ("name", "input_type", "output_type"),
    "service": ("name", "deployment"),
    "environment": ("name",),
    "tag": ("name",),
    "version": ("name",),
}

Contents = dict[str, Any]


class BundleError(Exception):
    """A file that can't be imported; the message says why."""


# Writing


def write_bundle(path: Path, contents: Contents, packages: Mapping[str, Path]) -> None:
    """Write a zip.

    Args:
        path: Path of the zip.
        contents: What to write.
        packages: The files of the packages, by the ``zip`` of their versions.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:

        def write(name: str, data: Any) -> None:
            bundle.writestr(f"{_ROOT}/{name}", yaml.safe_dump(data, sort_keys=False, allow_unicode=True))

        write("info.yaml", {"format_spec": _FORMAT, "metadata": {"export_date": now()}})
        if contents["environment_variables"]:
            write("environment_variables.yaml", _to_list(contents["environment_variables"]))
        for kind in ("deployment", "pipeline"):
            for name, item in contents[f"{kind}s"].items():
                write(f"{directory(kind, name)}/{kind}_{name}.yaml", _to_file(kind, name, item))
                for version, settings in item["versions"].items():
                    write(f"{version_path(kind, name, version)}.yaml", _to_file("version", version, settings))
        for name, item in contents["services"].items():
            write(f"{directory('service', name)}/service_{name}.yaml", _to_file("service", name, item))
        for name, item in contents["environments"].items():
            write(f"{directory('environment', name)}/environment_{name}.yaml", _to_file("environment", name, item))
            for tag, settings in item["tags"].items():
                write(f"{tag_path(name, tag)}.yaml", _to_file("tag", tag, settings))
        for name, package in packages.items():
            bundle.write(package, f"{_ROOT}/{name}", zipfile.ZIP_STORED)


def directory(kind: str, name: str) -> str:
    """The directory of a deployment, pipeline, service or environment in the zip."""
    return f"{kind}s/{kind}_{name}"


def version_path(kind: str, name: str, version: str) -> str:
    """The path of a version and of its package in the zip, without the extension."""
    return f"{directory(kind, name)}/versions/{kind}_{name}_version_{version}"


def tag_path(environment: str, tag: str) -> str:
    """The path of a tag of an environment and of its file in the zip, without the extension."""
    return f"{directory('environment', environment)}/tags/environment_{environment}_tag_{tag}"


def _to_file(kind: str, name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    file = {f"{kind}_name": name}
    for key, value in item.items():
        if key == "environment_variables":
            file[f"{kind}_{key}"] = _to_list(value)
        elif key not in ("versions", "tags", "zip"):
            file[f"{kind}_{key}" if key in _PREFIXED else key] = value
    return file


def _to_list(variables: Mapping[str, Any]) -> Any:
    return [{"name": name, **variable} for name, variable in variables.items()]


# Reading


def read_bundle(path: Path) -> Contents:
    """Read the contents of a zip.

    Raises:
        BundleError: The zip is broken, or not laid out as an export.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            if bomb := find_bomb(bundle.infolist()):
                raise BundleError(f"The file {bomb}")
            return _read(bundle)
    except _BROKEN as error:
        raise BundleError(f"The file can't be read: {error}") from error


def extract_package(path: Path, name: str, target: Path) -> None:
    """Extract a package from a zip.

    Args:
        path: The zip.
        name: The ``zip`` of the version.
        target: Path to write the package to.

    Raises:
        BundleError: It is missing, or can't be read.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            entry = bundle.getinfo(_root(bundle) + name)
            if entry.file_size > MAXIMUM_ZIP_SIZE:
                raise BundleError(f"The package {name} is larger than {MAXIMUM_ZIP_SIZE // 2**30} GB")
            with bundle.open(entry) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
    except KeyError:
        raise BundleError(f"The file has no package {name}") from None
    except _BROKEN as error:
        raise BundleError(f"The package {name} can't be read: {error}") from error


def _root(bundle: zipfile.ZipFile) -> str:
    """The directory that contains everything, with a slash; empty if everything is at the top."""
    roots = [name.removesuffix("info.yaml") for name in bundle.namelist() if re.fullmatch(r"([^/]+/)?info\.yaml", name)]
    if len(roots) != 1:
        raise BundleError("The file must have an info.yaml in the one directory at its top")
    return roots[0]


def _read(bundle: zipfile.ZipFile) -> Contents:
    root = _root(bundle)
    paths = [name.removeprefix(root) for name in bundle.namelist() if name.startswith(root)]

    descriptions = [entry for entry in bundle.infolist() if re.search(r"\.ya?ml$", entry.filename)]
    _check_size(sum(entry.file_size for entry in descriptions))
    unfolded = 0.0

    def load(path: str) -> Any:
        nonlocal unfolded
        data = yaml.safe_load(bundle.read(root + path).decode())
        unfolded += _unfolded_size(data, {})
        _check_size(unfolded)
        return data

    info = load("info.yaml")
    if not isinstance(info, dict) or info.get("format_spec") != _FORMAT:
        raise BundleError(f"info.yaml must have the format_spec {_FORMAT}")
    kinds = ("deployments", "pipelines", "services", "environments", "environment_variables")
    contents: Contents = {kind: {} for kind in kinds}
    if "environment_variables.yaml" in paths:
        file = "environment_variables.yaml"
        contents["environment_variables"] = _from_list(file, load(file))

    def read_parts(folder: str, part: str, *, have_packages: bool) -> dict[str, Any]:
        """The versions of a deployment or pipeline, or the tags of an environment."""
        parts: dict[str, Any] = {}
        for file in paths:
            if re.fullmatch(rf"{re.escape(folder)}/{part}s/[^/]+\.ya?ml", file):
                name, settings = _from_file(part, file, load(file))
                package = re.sub(r"\.ya?ml$", ".zip", file)
                if have_packages and package in paths:
                    settings["zip"] = package
                _add(parts, name, settings, file)
        return parts

    for kind, part in (("deployment", "version"), ("pipeline", "version"), ("environment", "tag")):
        for path in paths:
            if match := re.fullmatch(rf"({kind}s/[^/]+)/[^/]+\.ya?ml", path):
                name, item = _from_file(kind, path, load(path))
                item[f"{part}s"] = read_parts(match[1], part, have_packages=kind != "pipeline")
                _add(contents[f"{kind}s"], name, item, path)
    for path in paths:
        if re.fullmatch(r"services/[^/]+/[^/]+\.ya?ml", path):
            _add(contents["services"], *_from_file("service", path, load(path)), path)
    return contents


def _check_size(size: float) -> None:
    if size > _LARGEST_DESCRIPTIONS:
        limit = _LARGEST_DESCRIPTIONS // 2**20
        raise BundleError(f"The descriptions are larger than {limit} MiB, with what their aliases stand for")


def _unfolded_size(value: Any, known: dict[int, float]) -> float:
    """The characters and values of YAML, where each alias counts as what it stands for."""
    if not isinstance(value, (list, dict)):
        return len(value) if isinstance(value, str) else 1
    if id(value) not in known:
        # A value that is met again before it is counted contains itself.
        known[id(value)] = math.inf
        items = value.values() if isinstance(value, dict) else value
        known[id(value)] = len(value) + sum(_unfolded_size(item, known) for item in items)
    return known[id(value)]


def _add(items: dict[str, Any], name: str, item: Any, path: str) -> None:
    if name in items:
        raise BundleError(f"{path}: the name '{name}' occurs more than once")
    items[name] = item


def _from_file(kind: str, path: str, file: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(file, dict):
        raise BundleError(f"{path} must contain a dictionary")
    item = {}
    for key, value in file.items():
        name = str(key).removeprefix(f"{kind}_")
        item[name if name in _PREFIXED else str(key)] = value
    missing = [name for name in _REQUIRED[kind] if not isinstance(item.get(name), str)]
    if missing:
        raise BundleError(f"{path} lacks {', '.join(f'{kind}_name' if name == 'name' else name for name in missing)}")
    item["environment_variables"] = _from_list(path, item.get("environment_variables") or [])
    if kind in ("pipeline", "service", "environment", "tag") or "objects" in item:
        del item["environment_variables"]
    return str(item.pop("name")), item


def _from_list(path: str, variables: Any) -> dict[str, Any]:
    if not isinstance(variables, list) or not all(
        isinstance(variable, dict) and isinstance(variable.get("name"), str) for variable in variables
    ):
        raise BundleError(f"{path}: environment variables must be a list of dictionaries with a name")
    return {
        variable["name"]: {key: value for key, value in variable.items() if key != "name"} for variable in variables
    }
