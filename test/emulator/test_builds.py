"""Revisions and builds: what a package must be, and how a version becomes available."""

from __future__ import annotations

import os
import shutil
import textwrap
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.project import DOUBLE, TestProject, make_zip, wait_until
from ubiops.emulator import Emulator
from ubiops.emulator.execution import packages as zips
from ubiops.emulator.handlers import uploads

BROKEN = "raise ValueError('broken at import')"


@pytest.fixture
def bare(project: TestProject) -> TestProject:
    project.create_deployment()
    project.create_version("v1", language="python3.10")
    return project


def test_a_build_makes_its_version_available(bare: TestProject) -> None:
    before = bare.api.deployment_versions_get("lab", "model", "v1")
    build = bare.upload({"deployment.py": DOUBLE})
    after = bare.api.deployment_versions_get("lab", "model", "v1")
    assert (build.status, build.error_message, build.trigger) == ("success", "", "Deployment file upload")
    assert (build.has_request_method, build.has_requests_method) == (True, False)
    assert (before.status, after.status) == ("unavailable", "available")
    assert (after.active_revision, after.latest_build) == (build.revision, build.id)
    assert (after.has_request_method, after.has_requests_method) == (True, False)
    assert before.last_file_uploaded is None
    assert after.creation_date < after.last_file_uploaded <= after.last_updated


def test_without_a_build_there_are_no_requests(bare: TestProject) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match="The version 'v1' is unavailable"):
        bare.request({"x": 1})
    with pytest.raises(ubiops.exceptions.BadRequestError, match="The version 'v1' is unavailable"):
        bare.api.batch_deployment_requests_create("lab", "model", [{"x": 1}])


@pytest.mark.parametrize(
    "files",
    [
        {"deployment.py": DOUBLE},
        {"any-name/deployment.py": DOUBLE},
        {"deployment_package/deployment.py": DOUBLE, "other/deployment.py": BROKEN},
        {"package/deployment.py": DOUBLE, "__MACOSX/package/deployment.py": BROKEN},
    ],
)
def test_where_the_code_may_be(bare: TestProject, files: dict[str, str]) -> None:
    assert bare.upload(files).error_message == ""
    assert bare.request({"x": 2}) == {"y": 4}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "The package has no deployment.py at its top level, and no single folder that could have it"),
        ({"a/x.py": "", "b/deployment.py": DOUBLE}, "and no single folder that could have it"),
        ({"package/model.py": DOUBLE}, "The package has no deployment.py in its folder package"),
        ({"deployment.py": "import notthere"}, "No module named 'notthere'"),
        ({"deployment.py": "def"}, "Failed to load deployment package: SyntaxError: invalid syntax"),
        ({"deployment.py": BROKEN}, "Failed to load deployment package: ValueError: broken at import"),
        ({"deployment.py": "class Model: pass"}, "deployment.py has no class Deployment"),
        ({"deployment.py": "class Deployment: pass"}, "has neither a method request nor a method requests"),
        ({"deployment.py": "import os; os._exit(3)"}, "The instance stopped unexpectedly (exit code 3)"),
        ({"../deployment.py": DOUBLE}, "an entry that leads out of it: ../deployment.py"),
        ({"/etc/deployment.py": DOUBLE}, "an entry that leads out of it: /etc/deployment.py"),
        ({"a\\..\\..\\b.py": DOUBLE}, "an entry that leads out of it"),
        ({"deployment.py": DOUBLE, "a/" * 201 + "b.py": ""}, "has an entry below more than 200 folders: a/a/"),
    ],
)
def test_what_fails_a_build(bare: TestProject, files: dict[str, str], problem: str) -> None:
    build = bare.upload(files)
    assert build.status == "failed"
    assert problem in build.error_message
    assert build.has_request_method is None
    assert bare.api.deployment_versions_get("lab", "model", "v1").status == "unavailable"


def test_an_initialization_that_fails_says_why(bare: TestProject) -> None:
    code = """
        class Failure(Exception):
            public_error_message = "No licence"

        class Deployment:
            def __init__(self):
                raise Failure("internal")

            def request(self, data): ...
    """
    build = bare.upload({"deployment.py": code})
    assert build.error_message == "Failed to initialize deployment: No licence"
    assert any("Failure: internal" in line for line in bare.log(build_id=build.id))


def test_a_damaged_zip_fails_its_build(bare: TestProject) -> None:
    archive = make_zip({"deployment.py": DOUBLE})
    content = bytearray(archive.getvalue())
    content[40] ^= 0xFF
    archive.seek(0)
    archive.write(content)
    archive.seek(0)
    upload = bare.api.revisions_file_upload("lab", "model", "v1", file=archive)
    build = bare.wait_for_build(upload.build)
    assert build.error_message.startswith("The package can't be unpacked")


def test_a_bomb_fails_its_build(bare: TestProject) -> None:
    archive = make_zip({"deployment.py": DOUBLE})
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("zeros", b"")
        package.infolist()[-1].file_size = 2**40
    archive.seek(0)
    build = bare.wait_for_build(bare.api.revisions_file_upload("lab", "model", "v1", file=archive).build)
    assert build.error_message == "The package takes more than 8 GiB when unpacked"


def test_a_zip_of_too_many_files_fails_its_build(bare: TestProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "_MOST_ENTRIES", 3)
    build = bare.upload({"deployment.py": DOUBLE, "a": "", "b": "", "c": ""})
    assert build.error_message == "The package has more than 3 entries"
    assert bare.upload({"deployment.py": DOUBLE, "a": "", "b": ""}).status == "success"


def test_a_file_without_a_name_fails_its_build(bare: TestProject) -> None:
    archive = make_zip({"deployment.py": DOUBLE})
    with zipfile.ZipFile(archive, "a") as package:
        package.writestr("name", b"")
        package.infolist()[-1].filename = ""
    archive.seek(0)
    build = bare.wait_for_build(bare.api.revisions_file_upload("lab", "model", "v1", file=archive).build)
    assert build.error_message == "The package has an entry without a name"


def test_r_is_not_run(project: TestProject) -> None:
    project.create_deployment()
    project.create_version("v1", language="r4.0")
    assert project.upload({"deployment.R": ""}).error_message == "The emulator runs Python, not r4.0"


def test_a_variable_chooses_the_main_file(bare: TestProject) -> None:
    variable = {"name": "SYS_DEPLOYMENT_FILE_NAME", "value": "serve", "secret": False}
    bare.api.deployment_version_environment_variables_create("lab", "model", "v1", variable)
    assert bare.upload({"package/serve.py": DOUBLE}).status == "success"
    assert bare.request({"x": 2}) == {"y": 4}


def test_the_package_can_import_its_own_modules(bare: TestProject) -> None:
    code = """
        from helper import factor
        from vendored import offset

        class Deployment:
            def request(self, data):
                return {"y": data["x"] * factor + offset + float(open("offset.txt").read())}
    """
    files = {
        "deployment.py": code,
        "helper.py": "factor = 3",
        "libraries/vendored.py": "offset = 1",
        "offset.txt": "10",
    }
    assert bare.upload({f"p/{name}": text for name, text in files.items()}).error_message == ""
    assert bare.request({"x": 2}) == {"y": 17}


def test_after_a_failed_build_the_last_good_code_serves(bare: TestProject) -> None:
    good = bare.upload({"deployment.py": DOUBLE})
    failed = bare.upload({"deployment.py": BROKEN})
    version = bare.api.deployment_versions_get("lab", "model", "v1")
    assert (version.status, version.active_revision, version.latest_build) == ("available", good.revision, failed.id)
    assert bare.request({"x": 2}) == {"y": 4}


def test_a_version_is_building_while_it_is_built(bare: TestProject, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    slow = f"open({str(gate)!r}).read()\n" + textwrap.dedent(DOUBLE)
    for before in ("unavailable", "available"):
        assert bare.api.deployment_versions_get("lab", "model", "v1").status == before
        upload = bare.api.revisions_file_upload("lab", "model", "v1", file=make_zip({"deployment.py": slow}))
        assert bare.api.deployment_versions_get("lab", "model", "v1").status == "building"
        if before == "available":
            assert bare.request({"x": 2}) == {"y": 4}, "the code of before goes on"
        gate.write_text("")
        bare.wait_for_build(upload.build)
        bare.upload({"deployment.py": DOUBLE})
    assert bare.api.deployment_versions_get("lab", "model", "v1").status == "available"


def packages(emulator: Emulator) -> list[str]:
    return sorted(path.name for path in emulator._engine.packages.archive("x").parent.iterdir())


@pytest.mark.parametrize("kind", ["version", "deployment", "project"])
def test_packages_go_with_what_they_belong_to(bare: TestProject, emulator: Emulator, kind: str) -> None:
    builds = [bare.upload({"deployment.py": DOUBLE}) for _ in range(2)]
    bare.request({"x": 1})
    kept = sorted(name for build in builds for name in (build.revision, f"{build.revision}.zip"))
    assert packages(emulator) == kept
    if kind == "version":
        bare.api.deployment_versions_delete("lab", "model", "v1")
    elif kind == "deployment":
        bare.api.deployments_delete("lab", "model")
    else:
        export = bare.api.exports_create("lab", {"environment_variables": {}})
        wait_until(lambda: bare.api.exports_get("lab", export.id), lambda found: found.status == "completed")
        bare.api.projects_delete("lab")
    assert packages(emulator) == []


def test_packages_that_a_killed_process_left_are_swept_up(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, project="lab") as emulator, emulator.client().api_client as client:
        project = TestProject(ubiops.CoreApi(client), "lab")
        project.deploy()
        kept = packages(emulator)
        (tmp_path / "packages" / "left.zip").touch()
        (tmp_path / "packages" / "left").mkdir()
    with Emulator(data_dir=tmp_path) as emulator:
        assert packages(emulator) == kept


def test_a_package_is_copied_beside_the_event_loop(
    bare: TestProject, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def watched(copy: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            threads.append(threading.current_thread())
            return copy(*arguments)

        return call

    # Replaced to see the thread: how long it takes says nothing on a machine that is busy.
    for name in ("copyfile", "copyfileobj"):
        monkeypatch.setattr(shutil, name, watched(getattr(shutil, name)))
    source = {"source_deployment": "model", "source_version": "v1"}
    for given in ({"file": make_zip({"deployment.py": DOUBLE})}, source):
        threads.clear()
        bare.wait_for_build(bare.api.revisions_file_upload("lab", "model", "v1", **given).build)
        assert threads
        assert emulator._thread not in threads


def test_a_package_has_a_largest_size(bare: TestProject, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2 GB are the rule, and too much for a test.
    monkeypatch.setattr(uploads, "MAXIMUM_ZIP_SIZE", len(make_zip({"deployment.py": DOUBLE}).getvalue()))
    assert bare.upload({"deployment.py": DOUBLE}).status == "success"
    kept = packages(emulator)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="The file is larger than"):
        bare.upload({"deployment.py": DOUBLE, "more.txt": ""})
    assert packages(emulator) == kept


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_an_instance_that_stops_leaves_no_file_open(bare: TestProject) -> None:
    def open_files() -> list[str]:
        # Pipes and sockets of instances; connections of the client come and go.
        bare.api.service_status()
        links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
        return [target for link in links if os.path.islink(link) and (target := os.readlink(link)).startswith("pipe")]

    bare.upload({"deployment.py": DOUBLE})
    before = len(open_files())
    for _ in range(3):
        bare.upload({"deployment.py": DOUBLE})
    wait_until(open_files, lambda found: len(found) <= before)


def test_new_code_takes_over(bare: TestProject) -> None:
    bare.upload({"deployment.py": DOUBLE})
    assert bare.request({"x": 2}) == {"y": 4}
    bare.upload({"deployment.py": DOUBLE.replace("* 2", "* 3")})
    assert bare.request({"x": 2}) == {"y": 6}


def test_builds_and_revisions_are_listed_oldest_first(bare: TestProject) -> None:
    first, second = bare.upload({"deployment.py": BROKEN}), bare.upload({"deployment.py": DOUBLE})
    assert [build.id for build in bare.api.builds_list("lab", "model", "v1")] == [first.id, second.id]
    revisions = bare.api.revisions_list("lab", "model", "v1")
    assert [revision.id for revision in revisions] == [first.revision, second.revision]
    assert bare.api.revisions_get("lab", "model", second.revision, "v1") == revisions[1]
    assert (revisions[1].version, revisions[1].created_by) == ("v1", "admin@emulator.local")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="build 'x' was not found in the version 'v1'"):
        bare.api.builds_get("lab", "x", "model", "v1")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="revision 'x' was not found in the version 'v1'"):
        bare.api.revisions_get("lab", "model", "x", "v1")


def test_a_package_is_downloaded_as_it_was_uploaded(bare: TestProject) -> None:
    archive = make_zip({"deployment.py": DOUBLE})
    content = archive.getvalue()
    upload = bare.api.revisions_file_upload("lab", "model", "v1", file=archive)
    with bare.api.revisions_file_download("lab", "model", upload.revision, "v1", _preload_content=False) as download:
        assert download.getfilename() == "model_v1.zip"
        assert download.read() == content


def test_a_package_is_copied_from_another_version(bare: TestProject) -> None:
    bare.upload({"deployment.py": DOUBLE})
    bare.create_version("v2")
    copy = {"source_deployment": "model", "source_version": "v1"}
    upload = bare.api.revisions_file_upload("lab", "model", "v2", **copy)
    assert bare.wait_for_build(upload.build, "v2").status == "success"
    result = bare.api.deployment_version_requests_create("lab", "model", "v2", {"x": 5}).result
    assert result == {"y": 10}


def test_an_upload_names_one_source(bare: TestProject, tmp_path: Path) -> None:
    api = bare.api
    with pytest.raises(ubiops.exceptions.BadRequestError, match="Pass the package as the form field file"):
        api.revisions_file_upload("lab", "model", "v1")
    with pytest.raises(ubiops.exceptions.BadRequestError, match="together with source_version"):
        api.revisions_file_upload("lab", "model", "v1", source_deployment="model")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="'v1' has no package to copy"):
        api.revisions_file_upload("lab", "model", "v1", source_deployment="model", source_version="v1")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="The template 't1' was not found"):
        api.revisions_file_upload("lab", "model", "v1", template_deployment_id="t1")
    text = tmp_path / "package.zip"
    text.write_text("no zip")
    with pytest.raises(ubiops.exceptions.BadRequestError, match="The file is not a zip"):
        api.revisions_file_upload("lab", "model", "v1", file=text)
    assert api.revisions_list("lab", "model", "v1") == []
