"""Checks of a deployment package before it is uploaded."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ubiops.deployment_package import main_file_name
from ubiops.exceptions import ApiFileError, ApiTypeError, ApiValueError
from ubiops.models import DeploymentInputFieldCreate
from ubiops.package_format import (
    FIELD_NAME,
    MAXIMUM_UNPACKED_SIZE,
    MAXIMUM_ZIP_SIZE,
    REQUIREMENTS_FILE,
    SETTINGS_FILE,
    read_settings,
)
from ubiops.schema import nearest_hint
from ubiops.utils.arguments import (
    Client,
    StrPath,
    check_folder,
    check_seconds,
    helper,
    read_path,
    wrong_type,
)
from ubiops.utils.exceptions import InvalidPackage, MissingExtra
from ubiops.utils.packages.code import PackageCode
from ubiops.utils.packages.folder import IGNORE_FILENAME, PackageFolder
from ubiops.utils.packages.loading import load_apart
from ubiops.utils.packages.requirements import RequirementsFile
from ubiops.utils.packages.zips import zipped
from ubiops.utils.run_local import local_context, plain_fields

__all__ = ["PackageInfo", "check_package", "validate_package", "validate_requirements_file", "validate_yaml_file"]


@dataclass(frozen=True)
class PackageInfo:
    """A valid deployment package.

    Attributes:
        directory: Absolute path of the folder.
        main_file: Name of the file with the class ``Deployment``.
        has_request_method: Whether the class has ``request``, for one input; None if the code wasn't loaded.
        has_requests_method: Whether it has ``requests``, for a list of inputs; None likewise.
        files: Number of files in the zip.
        size: Their total size in bytes, unpacked.
        requirements: The requirements in its ``requirements.txt``.
        warnings: Files that are left out of the zip although no rule ignores them, and checks that couldn't be made.
    """

    directory: str
    main_file: str
    has_request_method: bool | None
    has_requests_method: bool | None
    files: int
    size: int
    requirements: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@helper
def validate_package(
    directory: StrPath,
    input_fields: Any = None,
    output_fields: Any = None,
    *,
    environment_variables: Mapping[str, str] | None = None,
    ignore_filename: str = IGNORE_FILENAME,
    load: bool = False,
    timeout: float | None = 600.0,
    quiet: bool = False,
) -> PackageInfo:
    """Check a deployment package before it is uploaded, and report everything that its build would refuse at once.

    It checks the files that `zip_package` would zip. There must be a main file with a class ``Deployment``; it and the
    modules of the package that it imports must be valid in this version of Python. Each line of ``requirements.txt``
    must be a requirement, ``ubiops.yaml`` must be well-formed, and the zip must have at most 2 GB (a package that is
    larger unpacked is zipped to find out). The package's code isn't run, except with `load`.

    Args:
        directory: The folder that contains ``deployment.py``.
        input_fields: Input fields of the deployment, dictionaries or models with name and data type; None for none.
        output_fields: Output fields likewise.
        environment_variables: Variables of the version; ``SYS_DEPLOYMENT_FILE_NAME`` names another main file.
        ignore_filename: Name of the ignore files; an empty string for none.
        load: Whether to import the package and instantiate its ``Deployment`` too, in a separate process on a copy of
            its files, as the build does, but with the packages installed here instead of its requirements.
        timeout: Seconds that `load` may take; None for no limit. The server allows some minutes.
        quiet: Whether to show no progress.

    Returns: What was found in the package.

    Raises:
        InvalidPackage: The build would refuse it; ``problems`` lists all the reasons.
        ApiTypeError: `directory` isn't a path, or `environment_variables` isn't a dictionary.
        MissingExtra: The folder has an ignore file, and pathspec isn't installed. Without pyyaml and packaging,
            ``ubiops.yaml`` and ``requirements.txt`` aren't checked: ``warnings`` say so.
    """
    function = "validate_package"
    check_seconds("timeout", function, timeout)
    variables = _checked_variables(function, environment_variables)
    return check_package(
        function,
        directory,
        input_fields,
        output_fields,
        variables,
        ignore_filename=ignore_filename,
        load=load,
        timeout=timeout,
        quiet=quiet,
    )


def check_package(
    function: str,
    directory: Any,
    input_fields: Any,
    output_fields: Any,
    variables: Mapping[str, str],
    *,
    ignore_filename: str = IGNORE_FILENAME,
    load: bool = False,
    timeout: float | None = None,
    quiet: bool = False,
) -> PackageInfo:
    """Check a package as `validate_package` does; errors name the function that the user called."""
    problems = [
        *_problems_of_fields("input_fields", function, input_fields),
        *_problems_of_fields("output_fields", function, output_fields),
    ]
    try:
        root = check_folder("directory", function, directory)
    except ApiValueError as error:
        raise InvalidPackage([*problems, str(error)]) from None
    package = _Package(PackageFolder(root, ignore_filename), variables, quiet)
    problems += package.problems
    if problems:
        raise InvalidPackage(problems)
    methods: tuple[bool | None, bool | None] = (None, None)
    if load:
        given = {"input_fields": input_fields, "output_fields": output_fields}
        fields = {name: plain_fields(name, function, value or []) for name, value in given.items()}
        context = local_context({**fields, "environment_variables": package.variables})
        methods = load_apart(package.folder, context, timeout)
    return PackageInfo(
        directory=root,
        main_file=package.main_file,
        has_request_method=methods[0],
        has_requests_method=methods[1],
        files=len(package.folder.files),
        size=package.folder.size,
        requirements=tuple(package.requirements),
        warnings=tuple(package.warnings),
    )


def validate_requirements_file(file_path: StrPath, client: Client | None = None) -> list[str]:
    """Check that pip would understand a ``requirements.txt``; nothing is installed or looked up.

    Each line must be a requirement, a URL, the path of an existing file or folder, or an option that pip accepts in
    such files. Files included with ``-r`` and ``-c`` are checked too. It needs packaging.

    Args:
        file_path: Path of the file.
        client: Accepted for programs of newer clients; it isn't used.

    Returns:
        Its requirements, URLs and paths, in their order, without options and comments; those of files included with
        ``-r`` too.

    Raises:
        ApiFileError: The file doesn't exist, or isn't a file.
        InvalidPackage: ``problems`` lists the lines that pip wouldn't understand, as ``file:line: what is wrong``.
        MissingExtra: packaging isn't installed.
    """
    path = _existing_file("validate_requirements_file", file_path)
    checked = RequirementsFile(*os.path.split(path))
    if checked.problems:
        raise InvalidPackage(checked.problems)
    return checked.requirements


@helper
def validate_yaml_file(file_path: StrPath) -> dict[str, str]:
    """Check a ``ubiops.yaml``; it needs pyyaml.

    Args:
        file_path: Path of the file.

    Returns:
        The environment variables that it sets, by name.

    Raises:
        ApiFileError: The file doesn't exist, or isn't a file.
        InvalidPackage: ``problems`` lists everything that is wrong with it.
        MissingExtra: pyyaml isn't installed.
    """
    path = _existing_file("validate_yaml_file", file_path)
    try:
        variables, problems = read_settings(Path(path))
    except ImportError:
        raise MissingExtra("pyyaml", f"Checking {path}") from None
    if problems:
        raise InvalidPackage(problems)
    return variables


# The checks


def _existing_file(function: str, given: Any) -> str:
    path = os.path.abspath(read_path("file_path", function, given))
    if not os.path.isfile(path):
        problem = f"Invalid value for `file_path` when calling `{function}`, the file {path!r} doesn't exist"
        raise ApiFileError.from_errno(problem, errno.ENOENT, path)
    return path


def _checked_variables(function: str, given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise wrong_type("environment_variables", function, "dict", given)
    for name, value in given.items():
        if not isinstance(value, str):
            raise wrong_type(f"environment_variables[{name!r}]", function, "str", value)
    return dict(given)


def _problems_of_fields(argument: str, function: str, fields: Any) -> Iterator[str]:
    try:
        plain = plain_fields(argument, function, [] if fields is None else fields)
    except ApiTypeError as error:
        yield str(error)
        return
    pattern, words = FIELD_NAME
    seen = set()
    for index, field in enumerate(plain):
        place, name = f"{argument}[{index}]", field["name"]
        try:
            DeploymentInputFieldCreate(**field)
        except (ApiTypeError, ApiValueError) as error:
            yield f"{place}: {error}"
            continue
        if not re.fullmatch(pattern, name):
            yield f"{place}: the name {name!r} may consist of {words} only"
        if name in seen:
            yield f"{place}: the name {name!r} is used more than once"
        seen.add(name)


class _Package:
    """A package, and the findings of the checks."""

    def __init__(self, folder: PackageFolder, variables: Mapping[str, str], quiet: bool) -> None:
        self.folder = folder
        self._quiet = quiet
        self.main_file = main_file_name(variables)
        self.problems = list(folder.problems)
        self.warnings = list(folder.skipped)
        self.requirements: list[str] = []
        self.variables = dict(variables)
        self._check_code()
        self._check_settings()
        self._check_requirements()
        self._check_size()

    def _check_code(self) -> None:
        if self.main_file in self.folder.files:
            self.problems += PackageCode(self.folder, self.main_file).problems
        else:
            self.problems.append(self._why_no_main_file())

    def _why_no_main_file(self) -> str:
        name, files = self.main_file, self.folder.files
        if os.path.lexists(self.folder.path(name)):
            reasons = (reason for reason in self.folder.skipped if reason.startswith(f"{name}: "))
            return next(reasons, f"{name} isn't in the zip: an ignore file leaves it out")
        holders = [folder for folder, _, file in (path.partition("/") for path in files) if file == name]
        hint = f": did you mean the folder {holders[0]!r}, which has one?" if holders else nearest_hint(name, files)
        return f"{self.folder.root} has no {name}{hint}"

    def _check_settings(self) -> None:
        if SETTINGS_FILE in self.folder.files:
            try:
                variables, problems = read_settings(Path(self.folder.path(SETTINGS_FILE)))
            except ImportError:
                self.warnings.append(str(MissingExtra("pyyaml", f"Checking {SETTINGS_FILE}")))
            else:
                self.problems += problems
                self.variables = {**variables, **self.variables}

    def _check_requirements(self) -> None:
        if REQUIREMENTS_FILE in self.folder.files:
            try:
                file = RequirementsFile(self.folder.root, REQUIREMENTS_FILE, self._has)
            except MissingExtra as error:
                self.warnings.append(str(error))
            else:
                self.problems += file.problems
                self.requirements = file.requirements

    def _has(self, path: str) -> bool:
        return path == "." or any(name == path or name.startswith(f"{path}/") for name in self.folder.files)

    def _check_size(self) -> None:
        if self.folder.size > MAXIMUM_UNPACKED_SIZE:
            self.problems.append(f"the package has more than {MAXIMUM_UNPACKED_SIZE // 2**30} GiB of files")
        elif self.folder.size > MAXIMUM_ZIP_SIZE and not self.folder.problems:
            try:
                for _ in zipped(self.folder, quiet=self._quiet):
                    pass
            except InvalidPackage as error:
                self.problems += error.problems
