"""Files in buckets: up and down, streamed, over the signed URLs that the API gives out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ubiops.api.core_api import CoreApi
from ubiops.exceptions import ApiFileError, ApiValueError
from ubiops.files import Upload, write_file
from ubiops.rest import Deadline, as_raw, blocks_of

if TYPE_CHECKING:
    from ubiops.api_client import ApiClient

__all__ = ["download_file", "upload_file"]

_SCHEME = "ubiops-file://"
_AZURE_HEADERS = {"x-ms-version": "2020-04-08", "x-ms-blob-type": "BlockBlob"}


def upload_file(
    client: ApiClient | CoreApi,
    project_name: str,
    file_path: str | os.PathLike[str],
    bucket_name: str = "default",
    file_name: str | None = None,
) -> str:
    """Upload a file to a bucket; it is streamed, so memory doesn't grow with its size.

    Args:
        client: The client to use.
        project_name: Name of the project.
        file_path: Path of the file.
        bucket_name: Name of the bucket.
        file_name: Name to give it in the bucket, ``/`` included; by default the last part of the path.

    Returns:
        The file's URI, ``ubiops-file://bucket/name``, as a request takes it.

    Raises:
        ApiFileError: The file is missing, unreadable or a folder; nothing was sent.
        ApiException: The API or the storage refused the upload.
    """
    api = _core_api(client)
    try:
        file = Upload(os.fspath(file_path))
    except (ApiFileError, TypeError) as error:
        raise ApiFileError(f"Invalid value for `file_path` when calling `upload_file`, {error}") from error
    name = file_name or file.name
    target = api.files_upload(project_name, bucket_name, name)
    headers = {"Content-Length": str(file.length)} if file.length is not None else {}
    if target.provider == "azure_blob_storage":
        headers.update(_AZURE_HEADERS)
    api.api_client.rest_client.send("PUT", target.url, headers, file)
    return f"{_SCHEME}{bucket_name}/{name}"


def download_file(
    client: ApiClient | CoreApi,
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
        ApiValueError: Neither `file_name` nor a valid `file_uri` was given; nothing was sent.
        ApiException: The API or the storage refused the download, or it broke off.
    """
    api = _core_api(client)
    if file_uri is not None:
        bucket_name, file_name = _parts(file_uri)
    if not file_name:
        raise ApiValueError("Missing the required parameter `file_name` or `file_uri` when calling `download_file`")
    path = os.fspath(output_path)
    if os.path.isdir(path):
        path = os.path.join(path, file_name.rstrip("/").rpartition("/")[2])
    url = api.files_download(project_name, bucket_name, file_name).url
    deadline = Deadline()
    response, _ = api.api_client.rest_client.send("GET", url, {}, None, deadline, stream=True)
    write_file(blocks_of(as_raw(response), deadline), path)
    return path


def _core_api(client: Any) -> CoreApi:
    return client if isinstance(client, CoreApi) else CoreApi(client)


def _parts(file_uri: str) -> tuple[str, str]:
    bucket, _, name = file_uri.removeprefix(_SCHEME).partition("/")
    if not file_uri.startswith(_SCHEME) or not bucket or not name:
        raise ApiValueError(
            f"Invalid value for `file_uri` when calling `download_file`, must be {_SCHEME}bucket/name, not {file_uri!r}"
        )
    return bucket, name
