"""Uploads to and downloads from buckets, streamed, over signed URLs of the API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ubiops import models
from ubiops.exceptions import ApiException, ApiFileError, ApiValueError
from ubiops.files import FileLike, Upload, last_part, replacing
from ubiops.utils.answers import check_answer, check_list
from ubiops.utils.arguments import (
    Client,
    check_count,
    check_text,
    core_api,
    helper,
    invalid,
    invalid_file,
    read_path,
    wrong_type,
)
from ubiops.utils.files.names import prefixed, to_download, to_upload
from ubiops.utils.files.parallel import transfer_all
from ubiops.utils.files.transfer import Download, Timeout
from ubiops.utils.files.upload import upload
from ubiops.utils.files.uri import SCHEME, UbiOpsFile, parse
from ubiops.utils.progress_bar import Progress

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.utils.files.parallel import Transfer
    from ubiops.utils.files.transfer import Report

__all__ = ["UbiOpsFile", "download_file", "download_files", "handle_file_input", "upload_file", "upload_files"]


@helper
def upload_file(
    client: Client,
    project_name: str,
    file_path: FileLike,
    bucket_name: str = "default",
    file_name: str | None = None,
    _progress_bar: bool = True,
    *,
    quiet: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    _request_timeout: Timeout = None,
) -> str:
    """Upload a file to a bucket; it is streamed, so memory doesn't grow with its size.

    An upload that breaks off starts over, at most twice unless ``Configuration.retries`` says otherwise, each time with
    a fresh URL. A file above 1 GiB is sent in parts of 128 MiB, each of which starts over alone; the services of
    clients before 4.4 and buckets on Azure take it whole. An existing file of that name is replaced once the new one is
    complete. Calls `files_upload`, and for parts `files_start_multipart_upload` and `files_complete_multipart_upload`.

    With a `checkpoint`, an upload in parts survives its program: the same call sends only the parts that are missing.
    It first reads the parts that were sent, and starts over if they have changed or the storage has dropped the upload.

    Args:
        client: The client to use.
        project_name: Name of the project.
        file_path: Path of the file, or an object open for reading bytes.
        bucket_name: Name of the bucket.
        file_name: Name to give it in the bucket, ``/`` included; by default the last part of the path.
        _progress_bar: Accepted for programs of newer clients: False means `quiet`.
        quiet: Whether to show no progress.
        checkpoint: File that records which parts of a large file were sent; it is deleted once the upload is complete.
            By default nothing is recorded, and another call starts over.
        _request_timeout: Seconds that all of it may take, or a pair of seconds to connect and to wait for data. By
            default there is no limit, but a transfer that makes no progress for 60 s fails.

    Returns:
        The file's URI, ``ubiops-file://bucket/name``, as a request takes it.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong, or the checkpoint is in use or of another upload; nothing was
            sent.
        ApiFileError: The file is missing, unreadable or a folder; nothing was sent. Or it couldn't be read to its end.
        ApiException: The API or the storage refused the upload, or couldn't be reached.
    """
    api = core_api(client, "upload_file")
    _check_names("upload_file", bucket_name, file_name)
    if checkpoint is not None:
        checkpoint = read_path("checkpoint", "upload_file", checkpoint)
    content = _content(file_path, "file_path", "upload_file")
    return _upload(
        api,
        project_name,
        content,
        bucket_name,
        file_name or content.name,
        _progress_bar and not quiet,
        _request_timeout,
        checkpoint,
    )


@helper
def upload_files(
    client: Client,
    project_name: str,
    file_paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    bucket_name: str = "default",
    file_prefix: str | None = None,
    parallel_uploads: int = 5,
    _progress_bar: bool = True,
    *,
    quiet: bool = False,
) -> list[str]:
    """Upload files and folders to a bucket, several at a time.

    A file gets the last part of its path as its name: ``data/cars.csv`` becomes ``cars.csv``. A folder stands for the
    files in it, at any depth, hidden ones included, each named by its path below the folder: of ``data``, the file
    ``data/2022/cars.csv`` becomes ``2022/cars.csv``. The prefix goes in front: with ``file_prefix="raw"`` these are
    ``raw/cars.csv`` and ``raw/2022/cars.csv``. Links are followed; empty folders below a folder are left out.

    Each file is sent as by `upload_file`. If the API's rate limit is reached, it waits for up to two minutes. After the
    first failure no further file is started, and those under way are finished. Ctrl-C abandons those under way; an
    `IncompleteTransfer` as the cause of the `KeyboardInterrupt` says what was uploaded. Calls `files_upload` for each
    file.

    Args:
        client: The client to use.
        project_name: Name of the project.
        file_paths: Path of a file or folder, or several of them.
        bucket_name: Name of the bucket.
        file_prefix: Folder in the bucket to put them in; slashes around it don't matter.
        parallel_uploads: Number of uploads at a time, 1 or more.
        _progress_bar: Accepted for programs of newer clients: False means `quiet`.
        quiet: Whether to show no progress.

    Returns:
        The URIs, ``ubiops-file://bucket/name``, in the order of the paths; those of a folder sorted by their names.

    Raises:
        ApiFileError: A path doesn't exist, can't be read, or is an empty folder, a dead link or not a regular file, or
            two files would get the same name; nothing was sent.
        ApiValueError: Another argument can't be used; nothing was sent.
        IncompleteTransfer: Some files failed; it says which, why, and what was uploaded.
    """
    api = core_api(client, "upload_files")
    check_count("parallel_uploads", "upload_files", parallel_uploads, 1)
    check_text("file_prefix", "upload_files", file_prefix)
    _check_names("upload_files", bucket_name)
    try:
        transfers = to_upload(file_paths, file_prefix)
    except ApiFileError as error:
        raise invalid_file("file_paths", "upload_files", error) from error

    def work(transfer: Transfer, report: Report) -> str:
        file = UbiOpsFile(bucket_name, transfer.target)
        upload(api, project_name, file, Upload(transfer.source), report)
        return str(file)

    return transfer_all(transfers, work, parallel_uploads, "upload", _progress_bar and not quiet)


@helper
def download_file(
    client: Client,
    project_name: str,
    bucket_name: str = "default",
    file_name: str | None = None,
    file_uri: str | None = None,
    output_path: str | os.PathLike[str] = ".",
    stream: bool = True,
    chunk_size: int = 8192,
    _progress_bar: bool = True,
    *,
    quiet: bool = False,
    _request_timeout: Timeout = None,
) -> str:
    """Download a file from a bucket; it is streamed to disk and appears only once it is complete.

    Until then it has a temporary name in the same folder. A download that breaks off resumes, with a fresh URL; if the
    file has changed in the meantime, or the storage can't tell, it starts over. It fails after five attempts in a row
    that receive less than 1 MiB each, or as many as ``Configuration.retries`` says. Calls `files_download`.

    Args:
        client: The client to use.
        project_name: Name of the project.
        bucket_name: Name of the bucket.
        file_name: Name of the file in the bucket.
        file_uri: Bucket and name in one, ``ubiops-file://bucket/name`` or a `UbiOpsFile`, instead of the two.
        output_path: File to write, or folder to write to under the last part of the file's name; one that ends with a
            slash is a folder, which is created if it doesn't exist. An existing file is replaced.
        stream: Accepted for programs of the older client: a download is always streamed.
        chunk_size: Accepted likewise: it is read in blocks of 1 MiB.
        _progress_bar: Accepted for programs of newer clients: False means `quiet`.
        quiet: Whether to show no progress.
        _request_timeout: Seconds that all of it may take, or a pair of seconds to connect and to wait for data. By
            default there is no limit, but a transfer that makes no progress for 60 s fails.

    Returns:
        The path of the downloaded file.

    Raises:
        ApiValueError: Neither `file_name` nor a valid `file_uri` was given, or the folder to write to doesn't exist;
            nothing was sent.
        ApiException: The API or the storage refused the download, or it broke off.
        OSError: It couldn't be written, for instance because the disk is full; no partial file is left.
    """
    api = core_api(client, "download_file")
    if file_uri is not None:
        file = parse(file_uri, "download_file")
    elif file_name:
        _check_names("download_file", bucket_name, file_name)
        file = UbiOpsFile(bucket_name, file_name)
    else:
        raise ApiValueError("Missing the required parameter `file_name` or `file_uri` when calling `download_file`")
    path = _path_to_write(output_path, file.file)
    with (
        replacing(path) as content,
        Progress(f"Downloading {file.file}", None, "B", shown=_progress_bar and not quiet) as bar,
    ):
        Download(api, project_name, file, content, bar.advance, bar.expect, _request_timeout).run()
    return path


@helper
def download_files(
    client: Client,
    project_name: str,
    bucket_name: str = "default",
    prefix: str | None = None,
    output_path: str | os.PathLike[str] = ".",
    stream: bool = True,
    chunk_size: int = 8192,
    parallel_downloads: int = 5,
    _progress_bar: bool = True,
    *,
    quiet: bool = False,
) -> list[str]:
    """Download the files of a bucket whose names begin with a prefix, several at a time.

    A file is written below the output folder at its full name in the bucket: ``2022/cars.csv`` goes to
    ``output_path/2022/cars.csv``, regardless of the prefix. Each file is downloaded as by `download_file`, and its size
    is compared with the one in the list. Existing files of the same name are replaced.

    No file is written outside the output folder. Names are refused before anything is downloaded if they contain a
    backslash, NUL or more than 255 bytes between two slashes, begin with a slash or a drive, have an empty part, ``.``
    or ``..`` between their slashes, would replace a folder, go below a file or through a link that leads outside, or
    differ only in case on a disk that ignores case.

    If the API's rate limit is reached, it waits for up to two minutes. After the first failure no further file is
    started, and those under way are finished. Ctrl-C abandons those under way; an `IncompleteTransfer` as the cause of
    the `KeyboardInterrupt` says what was downloaded. Calls `files_list`, and `files_download` for each file.

    Args:
        client: The client to use.
        project_name: Name of the project.
        bucket_name: Name of the bucket.
        prefix: What the names begin with, such as ``2022/``; by default all files.
        output_path: Folder to write to; it is created if it doesn't exist.
        stream: Accepted for programs of the older client: a download is always streamed.
        chunk_size: Accepted likewise: it is read in blocks of 1 MiB.
        parallel_downloads: Number of downloads at a time, 1 or more.
        _progress_bar: Accepted for programs of newer clients: False means `quiet`.
        quiet: Whether to show no progress.

    Returns:
        The paths of the downloaded files, sorted by their names in the bucket as the API sorts; an empty list if no
        name begins with the prefix.

    Raises:
        ApiValueError: An argument can't be used; nothing was sent.
        ApiException: The API refused the list of files.
        IncompleteTransfer: Names were refused, and nothing was downloaded; or some files failed. It says which, why,
            and what was downloaded.
    """
    api = core_api(client, "download_files")
    check_count("parallel_downloads", "download_files", parallel_downloads, 1)
    folder = read_path("output_path", "download_files", output_path)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise invalid("output_path", "download_files", f"must be a folder, but {folder!r} is a file")
    found = list(_list_files(api, project_name, bucket_name, prefix))
    if not found:
        return []
    os.makedirs(folder, exist_ok=True)
    transfers = to_download(found, folder)
    parts: set[str] = set()

    def work(transfer: Transfer, report: Report) -> str:
        report(0)
        os.makedirs(os.path.dirname(transfer.target), exist_ok=True)
        file = UbiOpsFile(bucket_name, transfer.source)
        with replacing(transfer.target) as content:
            parts.add(content.name)
            size = Download(api, project_name, file, content, report).run()
            if size is not None and transfer.size is not None and size != transfer.size:
                _check_present_size(api, project_name, file, size)
        parts.discard(content.name)
        return transfer.target

    try:
        return transfer_all(transfers, work, parallel_downloads, "download", _progress_bar and not quiet)
    finally:
        # Files of threads that still wait for the storage after a Ctrl-C.
        for part in parts.copy():
            with suppress(OSError):
                os.unlink(part)


@helper
def handle_file_input(
    client: Client,
    project_name: str,
    file: FileLike,
    bucket_name: str = "default",
    file_prefix: str | None = None,
    file_name: str | None = None,
    _progress_bar: bool = True,
    *,
    quiet: bool = False,
) -> str:
    """Return the URI of a file for a field of a request; a file that isn't in a bucket yet is uploaded.

    A file of the same name in the bucket is replaced; with a `file_prefix` of its own, each request keeps its file.
    Files are uploaded as by `upload_file`.

    Args:
        client: The client to use.
        project_name: Name of the project.
        file: A ``ubiops-file://`` URI or `UbiOpsFile` of an existing file; or what to upload: the path of a file, or an
            object open for reading bytes.
        bucket_name: Name of the bucket to upload to.
        file_prefix: Folder in the bucket to put it in; slashes around it don't matter.
        file_name: Name to give it there; by default the last part of the path.
        _progress_bar: Accepted for programs of newer clients: False means `quiet`.
        quiet: Whether to show no progress.

    Returns:
        The file's URI, ``ubiops-file://bucket/name``.

    Raises:
        ApiValueError: It is a URI, but doesn't name a file in a bucket; nothing was sent.
        ApiFileError: The file to upload is missing, unreadable or a folder; nothing was sent.
        NotFoundError: It is a URI, and the file doesn't exist.
        ApiException: The API or the storage refused the upload, or couldn't be reached.
    """
    api = core_api(client, "handle_file_input")
    if isinstance(file, str) and file.startswith(SCHEME):
        named = parse(file, "handle_file_input")
        api.files_get(project_name, named.bucket, named.file)
        return str(named)
    check_text("file_prefix", "handle_file_input", file_prefix)
    _check_names("handle_file_input", bucket_name, file_name)
    content = _content(file, "file", "handle_file_input")
    name = prefixed(file_prefix, file_name or content.name)
    return _upload(api, project_name, content, bucket_name, name, _progress_bar and not quiet)


def _upload(
    api: CoreApi,
    project_name: str,
    content: Upload,
    bucket_name: str,
    name: str,
    shown: bool,
    timeout: Timeout = None,
    checkpoint: str | None = None,
) -> str:
    file = UbiOpsFile(bucket_name, name)
    with Progress(f"Uploading {name}", content.length, "B", shown=shown) as bar:
        upload(api, project_name, file, content, bar.advance, timeout, checkpoint)
    return str(file)


def _list_files(api: CoreApi, project_name: str, bucket_name: str, prefix: str | None) -> Iterator[models.FileItem]:
    token: str | None = None
    while True:
        answer = api.files_list(project_name, bucket_name, prefix=prefix, continuation_token=token)
        page = check_answer("files_list", answer, "files", "continuation_token")
        yield from check_list("files_list", page.files or [], "file", "size", text="file")
        if page.continuation_token is None:
            return
        if page.continuation_token == token:
            raise ApiException(
                reason=f"The list of files in {bucket_name!r} doesn't end: token {token!r} leads to itself"
            )
        token = page.continuation_token


def _check_present_size(api: CoreApi, project_name: str, file: UbiOpsFile, size: int) -> None:
    """Check a size that isn't the listed one: the file may have been replaced since it was listed."""
    present = check_answer("files_get", api.files_get(project_name, file.bucket, file.file), "size").size
    if present != size:
        raise ApiException(reason=f"received {size} bytes of {file}, which has {present} according to the API")


def _check_names(function: str, bucket_name: str, file_name: str | None = None) -> None:
    check_text("bucket_name", function, bucket_name)
    check_text("file_name", function, file_name)
    if "/" in bucket_name:
        raise invalid("bucket_name", function, f"must be the name of a bucket, not {bucket_name!r}")


def _content(file: Any, argument: str, function: str) -> Upload:
    if not isinstance(file, (str, os.PathLike)) and not callable(getattr(file, "read", None)):
        raise wrong_type(argument, function, "a path or an object open for reading bytes", file)
    try:
        return Upload(file)
    except ApiFileError as error:
        raise invalid_file(argument, function, error) from error


def _path_to_write(output_path: Any, file_name: str) -> str:
    path = read_path("output_path", "download_file", output_path)
    if not os.path.basename(path):
        os.makedirs(path, exist_ok=True)
    if os.path.isdir(path):
        name = last_part(file_name.rstrip("/"))
        if name is None:
            raise invalid("output_path", "download_file", f"must name a file, not {file_name!r}")
        return os.path.join(path, name)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise invalid("output_path", "download_file", f"the folder {folder!r} doesn't exist: create it first")
    return path
