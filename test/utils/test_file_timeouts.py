"""How long a transfer may take, and what a PUT to the storage says of the file."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest

import ubiops
import ubiops.utils.files.transfer
from test.server import Answer, Server
from test.utils.storage import Signer, Storage
from ubiops.utils import download_file, upload_file


@pytest.fixture
def silent(storage: Storage) -> Any:
    """A storage that takes a request and says nothing, until the test ends."""
    released = threading.Event()

    def wait(request: Any) -> Answer:
        released.wait(60)
        return Answer(500)

    storage.default = wait
    yield storage
    released.set()


def test_a_transfer_is_given_up_when_its_time_is_over(
    signer: Signer, silent: Storage, client: ubiops.ApiClient, tmp_path: Path
) -> None:
    for call in (
        lambda timeout: download_file(client, "p", file_name="x", output_path=tmp_path, _request_timeout=timeout),
        lambda timeout: upload_file(client, "p", io.BytesIO(b"x"), file_name="x", _request_timeout=timeout),
    ):
        with pytest.raises(ubiops.exceptions.ApiTimeoutError):
            call(0.3)
        with pytest.raises(ubiops.ApiValueError, match="`_request_timeout`"):
            call(0)
    assert list(tmp_path.iterdir()) == []


def test_a_transfer_in_which_nothing_moves_is_given_up(
    signer: Signer, silent: Storage, client: ubiops.ApiClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Shortened: it is a minute.
    monkeypatch.setattr(ubiops.utils.files.transfer, "_STALLED", 0.2)
    client.configuration.retries = 0
    with pytest.raises(ubiops.exceptions.ApiTimeoutError):
        download_file(client, "p", file_name="x", output_path=tmp_path)
    with pytest.raises(ubiops.exceptions.ApiTimeoutError):
        upload_file(client, "p", io.BytesIO(b"x"), file_name="x")


def test_an_upload_names_the_file(signer: Signer, storage: Storage, client: ubiops.ApiClient) -> None:
    for name in ("2022/cars.csv", 'a"b ü.csv'):
        upload_file(client, "p", io.BytesIO(b"x"), file_name=name)
    sent = [request.headers["Content-Disposition"] for request in storage.requests]
    assert sent == [
        'attachment; filename="cars.csv"',
        "attachment; filename=\"a_b _.csv\"; filename*=UTF-8''a%22b%20%C3%BC.csv",
    ]


def test_a_folder_that_ends_with_a_slash_is_made(
    signer: Signer, storage: Storage, client: ubiops.ApiClient, tmp_path: Path, server: Server
) -> None:
    storage.files = {"2022/x": b"1"}
    path = download_file(client, "p", file_name="2022/x", output_path=f"{tmp_path}/new/deep/")
    assert path == f"{tmp_path}/new/deep/x"
    assert Path(path).read_bytes() == b"1"
