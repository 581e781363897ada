"""Files in requests: fetched for the user's code, kept when it returns them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from test.each import each
from test.emulator.project import TestProject
from test.emulator.test_storage import contents, error_of, named, read_blob, upload
from ubiops.emulator import Emulator
from ubiops.exceptions import BadRequestError
from ubiops.utils import download_file

FILE_IN: dict[str, Any] = {"input_fields": [{"name": "photo", "data_type": "file"}]}
FILE_OUT: dict[str, Any] = {"output_fields": [{"name": "out", "data_type": "file"}]}

READ = """
    import os

    class Deployment:
        def request(self, data):
            with open(data["photo"]) as file:
                return {"y": f"{os.path.basename(data['photo'])} {file.read()} {os.path.isabs(data['photo'])}"}
"""

WRITE = """
    import json, pathlib

    class Deployment:
        def request(self, data):
            data = json.loads(data)
            for path, text in data["write"].items():
                pathlib.Path(path).write_text(text)
            return {"out": data["give"]}
"""
TEXT_OUT: dict[str, Any] = {"output_fields": [{"name": "y", "data_type": "string"}]}


@pytest.fixture
def reader(project: TestProject) -> TestProject:
    project.deploy(READ, **FILE_IN, **TEXT_OUT)
    return project


@pytest.fixture
def writer(project: TestProject) -> TestProject:
    """A deployment that returns what it is told, and so takes what the checks of the input don't know."""
    project.deploy(WRITE, input_type="plain", input_fields=[], **FILE_OUT)
    return project


def read(project: TestProject, uri: str, tmp_path: Path) -> str:
    return Path(download_file(project.api, project.name, file_uri=uri, output_path=str(tmp_path))).read_text()


def write(project: TestProject, give: Any, **files: str) -> Any:

    return project.request(json.dumps({"write": files, "give": give}))["out"]


def test_a_file_is_fetched(reader: TestProject, emulator: Emulator) -> None:
    uri = upload(reader, "2022/cat.txt", b"meow")
    assert reader.request({"photo": uri}) == {"y": "cat.txt meow True"}
    assert list((emulator._engine.storage.path("x").parents[1] / "work").iterdir()) == []


def test_each_item_of_a_list_has_its_file(reader: TestProject) -> None:
    uris = [upload(reader, name, name.encode()) for name in ("a", "b", "dir/a")]
    answers = reader.request([{"photo": uri} for uri in uris])
    assert [answer["y"] for answer in answers] == ["a a True", "b b True", "a dir/a True"]


def test_in_a_batch(reader: TestProject) -> None:
    uri = upload(reader, "a", b"x")
    (created,) = reader.api.batch_deployment_requests_create(reader.name, "model", [{"photo": uri}])
    request = reader.finished([created.id])[created.id]
    # The request shows the URI, as it was given, and not the local path.
    assert (request.result, request.request_data) == ({"y": "a x True"}, {"photo": uri})


def test_a_blob_is_fetched(reader: TestProject) -> None:
    blob = reader.api.blobs_create(reader.name, file=named(b"x", "cat.txt"))
    assert reader.request({"photo": blob.id}) == {"y": "cat.txt x True"}


def test_a_name_too_long_for_a_file_system(reader: TestProject) -> None:
    uri = upload(reader, "x" * 500 + ".txt", b"meow")
    assert reader.request({"photo": uri})["y"].split()[0] == "x" * 251 + ".txt"


@each("value", ["cat.txt", "/etc/passwd", "ubiops-file://default", "ubiops-file://default/", "ubiops-file:///a", ""])
def test_what_is_no_file_is_refused_before_the_run(reader: TestProject, value: str) -> None:
    message = error_of(reader.request, {"photo": value})
    assert "'photo' must be ubiops-file://bucket/file or the id of a blob" in message
    assert reader.api.deployment_requests_list(reader.name, "model") == []


def test_a_wrong_item_of_a_list_is_named(reader: TestProject) -> None:
    uri = upload(reader, "a")
    assert "'1/photo'" in error_of(reader.request, [{"photo": uri}, {"photo": "a"}])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ubiops-file://default/none", "The file 'none' was not found in the bucket 'default'"),
        ("ubiops-file://none/a", "The bucket 'none' was not found"),
        ("11111111-2222-4333-8444-555555555555", "The blob '11111111-2222-4333-8444-555555555555' was not found"),
    ],
)
def test_a_file_that_is_not_there_fails_the_request(reader: TestProject, value: str, words: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        reader.request({"photo": value})
    assert f"The input field 'photo' can't be read: {words}" in str(caught.value)
    (request,) = reader.api.deployment_requests_list(reader.name, "model")
    assert (request.status, request.success) == ("failed", False)


def test_code_can_change_its_copy_only(project: TestProject, tmp_path: Path) -> None:
    code = """
        class Deployment:
            def request(self, data):
                with open(data["photo"], "a") as file:
                    file.write(" changed")
                with open(data["photo"]) as file:
                    return {"y": file.read()}
    """
    project.deploy(code, **FILE_IN, **TEXT_OUT)
    uri = upload(project, "a", b"original")
    assert [project.request({"photo": uri})["y"] for _ in range(2)] == ["original changed"] * 2
    assert read(project, uri, tmp_path) == "original"


def test_a_returned_file_is_kept(writer: TestProject, tmp_path: Path) -> None:
    uri = write(writer, "chart.svg", **{"chart.svg": "<svg/>"})
    (request,) = writer.api.deployment_requests_list(writer.name, "model")
    assert uri == f"ubiops-file://default/deployment_requests/{request.id}/output/chart.svg"
    assert read(writer, uri, tmp_path) == "<svg/>"
    assert writer.api.deployment_requests_get(writer.name, "model", request.id).result == {"out": uri}


def test_a_returned_file_can_have_a_target(writer: TestProject, tmp_path: Path) -> None:
    writer.api.buckets_create(writer.name, {"name": "charts", "provider": "ubiops"})
    target = {"file": "chart.svg", "bucket": "charts", "bucket_file": "2022/chart.svg"}
    for text in ("old", "new"):
        assert write(writer, target, **{"chart.svg": text}) == "ubiops-file://charts/2022/chart.svg"
        assert read(writer, "ubiops-file://charts/2022/chart.svg", tmp_path) == text


def test_a_variable_sets_the_bucket(writer: TestProject, tmp_path: Path) -> None:
    writer.api.buckets_create(writer.name, {"name": "charts", "provider": "ubiops"})
    variable = {"name": "SYS_DEFAULT_BUCKET", "value": "charts", "secret": False}
    writer.api.deployment_environment_variables_create(writer.name, "model", variable)
    assert write(writer, "a", a="x").startswith("ubiops-file://charts/")


@each(
    ("give", "words"),
    [
        ("none", "doesn't exist"),
        (".", "doesn't exist"),
        ("", "doesn't exist"),
        ("\ud800", "doesn't exist"),
        (5, "must be of type file"),
        (None, "must be of type file"),
        ({}, "a dictionary of file, bucket, bucket_file"),
        ({"file": "a", "folder": "b"}, "a dictionary of file, bucket, bucket_file"),
        ({"file": "a", "bucket": 1}, "a dictionary of file, bucket, bucket_file"),
        ({"file": "a", "bucket": "none"}, "The bucket 'none' was not found"),
        ({"file": "a", "bucket_file": "x" * 1025}, "file name"),
        ("ubiops-file://default/none", "The file 'none' was not found"),
    ],
)
def test_what_can_not_be_kept(writer: TestProject, emulator: Emulator, give: Any, words: str) -> None:
    message = error_of(write, writer, give, a="x")
    assert "output field 'out'" in message
    assert words in message
    assert contents(emulator) == []


def test_a_file_of_the_bucket_can_be_returned_as_it_is(writer: TestProject) -> None:
    uri = upload(writer, "a")
    assert write(writer, uri) == uri


def test_files_of_a_list_do_not_collide(project: TestProject, tmp_path: Path) -> None:
    code = """
        import tempfile, pathlib

        class Deployment:
            def requests(self, data):
                return [{"out": self.write(item)} for item in data]

            def write(self, text):
                path = pathlib.Path(tempfile.mkdtemp()) / "same.txt"
                path.write_text(text)
                return str(path)
    """
    project.deploy(code, input_type="plain", input_fields=[], **FILE_OUT)
    results = project.request(["one", "two"])
    assert [read(project, result["out"], tmp_path) for result in results] == ["one", "two"]
    (request,) = project.api.deployment_requests_list("lab", "model")
    folder = f"ubiops-file://default/deployment_requests/{request.id}/output"
    assert [result["out"] for result in results] == [f"{folder}/same.txt", f"{folder}/1/out/same.txt"]


def test_an_old_blob_field(project: TestProject) -> None:
    fields: Any = [{"name": "photo", "data_type": "blob"}]
    code = """
        class Deployment:
            def request(self, data):
                return {"photo": data["photo"]}
    """
    project.deploy(code, input_fields=fields, output_fields=fields)
    blob = project.api.blobs_create(project.name, file=named(b"x", "cat.txt"))
    result = project.request({"photo": blob.id})["photo"]
    assert result != blob.id
    assert read_blob(project, result) == ("cat.txt", b"x")


def test_a_crash_leaves_no_copies(project: TestProject, emulator: Emulator) -> None:
    code = """
        import os

        class Deployment:
            def request(self, data):
                os._exit(1)
    """
    project.deploy(code, **FILE_IN, **TEXT_OUT)
    uri = upload(project, "a")
    assert "stopped unexpectedly" in error_of(project.request, {"photo": uri})
    assert list((emulator._engine.storage.path("x").parents[1] / "work").iterdir()) == []


def test_files_go_through_pipelines(project: TestProject, tmp_path: Path) -> None:
    field = {"name": "photo", "data_type": "file"}
    code = """
        import pathlib

        class Deployment:
            def request(self, data):
                text = pathlib.Path(data["photo"]).read_text() + "!"
                pathlib.Path("loud.txt").write_text(text)
                return {"photo": "loud.txt"}
    """
    project.deploy(code, input_fields=[field], output_fields=[field])
    objects = [
        {"name": name, "reference_type": "deployment", "reference_name": "model", "version": "v1"}
        for name in ("first", "second")
    ]
    mapping = [{"source_field_name": "photo", "destination_field_name": "photo"}]
    attachments = [
        {"destination_name": destination, "sources": [{"source_name": source, "mapping": mapping}]}
        for source, destination in [("pipeline_start", "first"), ("first", "second"), ("second", "pipeline_end")]
    ]
    pipeline = {
        "name": "shout",
        "input_type": "structured",
        "output_type": "structured",
        "input_fields": [field],
        "output_fields": [field],
    }
    project.api.pipelines_create(project.name, pipeline)
    version = {"version": "v1", "objects": objects, "attachments": attachments}
    project.api.pipeline_versions_create(project.name, "shout", version)
    uri = upload(project, "a.txt", b"meow")
    result = project.api.pipeline_requests_create(project.name, "shout", {"photo": uri}).result
    assert read(project, result["photo"], tmp_path) == "meow!!"
