"""The emulator where clients, files and disks do their worst: it refuses with a sentence, and goes on.

What it owes to programs is in test/emulator; there are also two emulators on one directory (test_control), an upload
that breaks off (test_storage), packages whose entries lead out or are said to be too large (test_builds), and kills
under load (test_kill).
"""

from __future__ import annotations

import bz2
import errno
import io
import json
import resource
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from sqlalchemy import event

import ubiops
from test.emulator.project import DOUBLE, TestProject, make_zip, wait_until
from ubiops.emulator import Emulator, app
from ubiops.emulator.storage import contents

FILES = {
    "root/info.yaml": "format_spec: v1.0",
    "root/deployments/a/a.yaml": "{deployment_name: a, input_type: plain, output_type: plain}",
    "root/deployments/a/versions/v1.yaml": "version_name: v1",
}
"""An import of a deployment with one version."""


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with Emulator(project="lab", data_dir=tmp_path / "data") as emulator:
        yield emulator


@pytest.fixture
def project(emulator: Emulator) -> Iterator[TestProject]:
    api = emulator.client()
    with api.api_client:
        yield TestProject(api, "lab")


def goes_on(project: TestProject) -> None:
    """A call that reads the database and one that writes it, as ever."""
    project.api.projects_update("lab", {"name": "lab"})
    assert project.api.projects_get("lab").name == "lab"


@contextmanager
def connect(emulator: Emulator) -> Iterator[socket.socket]:
    url = urlsplit(emulator.url)
    with socket.create_connection((url.hostname, url.port or 80), timeout=30) as connection:
        yield connection


def head(emulator: Emulator, method: str, path: str, *headers: str) -> bytes:
    lines = [f"{method} /v2.1{path} HTTP/1.1", "Host: x", f"Authorization: {emulator.token}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def read_answer(connection: socket.socket) -> tuple[int, Any]:
    """The status of an answer and its JSON, read no further than its length says."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += (block := connection.recv(65536))
        assert block, f"ended after {received!r}"
    lines, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in lines.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return int(lines.split()[1]), json.loads(body)


# Clients


def test_slow_and_half_requests_stop_nobody(emulator: Emulator, project: TestProject) -> None:
    slow = head(emulator, "GET", "/projects/lab", "Accept: application/json")
    with ExitStack() as opened:
        byte_by_byte = opened.enter_context(connect(emulator))
        half_head, half_body, half_chunk, half_form = (opened.enter_context(connect(emulator)) for _ in range(4))
        half_head.sendall(slow[:40])
        half_body.sendall(head(emulator, "POST", "/projects", "Content-Length: 100") + b'{"name": "h')
        half_chunk.sendall(head(emulator, "POST", "/projects", "Transfer-Encoding: chunked") + b"64\r\nhalf")
        form = "Content-Type: multipart/form-data; boundary=b", "Content-Length: 100"
        half_form.sendall(head(emulator, "POST", "/projects/lab/blobs", *form) + b"--b\r\nContent-Disp")
        # A whole call of another client after each byte, of which none waits for the rest.
        for number in range(len(slow)):
            byte_by_byte.sendall(slow[number : number + 1])
            assert project.api.service_status().status == "ok"
        assert read_answer(byte_by_byte)[0] == 200
        half_body.sendall(b"x" * 89)
        status, answer = read_answer(half_body)
        assert (status, "not valid JSON" in answer["error"]) == (400, True)
    # The others went in the middle.
    assert [each.name for each in project.api.projects_list()] == ["lab"]
    assert project.api.blobs_list("lab") == []
    goes_on(project)


def test_a_thousand_idle_connections_take_nothing_from_calls(emulator: Emulator, project: TestProject) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Both ends of each are in this process; some are left for the rest of it.
    wanted = 2 * 1000 + 500
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    try:
        with ExitStack() as opened:
            idle = [opened.enter_context(connect(emulator)) for _ in range(min(1000, (max(soft, limit) - 500) // 2))]
            for _ in range(20):
                goes_on(project)
            # They are served, too, once they ask: those that came first and last.
            for connection in (idle[0], idle[-1]):
                connection.sendall(head(emulator, "GET", "/projects/lab"))
                assert read_answer(connection)[0] == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    goes_on(project)


def test_a_body_above_the_limit_is_413(
    emulator: Emulator, project: TestProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The bounds of 256 MiB and 8 GiB, made small enough to be sent.
    monkeypatch.setattr(app, "LARGEST_BODY", 1000)
    monkeypatch.setattr(app, "LARGEST_FILE", 1000)
    form = "Content-Type: multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    for path, kind, begin in (
        ("/projects", "Content-Type: application/json", b""),
        ("/projects/lab/blobs", form, part),
    ):
        with connect(emulator) as connection:
            # Answered before a byte of it is sent.
            connection.sendall(head(emulator, "POST", path, kind, "Content-Length: 2000"))
            status, answer = read_answer(connection)
            assert (status, "The body is larger than" in answer["error"]) == (413, True)
            # What was announced still comes, and the next request on the connection is understood.
            connection.sendall(b"x" * 2000 + head(emulator, "GET", "/projects/lab"))
            assert read_answer(connection)[1]["name"] == "lab"
            connection.sendall(head(emulator, "POST", path, kind, "Transfer-Encoding: chunked"))
            body = begin + b"x" * 1001
            connection.sendall(b"%x\r\n%b\r\n" % (len(body), body))
            assert read_answer(connection)[0] == 413
            connection.sendall(b"0\r\n\r\n" + head(emulator, "GET", "/projects/lab"))
            assert read_answer(connection)[1]["name"] == "lab"
    goes_on(project)


# Zips


def build(project: TestProject, archive: io.BytesIO, version: str = "v1") -> Any:
    archive.seek(0)
    project.create_version(version)
    upload = project.api.revisions_file_upload("lab", "model", version, file=archive)
    return project.wait_for_build(upload.build, version)


def bring_in(project: TestProject, archive: io.BytesIO) -> Any:
    archive.seek(0)
    created = project.api.imports_create("lab", file=archive, skip_confirmation=True)
    return wait_until(
        lambda: project.api.imports_get("lab", created.id), lambda transfer: transfer.status in ("completed", "failed")
    )


def packed(name: str, content: bytes, method: int = zipfile.ZIP_BZIP2) -> io.BytesIO:
    archive = make_zip({"deployment.py": DOUBLE, **FILES})
    with zipfile.ZipFile(archive, "a", method) as package:
        package.writestr(name, content)
    return archive


def test_a_bomb_of_another_method_is_refused(project: TestProject) -> None:
    # zipfile unpacks it in one piece, whatever its size is said to be: a few KB of bzip2 are gigabytes.
    zeros = bytes(2**20)
    assert len(bz2.compress(zeros)) < 100
    project.create_deployment()
    problem = "zeros compressed by another method than deflate"
    assert problem in build(project, packed("zeros", zeros)).error_message
    assert problem in bring_in(project, packed("zeros", zeros)).error_message
    goes_on(project)


def test_a_bomb_whose_size_is_a_lie_writes_no_more_than_it_says(emulator: Emulator, project: TestProject) -> None:
    archive = make_zip({"deployment.py": DOUBLE})
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("zeros", bytes(2**20))
        package.infolist()[-1].file_size = 10
    project.create_deployment()
    failed = build(project, archive)
    assert failed.error_message.startswith("The package can't be unpacked: ")
    packages = emulator._engine.packages
    assert not packages.unpacked(failed.revision).exists()


MODEL = "{{deployment_name: {0}, input_type: plain, output_type: plain}} # {1}"
ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    "bomb",
    [
        {"root/environment_variables.yaml": "a0: &a0 [x]\n" + ALIASES},
        {"root/environment_variables.yaml": "&a [*a]"},
        {f"root/deployments/b{n}/b.yaml": MODEL.format(f"b{n}", "x" * 2**20) for n in range(11)},
    ],
    ids=["a milliard of values by aliases", "a list in itself", "many descriptions"],
)
def test_an_import_unfolds_to_no_more_than_its_bound(project: TestProject, bomb: dict[str, str]) -> None:
    failed = bring_in(project, make_zip({**FILES, **bomb}))
    assert failed.error_message == "The descriptions are larger than 10 MiB, with what their aliases stand for"
    assert project.api.deployments_list("lab") == []
    goes_on(project)


def test_a_package_climbs_nowhere(project: TestProject, tmp_path: Path) -> None:
    project.create_deployment()
    names = ("C:\\climbed.py", "C:/climbed.py", "//host/climbed.py", "a/./../../climbed.py")
    for index, name in enumerate(names):
        built = build(project, make_zip({"deployment.py": DOUBLE, name: ""}), f"v{index}")
        # A drive is a folder like others here; all else is refused.
        inside = tmp_path / "data" / "packages" / built.revision
        assert built.status == "success" if name.startswith("C:") else "leads out of it" in built.error_message
        assert bool([*inside.rglob("*climbed.py")]) == (built.status == "success")
    packages = tmp_path / "data" / "packages"
    found = [*tmp_path.rglob("*climbed.py"), *Path("/").glob("climbed.py"), *Path.cwd().glob("*climbed.py")]
    assert all(path.is_relative_to(packages) and path.parent != packages for path in found)
    assert len(found) == 2


def test_a_package_of_an_import_climbs_nowhere(project: TestProject, tmp_path: Path) -> None:
    package = make_zip({"deployment.py": DOUBLE, "../../climbed.py": ""}).read()
    done = bring_in(project, make_zip({**FILES, "root/deployments/a/versions/v1.zip": package}))
    assert done.status == "completed"
    [built] = project.api.builds_list("lab", "a", "v1")
    assert "leads out of it" in project.wait_for_build(built.id, "v1", "a").error_message
    assert [*tmp_path.rglob("climbed.py")] == []


def test_symbolic_links_in_a_package_lead_nowhere(project: TestProject, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")

    def archive(*others: str) -> io.BytesIO:
        packed = make_zip({"deployment.py": DOUBLE})
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        with zipfile.ZipFile(packed, "a") as package:
            package.writestr(link, str(outside))
            for other in others:
                package.writestr(other, "written")
        return packed

    project.create_deployment()
    built = build(project, archive())
    unpacked = tmp_path / "data" / "packages" / built.revision / "link"
    assert built.status == "success"
    assert not unpacked.is_symlink()
    assert unpacked.read_text() == str(outside)
    assert "can't be unpacked" in build(project, archive("link/secret", "link/new"), "v2").error_message
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"secret": "secret"}


# Names of files


def test_names_in_a_bucket_climb_nowhere(project: TestProject, tmp_path: Path) -> None:
    """Neither where contents are kept, nor where code finds them that takes one as its input."""
    code = """
        class Deployment:
            def request(self, data):
                return {"path": data["f"], "text": open(data["f"]).read()}
    """
    project.deploy(
        code,
        input_fields=[{"name": "f", "data_type": "file"}],
        output_fields=[{"name": "path", "data_type": "string"}, {"name": "text", "data_type": "string"}],
    )
    names = ["../../climbed", "..%2f..%2fclimbed", "/climbed", "a\\..\\..\\climbed", "../.."]
    for name in names:
        url = project.api.files_upload("lab", "default", name).url
        http = urllib3.PoolManager()
        assert http.request("PUT", url, body=name.encode()).status == 200
        assert http.request("GET", project.api.files_download("lab", "default", name).url).data == name.encode()
        result = project.request({"f": f"ubiops-file://default/{name}"})
        assert result["text"] == name
        assert Path(result["path"]).resolve().is_relative_to((tmp_path / "data" / "storage" / "work").resolve())
    assert {file.file for file in project.api.files_list("lab", "default").files} == set(names)
    assert [*tmp_path.glob("*climbed*"), *(tmp_path / "data").glob("*climbed*")] == []


# A full disk


class _Full:
    """A file on a disk that is full after its first bytes."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, block: Any) -> int:
        self._file.write(bytes(block[:3]))
        raise OSError(errno.ENOSPC, "No space left on device")


def _fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each content and zip be cut after its first bytes.

    The real writes, since a disk can't be made small without being root; all else of the emulator stays as it is.
    """
    copy, write = shutil.copyfileobj, contents._write
    monkeypatch.setattr(shutil, "copyfileobj", lambda source, target, *length: copy(source, _Full(target), *length))
    monkeypatch.setattr(contents, "_write", lambda file, block: write(_Full(file), block))


def test_a_full_disk_leaves_nothing_half_written(
    emulator: Emulator, project: TestProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project.deploy()
    project.api.api_client.configuration.retries = False
    http = urllib3.PoolManager(retries=False)
    url = project.api.files_upload("lab", "default", "a").url
    kept = {path for path in (tmp_path / "data").rglob("*") if path.is_file()}
    calls: list[Any] = [
        lambda: project.api.blobs_create("lab", file=io.BytesIO(b"content")),
        lambda: project.api.revisions_file_upload("lab", "model", "v1", file=make_zip({"deployment.py": DOUBLE})),
        lambda: project.api.imports_create("lab", file=make_zip(FILES)),
    ]
    with monkeypatch.context() as full:
        _fill(full)
        answer = http.request("PUT", url, body=b"content")
        assert (answer.status, "no room left on its disk" in answer.json()["error"]) == (507, True)
        for call in calls:
            with pytest.raises(ubiops.ApiException, match="no room left on its disk") as caught:
                call()
            assert caught.value.status == 507
        goes_on(project)
        assert project.request({"x": 2}) == {"y": 4}
    assert {path for path in (tmp_path / "data").rglob("*") if path.is_file()} - kept == set()
    assert project.api.files_list("lab", "default").files == []
    assert project.api.blobs_list("lab") == project.api.imports_list("lab") == []
    # And once there is room again, the same calls are carried out.
    assert http.request("PUT", url, body=b"content").status == 200
    for call in calls:
        call()


def test_a_full_disk_fails_a_build_and_an_export(
    emulator: Emulator, project: TestProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.deploy()
    upload = project.api.revisions_file_upload("lab", "model", "v1", file=make_zip({"deployment.py": DOUBLE}))
    project.wait_for_build(upload.build)
    packages = emulator._engine.packages
    with monkeypatch.context() as full:
        # Only what unpacks and packs, as the upload itself went well before.
        full.setattr(zipfile.ZipFile, "extractall", _raise_full)
        full.setattr(zipfile.ZipFile, "write", _raise_full)
        failed = project.upload({"deployment.py": DOUBLE})
        assert failed.error_message.startswith("The package can't be unpacked: [Errno 28]")
        assert not packages.unpacked(failed.revision).exists()
        export = project.api.exports_create("lab", {"deployments": {"model": {"versions": {"v1": {}}}}})
        ended = wait_until(lambda: project.api.exports_get("lab", export.id), lambda each: each.status == "failed")
        assert ended.error_message
        assert not packages.archive(export.id).exists()
    assert project.request({"x": 2}) == {"y": 4}
    assert project.upload({"deployment.py": DOUBLE}).status == "success"


def _raise_full(*_arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_of_the_database_is_507(emulator: Emulator, project: TestProject) -> None:
    engine = emulator._store.new_session.kw["bind"]

    def limit(pages: int) -> Callable[[Any, object, object], None]:
        return lambda connection, _record, _proxy: connection.execute(f"PRAGMA max_page_count = {pages}")

    fields = [{"name": f"field{number}", "data_type": "double"} for number in range(2000)]
    # SQLite's own bound, which it meets as it meets the end of a disk; 1 stands for the size that it has.
    full, free = limit(1), limit(2**30)
    event.listen(engine, "checkout", full)
    with pytest.raises(ubiops.ApiException, match="no room left on its disk") as caught:
        project.create_deployment(input_fields=fields)
    assert caught.value.status == 507
    assert project.api.deployments_list("lab") == []
    event.remove(engine, "checkout", full)
    event.listen(engine, "checkout", free)
    assert project.create_deployment(input_fields=fields).name == "model"
