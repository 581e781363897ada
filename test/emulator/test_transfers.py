"""Exports and imports."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import select

import ubiops
from test.emulator.project import DOUBLE, TestProject, make_zip, wait_until
from ubiops.emulator import Emulator
from ubiops.emulator import bundle as bundle_module
from ubiops.emulator.handlers import imports
from ubiops.emulator.tables import Transfer

ALL = {
    "deployments": {
        "model": {
            "versions": {"v1": {"environment_variables": {"LOCAL": {"include_value": True}}}, "v2": {}},
            "environment_variables": {"TOKEN": {"include_value": True}, "PLAIN": {"include_value": False}},
        }
    },
    "environment_variables": {"SHARED": {"include_value": True}},
}
"""What `fill` makes."""

VALUES = {"environment_variables": {"TOKEN": {"value": "t"}, "PLAIN": {"value": "p"}}}


def fill(project: TestProject) -> None:
    """A deployment with two versions, the second without a package, and variables on each level."""
    api = project.api
    project.deploy(labels={"team": "a"}, description="doubles")
    project.create_version("v2", maximum_instances=2, labels={"stage": "test"})
    api.project_environment_variables_create("lab", {"name": "SHARED", "value": "s", "secret": False})
    api.deployment_environment_variables_create("lab", "model", {"name": "TOKEN", "value": "hidden", "secret": True})
    api.deployment_environment_variables_create("lab", "model", {"name": "PLAIN", "value": "p", "secret": False})
    api.deployment_version_environment_variables_create(
        "lab", "model", "v1", {"name": "LOCAL", "value": "l", "secret": False}
    )


def export(project: TestProject, data: Mapping[str, Any] = ALL) -> Any:
    created = project.api.exports_create("lab", data)
    return settled(lambda: project.api.exports_get("lab", created.id))


def settled(ask: Any) -> Any:
    return wait_until(ask, lambda transfer: transfer.status in ("confirmation", "completed", "failed"))


def test_an_export_can_be_described(project: TestProject) -> None:
    export(project, {"description": "Before the move"})
    [listed] = project.api.exports_list("lab")
    assert listed.description == "Before the move"


@pytest.mark.usefixtures("deployed")
def test_services_and_newer_settings_go_along(project: TestProject, other: TestProject) -> None:
    port: dict[str, Any] = {"public_port": 49152, "deployment_port": 7000, "protocol": "tcp"}
    project.create_version("v2", maximum_queue_size=7, scaling_strategy="moderate", instance_processes=2, ports=[port])
    service = {"name": "page", "deployment": "model", "version": "v2", "port": 8080, "rate_limit": 10}
    project.api.services_create("lab", service)
    created = project.api.exports_create("lab", {}, all=True)
    done = settled(lambda: project.api.exports_get("lab", created.id))
    assert done.services["page"]["rate_limit"] == 10
    read = bring_in(other, download(project, done.id))
    assert read.services == done.services
    # What the confirmation leaves out is left out, and what it changes is changed: of a public port there is one.
    assert read.deployments["model"]["versions"]["v2"]["ports"] == [port]
    port["public_port"] += 1
    read.deployments["model"]["versions"]["v2"]["ports"] = [port]
    changed = {"deployments": read.deployments, "services": {"page": {"rate_limit": 20}}}
    assert confirm(other, read.id, changed).status == "completed"
    version = other.api.deployment_versions_get("other", "model", "v2")
    assert (version.maximum_queue_size, version.scaling_strategy, version.instance_processes) == (7, "moderate", 2)
    assert [found.to_dict() for found in version.ports] == [port]
    found = other.api.services_get("other", "page")
    assert (found.version, found.port, found.rate_limit, found.rate_limit_user_default) == ("v2", 8080, 20, None)


def download(project: TestProject, export_id: str) -> io.BytesIO:
    with project.api.exports_download("lab", export_id) as response:
        return io.BytesIO(response.read())


def bring_in(project: TestProject, archive: io.BytesIO, **options: Any) -> Any:
    archive.name = "import.zip"
    archive.seek(0)
    created = project.api.imports_create(project.name, file=archive, **options)
    return settled(lambda: project.api.imports_get(project.name, created.id))


def confirm(project: TestProject, import_id: str, data: Mapping[str, Any]) -> Any:
    project.api.imports_update(project.name, import_id, data)
    return settled(lambda: project.api.imports_get(project.name, import_id))


@pytest.fixture
def other(project: TestProject) -> TestProject:
    project.api.projects_create({"name": "other", "organization_name": "emulator"})
    return TestProject(project.api, "other")


def bundle(files: Mapping[str, Any]) -> io.BytesIO:
    info = {"root/info.yaml": {"format_spec": "v1.0"}}
    return make_zip({name: yaml.safe_dump(data) for name, data in {**info, **files}.items()})


MODEL = {
    "deployment_name": "model",
    "input_type": "structured",
    "output_type": "structured",
    "input_fields": [{"name": "x", "data_type": "double"}],
    "output_fields": [{"name": "y", "data_type": "double"}],
}


def test_an_export_is_a_zip_of_what_was_asked_for(project: TestProject) -> None:
    fill(project)
    done = export(project)
    assert (done.status, done.error_message) == ("completed", "")
    assert done.exported_by == "admin@emulator.local"
    archive = download(project, done.id)
    assert done.size == len(archive.getvalue())
    with zipfile.ZipFile(archive) as files:
        assert sorted(files.namelist()) == [
            "export/deployments/deployment_model/deployment_model.yaml",
            "export/deployments/deployment_model/versions/deployment_model_version_v1.yaml",
            "export/deployments/deployment_model/versions/deployment_model_version_v1.zip",
            "export/deployments/deployment_model/versions/deployment_model_version_v2.yaml",
            "export/environment_variables.yaml",
            "export/info.yaml",
        ]
        info = yaml.safe_load(files.read("export/info.yaml"))
        model = yaml.safe_load(files.read("export/deployments/deployment_model/deployment_model.yaml"))
        package = io.BytesIO(files.read("export/deployments/deployment_model/versions/deployment_model_version_v1.zip"))
    assert info["format_spec"] == "v1.0"
    assert model["deployment_name"] == "model"
    assert model["deployment_labels"] == {"team": "a"}
    assert model["default_version"] == "v1"
    # The value of a secret is never exported, nor one that was not asked for.
    assert model["deployment_environment_variables"] == [
        {"name": "TOKEN", "secret": True},
        {"name": "PLAIN", "secret": False},
    ]
    with zipfile.ZipFile(package) as files:
        assert files.namelist() == ["deployment.py"]
    assert done.deployments["model"]["versions"]["v2"]["maximum_instances"] == 2
    assert done.environment_variables == {"SHARED": {"secret": False, "value": "s"}}


@pytest.mark.parametrize(
    "data",
    [
        {"deployments": {"nothing": {}}},
        {"deployments": {"model": {"versions": {"nothing": {}}}}},
        {"deployments": {"model": {"environment_variables": {"NOTHING": {}}}}},
        {"pipelines": {"nothing": {}}},
        {"environment_variables": {"NOTHING": {}}},
    ],
)
def test_what_is_exported_must_be_there(project: TestProject, data: dict[str, Any]) -> None:
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.NotFoundError, match="not found"):
        project.api.exports_create("lab", data)
    assert project.api.exports_list("lab") == []


def test_transfers_are_listed_by_status(project: TestProject) -> None:
    done = export(project, {})
    assert [each.id for each in project.api.exports_list("lab")] == [done.id]
    assert [each.id for each in project.api.exports_list("lab", status="completed")] == [done.id]
    assert project.api.exports_list("lab", status="failed") == []
    with pytest.raises(ubiops.exceptions.BadRequestError, match="status: it must be one of pending, processing"):
        project.api.exports_list("lab", status="confirmation")
    imported = bring_in(project, download(project, done.id))
    assert [each.id for each in project.api.imports_list("lab", status="confirmation")] == [imported.id]
    assert [each.id for each in project.api.imports_list("lab")] == [imported.id]


def test_deleted_transfers_are_404(project: TestProject, emulator: Emulator) -> None:
    exported = export(project, {})
    imported = bring_in(project, download(project, exported.id))
    project.api.exports_delete("lab", exported.id)
    project.api.imports_delete("lab", imported.id)
    calls = [project.api.exports_get, project.api.exports_delete, project.api.exports_download]
    for call in calls:
        with pytest.raises(ubiops.exceptions.NotFoundError):
            call("lab", exported.id)
    for call in (project.api.imports_get, project.api.imports_delete, project.api.imports_download):
        with pytest.raises(ubiops.exceptions.NotFoundError):
            call("lab", imported.id)
    assert list(emulator._engine.packages.archive("x").parent.iterdir()) == []


def test_a_project_goes_round(project: TestProject, other: TestProject) -> None:
    fill(project)
    archive = download(project, export(project).id)
    waiting = bring_in(other, archive)
    assert (waiting.status, waiting.size) == ("confirmation", len(archive.getvalue()))
    assert waiting.imported_by == "admin@emulator.local"
    found = waiting.deployments["model"]
    assert found["versions"]["v1"]["zip"].endswith("versions/deployment_model_version_v1.zip")
    data = {
        "deployments": {"model": {**found, **VALUES}},
        "environment_variables": {**waiting.environment_variables, "EXTRA": {"value": "e"}},
    }
    done = confirm(other, waiting.id, data)
    assert (done.status, done.error_message) == ("completed", "")
    api = other.api
    label = {"import": waiting.id}
    deployment = api.deployments_get("other", "model")
    assert (deployment.labels, deployment.description) == ({"team": "a", **label}, "doubles")
    assert deployment.default_version == "v1"
    version = api.deployment_versions_get("other", "model", "v2")
    assert (version.maximum_instances, version.labels) == (2, {"stage": "test", **label})
    names = {
        each.name: each.value for each in api.deployment_version_environment_variables_list("other", "model", "v1")
    }
    assert names == {"EXTRA": "e", "LOCAL": "l", "PLAIN": "p", "SHARED": "s", "TOKEN": None}
    [build] = api.builds_list("other", "model", "v1")
    assert other.wait_for_build(build.id).status == "success"
    assert other.request({"x": 4}) == {"y": 8}


def test_objects_left_out_are_not_imported(project: TestProject, other: TestProject) -> None:
    fill(project)
    waiting = bring_in(other, download(project, export(project).id))
    done = confirm(other, waiting.id, {"deployments": {"model": {"versions": {"v2": {"description": "changed"}}}}})
    assert done.status == "completed"
    assert list(done.deployments["model"]["versions"]) == ["v2"]
    [version] = other.api.deployment_versions_list("other", "model")
    assert (version.version, version.description, version.maximum_instances) == ("v2", "changed", 2)
    assert other.api.project_environment_variables_list("other") == []


@pytest.mark.usefixtures("deployed")
def test_without_confirmation_everything_is_imported_at_once(project: TestProject, other: TestProject) -> None:
    exported = export(project, {"deployments": {"model": {"versions": {"v1": {}}}}})
    done = bring_in(other, download(project, exported.id), skip_confirmation=True)
    assert (done.status, done.error_message) == ("completed", "")
    assert [each.version for each in other.api.deployment_versions_list("other", "model")] == ["v1"]


@pytest.mark.usefixtures("deployed")
def test_an_import_of_an_export_by_its_id(project: TestProject) -> None:
    exported = export(project, {"deployments": {"model": {"versions": {"v1": {}}}}})
    project.api.deployments_delete("lab", "model")
    created = project.api.imports_create("lab", export_id=exported.id, skip_confirmation=True)
    assert (created.status, created.size) == ("pending", exported.size)
    assert settled(lambda: project.api.imports_get("lab", created.id)).status == "completed"
    assert [each.name for each in project.api.deployments_list("lab")] == ["model"]
    with project.api.imports_download("lab", created.id) as response:
        assert response.getfilename() == f"import_{created.id}.zip"
        assert response.read() == download(project, exported.id).getvalue()
    with pytest.raises(ubiops.exceptions.NotFoundError):
        project.api.imports_create("lab", export_id="nothing")


def test_a_value_that_is_missing_must_be_given(project: TestProject, other: TestProject) -> None:
    fill(project)
    archive = download(project, export(project).id)
    waiting = bring_in(other, archive)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="'TOKEN' has no value in the file"):
        other.api.imports_update("other", waiting.id, {"deployments": waiting.deployments})
    assert other.api.imports_get("other", waiting.id).status == "confirmation"
    failed = bring_in(other, archive, skip_confirmation=True)
    assert failed.status == "failed"
    assert "'TOKEN' has no value" in failed.error_message
    assert other.api.deployments_list("other") == []


def test_only_what_waits_for_it_can_be_confirmed(project: TestProject) -> None:
    waiting = bring_in(project, bundle({}))
    assert confirm(project, waiting.id, {}).status == "completed"
    with pytest.raises(ubiops.exceptions.BadRequestError, match="The import is completed"):
        project.api.imports_update("lab", waiting.id, {})


def test_only_what_is_in_the_file_can_be_confirmed(project: TestProject) -> None:
    waiting = bring_in(project, bundle({"root/deployments/a/model.yaml": MODEL}))
    for data, problem in (
        ({"deployments": {"nothing": {}}}, "the import has no 'nothing'"),
        ({"deployments": {"model": {"versions": {"v9": {}}}}}, "the import has no 'v9'"),
        ({"pipelines": {"model": {}}}, "the import has no 'model'"),
        ({"deployments": {"model": "all"}}, "must be a dictionary of dictionaries"),
    ):
        with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
            project.api.imports_update("lab", waiting.id, data)


def test_an_import_fails_as_a_whole(project: TestProject, emulator: Emulator) -> None:
    project.create_deployment("taken")
    files = {
        "root/deployments/a/model.yaml": MODEL,
        "root/deployments/a/versions/v1.yaml": {"version_name": "v1"},
        "root/deployments/a/versions/v1.zip": make_zip({"deployment.py": DOUBLE}).read(),
        "root/deployments/b/taken.yaml": {**MODEL, "deployment_name": "taken"},
    }
    failed = bring_in(project, bundle(files), skip_confirmation=True)
    assert failed.status == "failed"
    assert "taken: A deployment named 'taken' exists already" in failed.error_message
    assert [each.name for each in project.api.deployments_list("lab")] == ["taken"]
    packages = emulator._engine.packages.archive(failed.id).parent
    assert [path.name for path in packages.iterdir()] == [f"{failed.id}.zip"]


def test_a_package_in_an_import_has_a_largest_size(project: TestProject, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2 GB are the rule, and too much for a test.
    monkeypatch.setattr(bundle_module, "MAXIMUM_ZIP_SIZE", 10)
    files = {
        "root/deployments/a/model.yaml": MODEL,
        "root/deployments/a/versions/v1.yaml": {"version_name": "v1"},
        "root/deployments/a/versions/v1.zip": make_zip({"deployment.py": DOUBLE}).read(),
    }
    failed = bring_in(project, bundle(files), skip_confirmation=True)
    assert failed.status == "failed"
    assert failed.error_message.startswith("The package deployments/a/versions/v1.zip is larger than")
    assert project.api.deployments_list("lab") == []


@pytest.mark.parametrize(
    ("archive", "problem"),
    [
        (io.BytesIO(b"no zip"), "can't be read"),
        (make_zip({"readme.txt": "hi"}), "must have an info.yaml"),
        (make_zip({"a/info.yaml": "format_spec: v9"}), "must have the format_spec v1.0"),
        (make_zip({"a/info.yaml": "["}), "can't be read"),
        (bundle({"root/deployments/a/a.yaml": {"deployment_name": "a"}}), "lacks input_type, output_type"),
        (bundle({"root/deployments/a/a.yaml": ["a"]}), "must contain a dictionary"),
        (
            bundle({"root/deployments/a/a.yaml": MODEL, "root/deployments/b/b.yaml": MODEL}),
            "'model' occurs more than once",
        ),
        (bundle({"root/deployments/a/a.yaml": {**MODEL, "input_type": "odd"}}), "model: input_type"),
        (bundle({"root/environment_variables.yaml": {"A": "b"}}), "must be a list of dictionaries"),
    ],
)
def test_a_broken_file_fails_with_the_reason(project: TestProject, archive: io.BytesIO, problem: str) -> None:
    failed = bring_in(project, archive, skip_confirmation=True)
    assert failed.status == "failed"
    assert problem in failed.error_message


def test_exactly_one_source_is_given(project: TestProject) -> None:
    for options in (
        {},
        {"file": make_zip({}), "export_id": "e"},
        {"export_id": "e", "import_link": "http://localhost"},
    ):
        with pytest.raises(ubiops.exceptions.BadRequestError, match="exactly one of file, import_link and export_id"):
            project.api.imports_create("lab", **options)


@pytest.mark.parametrize("link", ["http://192.0.2.1/a.zip", "file:///etc/passwd", "nothing", "http://[::1"])
def test_a_link_that_leads_off_this_machine_is_400(project: TestProject, link: str) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match="import_link"):
        project.api.imports_create("lab", import_link=link)


def test_a_link_to_the_emulators_own_bucket(project: TestProject, tmp_path: Any) -> None:
    path = tmp_path / "import.zip"
    files = {"root/deployments/a/model.yaml": MODEL, "root/deployments/a/versions/v1.yaml": {"version_name": "v1"}}
    path.write_bytes(bundle(files).getvalue())
    ubiops.utils.upload_file(project.api.api_client, "lab", str(path), bucket_name="default", file_name="a/import.zip")
    link = project.api.files_download("lab", "default", "a/import.zip").url
    created = project.api.imports_create("lab", import_link=link, skip_confirmation=True)
    assert created.size is None
    done = settled(lambda: project.api.imports_get("lab", created.id))
    assert (done.status, done.error_message) == ("completed", "")
    assert done.size == path.stat().st_size
    assert project.api.deployment_versions_get("lab", "model", "v1").status == "unavailable"


def test_the_address_that_a_link_is_connected_to_is_checked(
    project: TestProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name that is another machine's when it is looked up again; no other machine is at hand.
    near = iter([True, False])
    monkeypatch.setattr(imports, "is_loopback", lambda _address: next(near))
    created = project.api.imports_create("lab", import_link=project.api.api_client.configuration.host)
    failed = settled(lambda: project.api.imports_get("lab", created.id))
    assert (failed.status, "the link leads off this machine" in failed.error_message) == ("failed", True)


def test_a_link_that_can_not_be_followed_is_kept_nowhere(project: TestProject, emulator: Emulator) -> None:
    created = project.api.imports_create("lab", import_link="http://127.0.0.1/a b?signature=s3cret")
    failed = settled(lambda: project.api.imports_get("lab", created.id))
    assert failed.error_message == "The file behind the link can't be fetched: the link or its answer is not valid"
    with emulator._engine.store.session() as session:
        assert session.scalars(select(Transfer.link)).all() == [None]


def test_a_link_that_never_ends_does_not_hold_up_the_end(tmp_path: Path) -> None:
    left = threading.Event()
    begun = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            # Not for ever, so that a test that fails ends.
            for _ in range(1000):
                connection.sendall(b"x")
                begun.set()
                time.sleep(0.01)
            return
        left.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        dripping = threading.Thread(target=drip)
        dripping.start()
        with Emulator(data_dir=tmp_path, project="lab") as emulator, emulator.client().api_client as client:
            ubiops.CoreApi(client).imports_create("lab", import_link=f"http://127.0.0.1:{server.getsockname()[1]}/")
            begun.wait()
        dripping.join()
    assert left.is_set()


def test_a_link_that_leads_nowhere_fails(project: TestProject) -> None:
    created = project.api.imports_create("lab", import_link=f"{project.api.api_client.configuration.host}/nothing")
    failed = settled(lambda: project.api.imports_get("lab", created.id))
    assert failed.status == "failed"
    assert "can't be fetched" in failed.error_message
    with pytest.raises(ubiops.exceptions.BadRequestError, match="has no file to download"):
        project.api.imports_download("lab", created.id)


def test_pipelines_go_round(project: TestProject, other: TestProject) -> None:
    api = project.api
    project.deploy(DOUBLE)
    fields = {key: MODEL[key] for key in ("input_type", "output_type", "input_fields", "output_fields")}
    for name, reference in (("inner", "deployment"), ("outer", "pipeline")):
        api.pipelines_create("lab", {"name": name, **fields})
        target = {"deployment": "model", "pipeline": "inner"}[reference]
        step = {"name": "step", "reference_type": reference, "reference_name": target}
        version = {"version": "v1", "objects": [step], "attachments": attachments()}
        api.pipeline_versions_create("lab", name, version)
    data: dict[str, Any] = {
        "deployments": {"model": {"versions": {"v1": {}}}},
        "pipelines": {"outer": {"versions": {"v1": {}}}, "inner": {"versions": {"v1": {}}}},
    }
    done = bring_in(other, download(project, export(project, data).id), skip_confirmation=True)
    assert (done.status, done.error_message) == ("completed", "")
    [build] = api.builds_list("other", "model", "v1")
    assert other.wait_for_build(build.id).status == "success"
    outer = api.pipelines_get("other", "outer")
    assert (outer.default_version, outer.labels) == ("v1", {"import": done.id})
    assert api.pipeline_requests_create("other", "outer", {"x": 4}).result == {"y": 8}


def attachments() -> list[dict[str, Any]]:
    def attach(source: str, destination: str, field: str) -> dict[str, Any]:
        mapping = [{"source_field_name": field, "destination_field_name": field}]
        return {"destination_name": destination, "sources": [{"source_name": source, "mapping": mapping}]}

    return [attach("pipeline_start", "step", "x"), attach("step", "pipeline_end", "y")]


def test_what_was_not_done_goes_on_after_a_restart(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, project="lab", token="t") as emulator:
        project = TestProject(emulator.client(), "lab")
        project.deploy()
        waiting = bring_in(project, bundle({}))
        # Stopped at once: how far they come is left to chance.
        exported = project.api.exports_create("lab", {"deployments": {"model": {"versions": {"v1": {}}}}})
        imported = project.api.imports_create(
            "lab", file=bundle({"root/deployments/a/a.yaml": {**MODEL, **OTHER_NAME}})
        )
        project.api.api_client.close()
    with Emulator(data_dir=tmp_path, token="t") as emulator:
        api = emulator.client()
        assert settled(lambda: api.exports_get("lab", exported.id)).status == "completed"
        assert settled(lambda: api.imports_get("lab", imported.id)).status == "confirmation"
        assert list(api.imports_get("lab", imported.id).deployments or ()) == ["other"]
        assert api.imports_get("lab", waiting.id).status == "confirmation"
        api.api_client.close()


OTHER_NAME = {"deployment_name": "other"}


def test_transfers_are_audited(project: TestProject) -> None:
    exported = export(project, {})
    download(project, exported.id)
    project.api.exports_delete("lab", exported.id)
    events = project.api.project_audit_events_list("lab")
    done = {(event.action, event.event) for event in events}
    assert {
        ("create", f"Created export {exported.id}"),
        ("info", f"Downloaded export {exported.id}"),
        ("delete", f"Deleted export {exported.id}"),
    } <= done
