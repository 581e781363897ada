"""Files of 1 GiB, up and down, beside urllib3 streaming in blocks of 1 MiB."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import urllib3

import ubiops
from test.benchmarks.data import BLOB_PATH, BLOBS_PATH, CREDENTIALS, REVISIONS_PATH, STORAGE_PATH
from test.benchmarks.measure import MIB, Figure, cpu_time, in_fresh_process, ratio, resident_growth
from test.benchmarks.server import SIZE
from ubiops.utils import download_file, upload_file

_ROUNDS = 5

_Transfer = Callable[[ubiops.CoreApi, Path], None]


def figures(url: str) -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        source, downloads = Path(folder, "source.bin"), Path(folder, "downloads")
        downloads.mkdir()
        source.touch()
        # Sparse: it reads as 1 GiB of zeros and takes no space.
        os.truncate(source, SIZE)
        for name, transfer in _TRANSFERS.items():
            reference = partial(_upload, path=_PATHS[name]) if name in _PATHS else _download
            taken = ratio(
                partial(_with_client, transfer, url, source, downloads),
                partial(reference, url, source, downloads),
                _ROUNDS,
                partial(_least_cpu_time, downloads),
            )
            yield Figure(f"{name} of 1 GiB", taken, 1.3, "x urllib3 in blocks")
            growth = in_fresh_process(_growth, name, url, source, downloads)
            _empty(downloads)
            yield Figure(f"{name} of 1 GiB, growth of memory", growth, 8, "MiB")


def _client(url: str, downloads: Path) -> ubiops.ApiClient:
    configuration = ubiops.Configuration(host=url, api_key=CREDENTIALS)
    configuration.temp_folder_path = str(downloads)
    return ubiops.ApiClient(configuration)


def _with_client(transfer: _Transfer, url: str, source: Path, downloads: Path) -> None:
    """Transfer over a new connection, as the reference does: the kernel tunes a connection while it is used."""
    with _client(url, downloads) as client:
        transfer(ubiops.CoreApi(client), source)


def _least_cpu_time(downloads: Path, work: Callable[[], None]) -> float:
    """Of three: a file of 1 GiB costs more where a virtual machine must first get the memory from its host."""
    taken = []
    for _ in range(3):
        taken.append(cpu_time(work))
        _empty(downloads)
    return min(taken)


def _growth(name: str, url: str, source: Path, downloads: Path) -> float:
    with _client(url, downloads) as client:
        return resident_growth(partial(_TRANSFERS[name], ubiops.CoreApi(client), source))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _blobs_create(api: ubiops.CoreApi, source: Path) -> None:
    api.blobs_create("project", source)


def _revisions_file_upload(api: ubiops.CoreApi, source: Path) -> None:
    api.revisions_file_upload("project", "deployment", "v1", file=source)


def _blobs_get(api: ubiops.CoreApi, source: Path) -> None:
    path = api.blobs_get("project", "blob", _preload_content=True)
    assert os.path.getsize(path) == SIZE


def _upload_file(api: ubiops.CoreApi, source: Path) -> None:
    upload_file(api, "project", source)


def _download_file(api: ubiops.CoreApi, source: Path) -> None:
    folder = str(api.api_client.configuration.temp_folder_path)
    path = download_file(api, "project", file_name="file", output_path=folder)
    assert os.path.getsize(path) == SIZE


_TRANSFERS: dict[str, _Transfer] = {
    "blobs_create": _blobs_create,
    "revisions_file_upload": _revisions_file_upload,
    "upload_file": _upload_file,
    "blobs_get": _blobs_get,
    "download_file": _download_file,
}
_PATHS = {"blobs_create": BLOBS_PATH, "revisions_file_upload": REVISIONS_PATH, "upload_file": STORAGE_PATH}


def _upload(url: str, source: Path, downloads: Path, path: str) -> None:
    headers = {**CREDENTIALS, "Content-Length": str(SIZE)}
    with urllib3.PoolManager(blocksize=MIB) as http, source.open("rb") as file:
        http.request("POST", url + path, body=file, headers=headers)


def _download(url: str, source: Path, downloads: Path) -> None:
    with urllib3.PoolManager() as http, (downloads / "reference").open("wb") as file:
        response = http.request("GET", url + BLOB_PATH, headers=CREDENTIALS, preload_content=False)
        file.writelines(response.stream(MIB))
