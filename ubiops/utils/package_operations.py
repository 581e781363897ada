"""The zip of a deployment package: streamed, and the same bytes for the same files."""

from __future__ import annotations

import hashlib
import logging
import os
import posixpath
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from typing import Any

from ubiops.exceptions import ApiFileError
from ubiops.files import save, write_file
from ubiops.utils.arguments import StrPath, check_folder, check_text, invalid, read_path, wrong_type
from ubiops.utils.exceptions import InvalidPackage
from ubiops.utils.packages.folder import IGNORE_FILENAME, PackageFolder
from ubiops.utils.packages.zips import PACKAGE_DIRECTORY, name_of, zipped

__all__ = [
    "PackageZip",
    "abs_path",
    "default_zip_name",
    "files_present_in_dir",
    "list_files",
    "write_zip",
    "zip_dir",
    "zip_package",
]

_logger = logging.getLogger("ubiops.utils")


class PackageZip(str):
    """The path of a zip that was written.

    Attributes:
        sha256 (str): Digest of its bytes, in hexadecimal; it is the same for the same files.
        size (int): Its size in bytes.
        skipped (list[str]): What was left out although no rule ignores it, each with the reason.
    """

    sha256: str
    size: int
    skipped: list[str]

    def __new__(cls, path: str, sha256: str, size: int, skipped: list[str]) -> PackageZip:
        self = super().__new__(cls, path)
        self.sha256, self.size, self.skipped = sha256, size, skipped
        return self

    def __reduce__(self) -> tuple[type[PackageZip], tuple[str, str, int, list[str]]]:
        return PackageZip, (str(self), self.sha256, self.size, self.skipped)


def zip_package(
    directory: StrPath,
    output_path: StrPath | None = None,
    *,
    ignore_filename: str = IGNORE_FILENAME,
    quiet: bool = False,
) -> PackageZip:
    """Zip a deployment package, as ``revisions_file_upload`` takes it.

    The same files result in the same bytes, wherever and whenever they are zipped (with the same zlib): names are
    sorted, times and permissions are fixed. Files are streamed, so memory doesn't grow with their size. Everything goes
    into one folder ``deployment_package``; empty folders are left out.

    Files that match the rules of a ``.ubiops-ignore`` are left out; it has the syntax of a ``.gitignore``, each folder
    of the package may have one, and it needs pathspec. ``.git``, ``__pycache__``, ``*.pyc``, virtual environments, the
    ignore files and the zip itself are never zipped. A link is followed if it leads to a file or folder of the package
    that isn't ignored. A link that leads out of the package, nowhere, or to a folder that it is in is skipped, as are
    sockets, pipes and devices: ``skipped`` and the log name them.

    Args:
        directory: The folder that contains ``deployment.py``.
        output_path: File to write, which may be an older zip, or folder to write to under the name of `directory`; by
            default a new private file in the system's folder for temporary files, for you to delete.
        ignore_filename: Name of the ignore files; an empty string for none.
        quiet: Whether to show no progress.

    Returns:
        The path of the zip, a `str` that also has ``sha256``, ``size`` (bytes) and ``skipped``. The zip appears once it
        is complete; after a failure or Ctrl-C no partial zip is left.

    Raises:
        ApiValueError: The folder doesn't exist or contains no file; or `output_path` is an existing file that isn't a
            zip.
        InvalidPackage: A file or folder can't be read or has a name that a zip can't represent, an ignore file can't be
            parsed, or the zip would exceed the limit of 2 GB for a package.
        ApiFileError: A file can't be read to its end, or the zip can't be written, such as to a full disk.
        MissingExtra: The folder has an ignore file, and pathspec isn't installed.
    """
    function = "zip_package"
    root = check_folder("directory", function, directory)
    target = None if output_path is None else _target(output_path, f"{name_of(root)}.zip", function)
    if target is not None and os.path.lexists(target) and not zipfile.is_zipfile(target):
        problem = f"{target!r} exists and isn't a zip: delete it or choose another path"
        raise invalid("output_path", function, problem)
    return write_zip(_folder(root, ignore_filename, function, target), target, function=function, quiet=quiet)


def zip_dir(
    directory: StrPath,
    output_path: StrPath,
    ignore_filename: str = IGNORE_FILENAME,
    prefix: str | None = None,
    force: bool = False,
    package_directory: str | None = PACKAGE_DIRECTORY,
    *,
    quiet: bool = False,
) -> PackageZip:
    """Zip a folder as `zip_package` does, to a path that doesn't exist yet.

    Args:
        directory: The folder to zip.
        output_path: File to write, or folder to write to under a `default_zip_name`.
        ignore_filename: Name of the ignore files; an empty string for none.
        prefix: What that default name begins with; by default the name of `directory`.
        force: Whether to replace an existing file.
        package_directory: Name of the top-level folder in the zip; None or an empty string for none.
        quiet: Whether to show no progress.

    Returns:
        The path of the zip, a `str` that also has ``sha256``, ``size`` (bytes) and ``skipped``.

    Raises:
        ApiValueError: The folder doesn't exist or contains no file; `output_path` exists; or `package_directory` isn't
            the name of a folder.
        InvalidPackage, ApiFileError, MissingExtra: As for `zip_package`.
    """
    function = "zip_dir"
    root = check_folder("directory", function, directory)
    check_text("package_directory", function, package_directory)
    check_text("prefix", function, prefix)
    inner = package_directory or ""
    if inner in (".", "..") or "/" in inner or "\\" in inner:
        raise invalid("package_directory", function, f"must be the name of a folder, not {package_directory!r}")
    target = _target(output_path, default_zip_name(prefix or name_of(root)), function)
    if os.path.lexists(target) and not force:
        raise invalid("output_path", function, f"{target!r} exists: force=True replaces it")
    return write_zip(_folder(root, ignore_filename, function, target), target, inner, function=function, quiet=quiet)


def list_files(directory: StrPath, ignore_filename: str = IGNORE_FILENAME) -> list[str]:
    """The files of a folder that `zip_package` and `zip_dir` zip.

    Args:
        directory: The folder.
        ignore_filename: Name of the ignore files; an empty string for none.

    Returns:
        Their paths below the folder, sorted, with ``/`` between the parts on every system.

    Raises:
        ApiValueError: The folder doesn't exist.
        InvalidPackage: A file or folder can't be read or has a name that a zip can't represent, or an ignore file can't
            be parsed.
        MissingExtra: The folder has an ignore file, and pathspec isn't installed.
    """
    return _listed(directory, ignore_filename, "list_files")


def files_present_in_dir(
    files: Iterable[StrPath], directory: StrPath, ignore_filename: str = IGNORE_FILENAME
) -> list[str]:
    """Return those of `files` that are in a folder and would be zipped.

    Args:
        files: Paths below the folder.
        directory: The folder.
        ignore_filename: Name of the ignore files; an empty string for none.

    Returns:
        The paths that exist, as they were given and in that order; an empty list if none does.

    Raises:
        ApiTypeError: `files` is a single path.
        ApiValueError, InvalidPackage, MissingExtra: As for `list_files`.
    """
    function = "files_present_in_dir"
    if isinstance(files, (str, os.PathLike)) or not isinstance(files, Iterable):
        raise wrong_type("files", function, "a list of paths", files)
    there = set(_listed(directory, ignore_filename, function))
    names = [read_path(f"files[{index}]", function, name) for index, name in enumerate(files)]
    return [name for name in names if posixpath.normpath(name.replace(os.sep, "/")) in there]


def abs_path(path_param: StrPath) -> str:
    """Return the absolute path of a file or folder, which need not exist."""
    try:
        return os.path.abspath(path_param)
    except TypeError:
        raise wrong_type("path_param", "abs_path", "a path", path_param) from None


def default_zip_name(prefix: str | None) -> str:
    """Return a name for a new zip: a prefix and the current time (UTC), as in ``model_2022-11-30_09-30-00-123456.zip``.

    Args:
        prefix: What it begins with; ``package`` if it is None or empty.
    """
    return f"{prefix or 'package'}_{datetime.now(timezone.utc):%Y-%m-%d_%H-%M-%S-%f}.zip"


def _listed(directory: StrPath, ignore_filename: str, function: str) -> list[str]:
    folder = _folder(check_folder("directory", function, directory), ignore_filename, function)
    if folder.problems:
        raise InvalidPackage(folder.problems)
    return folder.files


# Arguments


def _folder(root: str, ignore_filename: Any, function: str, target: str | None = None) -> PackageFolder:
    if not isinstance(ignore_filename, str):
        raise wrong_type("ignore_filename", function, "str", ignore_filename)
    return PackageFolder(root, ignore_filename, target)


def _target(output_path: Any, name: str, function: str) -> str:
    path = os.path.abspath(read_path("output_path", function, output_path))
    if os.path.isdir(path):
        return os.path.join(path, name)
    if not os.path.isdir(os.path.dirname(path)):
        raise invalid("output_path", function, f"the folder {os.path.dirname(path)!r} doesn't exist: create it first")
    return path


# The zip


def write_zip(
    folder: PackageFolder, target: str | None, inner: str = PACKAGE_DIRECTORY, *, function: str, quiet: bool
) -> PackageZip:
    """Write the zip of a folder.

    Args:
        folder: What to zip.
        target: File to write; None for a new private one.
        inner: Name of the top-level folder in the zip; an empty string for none.
        function: What the user called, for errors.
        quiet: Whether to show no progress.
    """
    if folder.problems:
        raise InvalidPackage(folder.problems)
    if not folder.files:
        problem = f"no file to zip in {folder.root!r}: it is empty, or all its files are ignored"
        raise invalid("directory", function, problem)
    for reason in folder.skipped:
        _logger.warning("Not zipped: %s", reason)
    digest, size = hashlib.sha256(), 0

    def measured(blocks: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal size
        for block in blocks:
            digest.update(block)
            size += len(block)
            yield block

    # Closed here, so that no file stays open if writing fails.
    with closing(zipped(folder, inner, quiet=quiet)) as blocks:
        try:
            if target is None:
                target = str(save(measured(blocks), None, f"{name_of(folder.root)}.zip"))
            else:
                write_file(measured(blocks), target)
        except ApiFileError:
            raise
        except OSError as error:
            place = target or "in the folder for temporary files"
            raise ApiFileError(f"The zip can't be written {place}: {error.strerror}") from error
    return PackageZip(target, digest.hexdigest(), size, folder.skipped)
