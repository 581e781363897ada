"""Files in buckets: up and down, streamed, over the signed URLs that the API gives out."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ubiops.exceptions import ApiException, ApiFileError, ApiValueError
from ubiops.files import Upload, last_part, write_file
from ubiops.rest import blocks_of
from ubiops.utils.client import core_api

if TYPE_CHECKING:
    from ubiops.files import FileLike
    from ubiops.models import FileUploadResponse
    from ubiops.utils.client import Client

__all__ = ["download_file", "upload_file"]

_SCHEME = "ubiops-file://"
_AZURE_HEADERS = {"x-ms-version": "2020-04-08", "x-ms-blob-type": "BlockBlob"}


def upload_file(
    client: Client,
    project_name: str,
    file_path: FileLike,
    bucket_name: str = "default",
    file_name: str | None = None,
) -> str:
    """Upload a file to a bucket; it is streamed, so memory doesn't grow with its size.

    Args:
        client: The client to use.
        project_name: Name of the project.
        file_path: Path of the file, or an object open for reading bytes.
        bucket_name: Name of the bucket.
        file_name: Name to give it in the bucket, ``/`` included; by default the last part of the path.

    Returns:
        The file's URI, ``ubiops-file://bucket/name``, as a request takes it.

    Raises:
        ApiFileError: The file is missing, unreadable or a folder; nothing was sent.
        ApiException: The API or the storage refused the upload.
    """
    api = core_api(client)
    try:
        file = Upload(file_path)
    except ApiFileError as error:
        raise ApiFileError(f"Invalid value for `file_path` when calling `upload_file`, {error}") from error
    name = file_name or file.name
    target = api.files_upload(project_name, bucket_name, name)
    url = _signed_url(target)
    headers = {"Content-Length": str(file.length)} if file.length is not None else {}
    if target.provider == "azure_blob_storage":
        headers.update(_AZURE_HEADERS)
    api.api_client.rest_client.send("PUT", url, headers, file)
    return f"{_SCHEME}{bucket_name}/{name}"


def download_file(
    client: Client,
    project_name: str,
    bucket_name: str = "default",
    file_name: str | None = None,
    file_uri: str | None = None,
    output_path: str | os.PathLike[str] = ".",
    stream: bool = True,
    chunk_size: int = 8192,
) -> str:
    """Download a file from a bucket; it is streamed to disk and there only once it is complete.

    Args:
        client: The client to use.
        project_name: Name of the project.
        bucket_name: Name of the bucket.
        file_name: Name of the file in the bucket.
        file_uri: Bucket and name in one, ``ubiops-file://bucket/name``, instead of the two.
        output_path: File to write, or folder to write to under the last part of the file's name.
        stream: Accepted for programs of the older client: a download is always streamed.
        chunk_size: Accepted likewise: blocks are of 1 MiB.

    Returns:
        The path of the downloaded file.

    Raises:
        ApiValueError: Neither `file_name` nor a valid `file_uri` was given, or there is no such folder to write to;
            nothing was sent.
        ApiException: The API or the storage refused the download, or it broke off.
    """
    api = core_api(client)
    if file_uri is not None:
        bucket_name, file_name = _parts(file_uri)
    if not file_name:
        raise ApiValueError("Missing the required parameter `file_name` or `file_uri` when calling `download_file`")
    path = _path_to_write(output_path, file_name)
    url = _signed_url(api.files_download(project_name, bucket_name, file_name))
    response, _ = api.api_client.rest_client.send("GET", url, {}, stream=True)
    with closing(response):
        write_file(blocks_of(response), path)
    return path


def _signed_url(answer: FileUploadResponse | None) -> str:
    url = answer.url if answer is not None else None
    if not isinstance(url, str):
        raise ApiException(reason=f"The API gave no URL of the file, but {url!r}")
    return url


def _path_to_write(output_path: Any, file_name: str) -> str:
    try:
        path = os.fsdecode(output_path)
    except TypeError as error:
        raise _bad("output_path", str(error)) from None
    if os.path.isdir(path):
        name = last_part(file_name.rstrip("/"))
        if name is None:
            raise _bad("output_path", f"must be a file: {file_name!r} names none")
        return os.path.join(path, name)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise _bad("output_path", f"there is no folder {folder!r}: create it first")
    return path


def _parts(file_uri: Any) -> tuple[str, str]:
    bucket, _, name = str(file_uri).removeprefix(_SCHEME).partition("/")
    if not str(file_uri).startswith(_SCHEME) or not bucket or not name:
        raise _bad("file_uri", f"must be {_SCHEME}bucket/name, not {file_uri!r}")
    return bucket, name


def _bad(argument: str, problem: str) -> ApiValueError:
    return ApiValueError(f"Invalid value for `{argument}` when calling `download_file`, {problem}")
