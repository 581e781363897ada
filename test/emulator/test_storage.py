"""Buckets, their files over signed URLs, and blobs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

import ubiops
from test.emulator.project import TestProject, wait_until
from ubiops.emulator import Emulator
from ubiops.emulator.dates import timestamp
from ubiops.emulator.storage import contents as storage_contents
from ubiops.emulator.storage import endpoint
from ubiops.emulator.tables import File
from ubiops.exceptions import ApiException, BadRequestError, NotFoundError
from ubiops.utils import download_file, upload_file

WEEK = 604800
S3: dict[str, Any] = {
    "name": "linked",
    "provider": "amazon_s3",
    "credentials": {"access_key": "EXAMPLE", "secret_key": "hush"},
    "configuration": {"region": "eu-central-1", "bucket": "far-away", "prefix": "hourly"},
}


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


def upload(project: TestProject, name: str, content: bytes = b"content", bucket: str = "default") -> str:
    file = io.BytesIO(content)
    return upload_file(project.api, project.name, file, bucket, name)


def download(
    project: TestProject, http: urllib3.PoolManager, name: str, bucket: str = "default", **headers: str
) -> Any:
    url = project.api.files_download(project.name, bucket, name).url
    return http.request("GET", url, headers=headers)


def contents(emulator: Emulator) -> list[Path]:
    return list(emulator._engine.storage.path("x").parent.iterdir())


def error_of(call: Any, *arguments: Any, kind: type[ApiException] = BadRequestError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


@contextmanager
def client_of(emulator: Emulator) -> Iterator[ubiops.CoreApi]:
    api = emulator.client()
    with api.api_client:
        yield api


# Buckets


def test_a_bucket_is_of_ubiops_unless_told_otherwise(project: TestProject) -> None:
    assert project.api.buckets_create("lab", {"name": "plain"}).provider == "ubiops"


def test_a_project_begins_with_a_default_bucket(project: TestProject) -> None:
    (bucket,) = project.api.buckets_list(project.name)
    assert (bucket.name, bucket.provider, bucket.project, bucket.ttl) == ("default", "ubiops", "lab", None)


def test_the_project_of_the_command_line_too() -> None:
    with Emulator(project="first") as emulator, client_of(emulator) as api:
        assert [bucket.name for bucket in api.buckets_list("first")] == ["default"]


def test_create_get_list_update_delete(project: TestProject) -> None:
    api = project.api
    data = {"name": "archive", "provider": "ubiops", "ttl": 2 * WEEK, "description": "Old", "labels": {"team": "grid"}}
    created = api.buckets_create(project.name, data)
    assert (created.name, created.ttl, created.description, created.labels) == (
        *("archive", 2 * WEEK, "Old"),
        {"team": "grid"},
    )
    upload(project, "a", b"12345", "archive")
    upload(project, "b", b"678", "archive")
    bucket = api.buckets_get(project.name, "archive")
    assert (bucket.id, int(bucket.size), bucket.configuration) == (created.id, 8, {})
    assert bucket.size_measurement_date
    assert [found.name for found in api.buckets_list(project.name, labels="team:grid")] == ["archive"]
    assert api.buckets_list(project.name, labels="team:other") == []

    updated = api.buckets_update(project.name, "archive", {"ttl": ubiops.NULL, "labels": {}})
    assert (updated.ttl, updated.labels, updated.description) == (None, {}, "Old")
    assert updated.last_updated >= created.last_updated
    api.buckets_delete(project.name, "archive")
    assert "'archive'" in error_of(api.buckets_get, project.name, "archive", kind=NotFoundError)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "No Good"}, "name"),
        ({"ttl": 1}, "604800"),
        ({"ttl": 0}, "604800"),
        ({"ttl": -WEEK}, "604800"),
        ({"credentials": {"access_key": "x"}}, "credentials"),
        ({"configuration": {"bucket": "x"}}, "configuration"),
        ({"description": "x" * 401}, "description"),
        ({"labels": {"a": 1}}, "labels"),
        ({"provider": "amazon_s3"}, "access_key, secret_key"),
        ({"provider": "azure_blob_storage", "credentials": {"connection_string": "x"}}, "container"),
        ({"provider": "google_cloud_storage", "configuration": {"bucket": "x"}}, "json_key_file"),
        ({**S3, "credentials": {"access_key": "x"}}, "secret_key"),
    ],
)
def test_what_a_bucket_may_not_be(project: TestProject, change: dict[str, Any], word: str) -> None:
    data = {"name": "archive", "provider": "ubiops", **change}
    assert word in error_of(project.api.buckets_create, project.name, data)


def test_names_are_unique_in_a_project(project: TestProject) -> None:
    with pytest.raises(ApiException) as caught:
        project.api.buckets_create(project.name, {"name": "default", "provider": "ubiops"})
    assert caught.value.status == 409
    project.api.projects_create({"name": "other", "organization_name": "emulator"})
    assert [bucket.name for bucket in project.api.buckets_list("other")] == ["default"]


def test_update_checks_too(project: TestProject) -> None:
    assert "604800" in error_of(project.api.buckets_update, project.name, "default", {"ttl": WEEK + 1})
    assert "ubiops" in error_of(project.api.buckets_update, project.name, "default", {"credentials": {"a": "b"}})


def test_credentials_are_in_the_answer_to_their_sender_only(project: TestProject) -> None:
    created = project.api.buckets_create(project.name, S3)
    assert created.credentials == S3["credentials"]
    assert created.configuration["prefix"] == "hourly/"
    for read in (project.api.buckets_get(project.name, "linked"), *project.api.buckets_list(project.name)):
        assert "hush" not in str(read)
    new = {"access_key": "OTHER", "secret_key": "hushed"}
    assert "hush" not in str(project.api.buckets_update(project.name, "linked", {"credentials": new}))


def test_deletion_takes_the_files_of_ubiops_and_leaves_those_of_others(
    project: TestProject, http: urllib3.PoolManager, emulator: Emulator
) -> None:
    project.api.buckets_create(project.name, S3)
    project.api.buckets_create(project.name, {"name": "own", "provider": "ubiops"})
    upload(project, "a", b"ours", "own")
    upload(project, "a", b"theirs", "linked")
    for bucket in ("own", "linked"):
        project.api.buckets_delete(project.name, bucket)
    assert [path.read_bytes() for path in contents(emulator)] == [b"theirs"]
    project.api.buckets_create(project.name, {"name": "own", "provider": "ubiops"})
    project.api.buckets_create(project.name, {**S3, "name": "again"})
    assert project.api.files_list(project.name, "own").files == []
    assert download(project, http, "a", "again").data == b"theirs"


def test_a_prefix_is_a_part_of_the_storage(project: TestProject) -> None:
    project.api.buckets_create(project.name, S3)
    configuration = {**S3["configuration"], "prefix": ""}
    project.api.buckets_create(project.name, {**S3, "name": "whole", "configuration": configuration})
    upload(project, "in", bucket="linked")
    upload(project, "out", bucket="whole")
    assert [file.file for file in project.api.files_list(project.name, "linked").files] == ["in"]
    assert [file.file for file in project.api.files_list(project.name, "whole").files] == ["hourly/in", "out"]
    assert project.api.files_list(project.name, "whole", delimiter="/").prefixes == ["hourly/"]


def test_the_default_bucket_can_be_made_again(project: TestProject) -> None:
    upload(project, "a")
    project.api.buckets_delete(project.name, "default")
    assert project.api.buckets_list(project.name) == []
    project.api.buckets_create(project.name, {"name": "default", "provider": "ubiops"})
    assert project.api.files_list(project.name, "default").files == []


def test_a_project_takes_its_files_along(project: TestProject, emulator: Emulator) -> None:
    upload(project, "a")
    project.api.blobs_create(project.name, file=named(b"x"))
    project.api.projects_delete(project.name)
    assert contents(emulator) == []


# Files


def test_up_and_down(project: TestProject, http: urllib3.PoolManager, tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    uri = upload(project, "2022/11/data set.bin", content)
    assert uri == "ubiops-file://default/2022/11/data set.bin"
    path = download_file(project.api, project.name, file_uri=uri, output_path=str(tmp_path))
    assert Path(path).read_bytes() == content
    file = project.api.files_get(project.name, "default", "2022/11/data set.bin")
    assert (file.file, file.size) == ("2022/11/data set.bin", len(content))


@pytest.mark.parametrize("name", ["ü/ß €.txt", "a//b", "/a", "a/../b", "50%25?x=1&y#z", "a+b", "dir/", "..a", "\n"])
def test_names(project: TestProject, http: urllib3.PoolManager, name: str) -> None:
    upload(project, name, name.encode())
    assert [file.file for file in project.api.files_list(project.name, "default").files] == [name]
    assert download(project, http, name).data == name.encode()


@pytest.mark.parametrize("name", ["\0", "x" * 1025, "ü" * 600])
def test_what_is_no_name(project: TestProject, name: str) -> None:
    assert "file name" in error_of(project.api.files_upload, project.name, "default", name)


def test_a_file_is_there_once_it_is_uploaded(
    project: TestProject, http: urllib3.PoolManager, emulator: Emulator
) -> None:
    url = project.api.files_upload(project.name, "default", "a").url
    for call in (project.api.files_get, project.api.files_download, project.api.files_delete):
        assert "'a'" in error_of(call, project.name, "default", "a", kind=NotFoundError)
    for content in (b"old", b"new"):
        assert http.request("PUT", url, body=content).status == 200
        assert download(project, http, "a").data == content
    assert len(contents(emulator)) == 1
    project.api.files_delete(project.name, "default", "a")
    # The last download may still hold it for a moment.
    wait_until(lambda: (project.api.service_status(), contents(emulator))[1], lambda found: found == [])


def test_uploads_of_one_name_at_a_time(project: TestProject, http: urllib3.PoolManager, emulator: Emulator) -> None:
    written = [bytes([number]) * 3_000_000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda content: upload(project, "a", content), written))
    assert download(project, http, "a").data in written
    assert len(project.api.files_list(project.name, "default").files) == 1
    wait_until(lambda: (project.api.service_status(), contents(emulator))[1], lambda found: len(found) == 1)


def test_a_download_survives_an_upload(project: TestProject, http: urllib3.PoolManager, emulator: Emulator) -> None:
    old, new = b"o" * 20_000_000, b"new"
    upload(project, "a", old)
    url = project.api.files_download(project.name, "default", "a").url
    answer = http.request("GET", url, preload_content=False)
    assert answer.read(10) == old[:10]
    upload(project, "a", new)
    assert answer.read() == old[10:]
    answer.release_conn()
    assert download(project, http, "a").data == new
    wait_until(lambda: (project.api.service_status(), contents(emulator))[1], lambda found: len(found) == 1)


def test_an_upload_that_breaks_off_leaves_what_was_there(
    project: TestProject, http: urllib3.PoolManager, emulator: Emulator
) -> None:
    incoming = emulator._engine.storage.path("x").parents[1] / "incoming"
    upload(project, "a", b"whole")
    url = urlsplit(project.api.files_upload(project.name, "default", "a").url)
    assert url.hostname
    connection = urllib3.connection.HTTPConnection(url.hostname, url.port)
    connection.putrequest("PUT", f"{url.path}?{url.query}")
    connection.putheader("Content-Length", "1000")
    connection.endheaders()
    connection.send(b"half")
    wait_until(lambda: (project.api.service_status(), list(incoming.iterdir()))[1], lambda found: len(found) == 1)
    connection.close()
    wait_until(lambda: (project.api.service_status(), list(incoming.iterdir()))[1], lambda found: found == [])
    assert download(project, http, "a").data == b"whole"


@pytest.mark.parametrize(
    ("wanted", "status", "content"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=0-99", 206, b"0123456789"),
        ("bytes=10-", 416, b""),
    ],
)
def test_ranges(project: TestProject, http: urllib3.PoolManager, wanted: str, status: int, content: bytes) -> None:
    upload(project, "digits", b"0123456789")
    answer = download(project, http, "digits", Range=wanted)
    assert answer.status == status
    if content:
        assert answer.data == content
        assert answer.headers["Content-Range"].endswith("/10")


def test_head_of_a_signed_url(project: TestProject, http: urllib3.PoolManager) -> None:
    upload(project, "digits", b"0123456789")
    url = project.api.files_download(project.name, "default", "digits").url
    assert http.request("HEAD", url).headers["Content-Length"] == "10"


def test_a_signed_url_is_for_one_thing_only(project: TestProject, http: urllib3.PoolManager) -> None:
    upload(project, "a")
    upload(project, "b")
    url = project.api.files_download(project.name, "default", "a").url
    assert urlsplit(url).scheme == "http"
    assert http.request("GET", url).status == 200
    expires = url.split("expires=")[1].split("&")[0]
    tampered = {
        "another file": ("GET", url.replace("/a?", "/b?")),
        "another method": ("PUT", url),
        "a later end": ("GET", url.replace(expires, str(int(expires) + 1))),
        "no end": ("GET", url.replace(f"expires={expires}", "")),
        "no signature": ("GET", url.split("&signature")[0]),
        "another signature": ("GET", url[:-1] + ("0" if url[-1] != "0" else "1")),
    }
    for what, (method, other) in tampered.items():
        answer = http.request(method, other, body=b"evil" if method == "PUT" else None)
        assert (answer.status, "signature" in answer.json()["error"]) == (403, True), what
    assert http.request("DELETE", url).status == 405
    assert download(project, http, "a").data == b"content"


def test_a_signed_url_expires(project: TestProject, http: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the clock of the signature moves; the rest is as it always is.
    monkeypatch.setattr(storage_contents, "URL_LIFETIME", -1)
    upload_url = project.api.files_upload(project.name, "default", "a").url
    answer = http.request("PUT", upload_url, body=b"late")
    assert (answer.status, "expired" in answer.json()["error"]) == (403, True)


def test_signed_urls_outlive_a_restart(tmp_path: Path, http: urllib3.PoolManager) -> None:
    with Emulator(data_dir=tmp_path, project="lab") as emulator, client_of(emulator) as api:
        upload(TestProject(api, "lab"), "a", b"kept")
        url = api.files_download("lab", "default", "a").url
        origin = emulator.url.removesuffix("/v2.1")
    with Emulator(data_dir=tmp_path) as emulator:
        assert http.request("GET", url.replace(origin, emulator.url.removesuffix("/v2.1"))).data == b"kept"


def test_what_a_killed_process_left_is_swept_up(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, project="lab") as emulator, client_of(emulator) as api:
        upload(TestProject(api, "lab"), "a", b"kept")
        directory = contents(emulator)[0].parent
    (directory / "orphan").write_bytes(b"nobody's")
    (directory.parent / "incoming" / "half").write_bytes(b"half")
    with Emulator(data_dir=tmp_path) as emulator:
        assert [path.read_bytes() for path in contents(emulator)] == [b"kept"]
        assert list((directory.parent / "incoming").iterdir()) == []


def test_a_file_has_a_largest_size(
    project: TestProject, http: urllib3.PoolManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Instead of 8 GiB.
    monkeypatch.setattr(endpoint, "LARGEST_FILE", 1000)
    url = project.api.files_upload("lab", "default", "a").url
    answer = http.request("PUT", url, body=b"x" * 1001)
    assert (answer.status, answer.json()["error"][:23]) == (413, "The body is larger than")
    assert http.request("PUT", url, body=b"x" * 1000).status == 200


def test_a_deleted_bucket_takes_no_upload(project: TestProject, http: urllib3.PoolManager) -> None:
    project.api.buckets_create(project.name, {"name": "gone", "provider": "ubiops"})
    url = project.api.files_upload(project.name, "gone", "a").url
    project.api.buckets_delete(project.name, "gone")
    answer = http.request("PUT", url, body=b"x")
    assert (answer.status, answer.json()) == (404, {"error": "The bucket was deleted"})


def test_azure_wants_its_header(project: TestProject, http: urllib3.PoolManager) -> None:
    data = {
        "name": "azure",
        "provider": "azure_blob_storage",
        "credentials": {"connection_string": "AccountName=a;AccountKey=b"},
        "configuration": {"container": "c"},
    }
    project.api.buckets_create(project.name, data)
    target = project.api.files_upload(project.name, "azure", "a")
    assert target.provider == "azure_blob_storage"
    assert http.request("PUT", target.url, body=b"x").status == 400
    assert http.request("PUT", target.url, body=b"x", headers={"x-ms-blob-type": "BlockBlob"}).status == 201
    upload(project, "a", b"fine", "azure")
    assert download(project, http, "a", "azure").data == b"fine"


def test_files_live_as_long_as_their_bucket_says(project: TestProject, emulator: Emulator) -> None:
    project.api.buckets_update(project.name, "default", {"ttl": WEEK})
    for name in ("old", "young"):
        upload(project, name)
    with emulator._store.session() as session:
        # A week ago can't be reached through the API.
        session.query(File).filter_by(name="old").update(
            {"time_created": timestamp(datetime.now(timezone.utc) - timedelta(seconds=WEEK))}
        )
    assert [file.file for file in project.api.files_list(project.name, "default").files] == ["young"]
    assert "'old'" in error_of(project.api.files_get, project.name, "default", "old", kind=NotFoundError)
    assert int(project.api.buckets_get(project.name, "default").size) == len(b"content")
    emulator._engine.storage.expire()
    assert len(contents(emulator)) == 1


# Lists of files


def listed(project: TestProject, **options: Any) -> tuple[list[str], list[str]]:
    """All pages together."""
    files, prefixes, token = [], [], None
    while True:
        page = project.api.files_list(project.name, "default", continuation_token=token, **options)
        assert len(page.files) + len(page.prefixes) <= options.get("limit", 100)
        files += [file.file for file in page.files]
        prefixes += page.prefixes
        token = page.continuation_token
        if token is None:
            return files, prefixes


NAMES = ["A", "a", "a/1", "a/2", "a/b/3", "a/b/4", "ab/5", "ä", "z"]


def test_pages(project: TestProject) -> None:
    for name in reversed(NAMES):
        upload(project, name)
    for limit in (1, 2, 3, 9, 100, 100_000):
        # In the order of UTF-8, as S3 has it.
        assert listed(project, limit=limit) == (["A", "a", "a/1", "a/2", "a/b/3", "a/b/4", "ab/5", "z", "ä"], [])
        assert listed(project, limit=limit, delimiter="/") == (["A", "a", "z", "ä"], ["a/", "ab/"])
        assert listed(project, limit=limit, prefix="a/", delimiter="/") == (["a/1", "a/2"], ["a/b/"])
        assert listed(project, limit=limit, prefix="a/b") == (["a/b/3", "a/b/4"], [])
        assert listed(project, limit=limit, prefix="a", delimiter="b/") == (["a", "a/1", "a/2"], ["a/b/", "ab/"])
        assert listed(project, limit=limit, prefix="none") == ([], [])


def test_a_full_last_page_ends_the_list(project: TestProject) -> None:
    for name in ("a", "b"):
        upload(project, name)
    assert project.api.files_list(project.name, "default", limit=2).continuation_token is None
    assert project.api.files_list(project.name, "default", limit=1).continuation_token


def test_wrong_lists(project: TestProject) -> None:
    call = project.api.files_list
    assert "limit" in error_of(call, project.name, "default", limit=0)
    assert "continuation_token" in error_of(call, project.name, "default", continuation_token="§")
    assert "'none'" in error_of(call, project.name, "none", kind=NotFoundError)


# Blobs


def named(content: bytes, name: str = "readings.csv") -> io.BytesIO:
    file = io.BytesIO(content)
    file.name = name
    return file


def read_blob(project: TestProject, blob_id: str) -> tuple[str | None, bytes]:
    with project.api.blobs_get(project.name, blob_id) as response:
        return response.getfilename(), response.read()


def test_a_blob_from_first_to_last(project: TestProject, emulator: Emulator) -> None:
    api = project.api
    blob = api.blobs_create(project.name, file=named(b"12345"))
    assert (blob.filename, blob.size, blob.ttl) == ("readings.csv", 5, 86400)
    assert blob.created_by == "admin@emulator.local"
    assert read_blob(project, blob.id) == ("readings.csv", b"12345")
    updated = api.blobs_update(project.name, blob.id, file=named(b"67", "ü.csv"), blob_ttl=60)
    assert (updated.id, updated.filename, updated.size, updated.ttl) == (blob.id, "ü.csv", 2, 60)
    assert updated.creation_date == blob.creation_date
    assert read_blob(project, blob.id)[1] == b"67"
    assert api.blobs_update(project.name, blob.id, file=named(b"8")).ttl == 86400
    # What a download has only just read goes when the server has done with it.
    wait_until(lambda: contents(emulator), lambda left: len(left) == 1)
    api.blobs_delete(project.name, blob.id)
    assert contents(emulator) == []
    for call in (api.blobs_get, api.blobs_delete):
        assert blob.id in error_of(call, project.name, blob.id, kind=NotFoundError)
    assert blob.id in error_of(api.blobs_update, project.name, blob.id, file=named(b"x"), kind=NotFoundError)


def test_blobs_by_range_and_date(project: TestProject) -> None:
    ids = [project.api.blobs_create(project.name, file=named(b"x")).id for _ in range(3)]

    def found(**options: Any) -> list[str]:
        return [blob.id for blob in project.api.blobs_list(project.name, **options)]

    assert found() == ids[::-1]
    assert found(range=-2) == [ids[2], ids[1]]
    assert found(range=2) == [ids[0], ids[1]]
    assert found(range=0) == []
    assert found(creation_date="2000-01-01 00:00:00") == []
    assert found(creation_date="2000-01-01 00:00:00", range=50) == ids
    assert found(creation_date="9000-01-01 00:00:00", range=50) == []
    assert "creation_date" in error_of(found, creation_date="yesterday")


def test_a_blob_expires(project: TestProject, emulator: Emulator) -> None:
    blob = project.api.blobs_create(project.name, file=named(b"x"), blob_ttl=1)
    wait_until(lambda: project.api.blobs_list(project.name), lambda blobs: blobs == [])
    assert blob.id in error_of(project.api.blobs_get, project.name, blob.id, kind=NotFoundError)
    emulator._engine.storage.expire()
    assert contents(emulator) == []


def test_wrong_blobs(project: TestProject, emulator: Emulator, http: urllib3.PoolManager) -> None:
    assert "blob-ttl" in error_of(project.api.blobs_create, project.name, file=named(b"x"), blob_ttl=0)
    assert "'none'" in error_of(project.api.blobs_create, "none", file=named(b"x"), kind=NotFoundError)
    headers = {"Authorization": emulator.token}
    url = f"{emulator.url}/projects/{project.name}/blobs"
    answer = http.request("POST", url, headers=headers, fields={"file": "no file"})
    assert (answer.status, "form field file" in answer.json()["error"]) == (400, True)
    answer = http.request("POST", url, headers={**headers, "blob-ttl": "long"}, fields={"file": ("a", b"x")})
    assert (answer.status, "header parameter 'blob-ttl'" in answer.json()["error"]) == (400, True)
    assert contents(emulator) == []


def test_what_is_done_is_audited(project: TestProject) -> None:
    upload(project, "a")
    blob = project.api.blobs_create(project.name, file=named(b"x"))
    project.api.buckets_create(project.name, S3)
    project.api.buckets_delete(project.name, "linked")
    events = [event.event for event in project.api.project_audit_events_list(project.name)]
    assert {"Uploaded file 'a' to bucket 'default'", "Created blob 'readings.csv'", "Deleted bucket 'linked'"} <= {
        *events
    }
    assert blob.id
    assert "hush" not in str(events)
