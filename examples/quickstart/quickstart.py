"""Deploys a small model, asks it for predictions, and cleans up.

It runs against an emulator that it starts on this machine: nothing leaves it, and no account is needed. With
UBIOPS_API_TOKEN and UBIOPS_API_HOST set it runs against the real service: in a project of its own, or in the one that
UBIOPS_PROJECT names.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ubiops

PACKAGE = Path(__file__).parent / "stopping_distance"
DEPLOYMENT = "stopping-distance"
VERSION = "v1"
BUILD_TIMEOUT = 600


def main() -> None:
    with connect() as api, use_project(api) as project:
        create_deployment(api, project)
        try:
            upload_package(api, project)
            send_requests(api, project)
            send_batch(api, project)
            send_bad_requests(api, project)
        finally:
            api.deployments_delete(project, DEPLOYMENT)


@contextlib.contextmanager
def connect() -> Iterator[ubiops.CoreApi]:
    """A client of the real service where the environment names it, else of an emulator."""
    if os.environ.get("UBIOPS_API_TOKEN") and os.environ.get("UBIOPS_API_HOST"):
        with ubiops.ApiClient(ubiops.Configuration()) as client:
            yield ubiops.CoreApi(client)
        return

    from ubiops.emulator import Emulator

    with Emulator() as emulator:
        print(f"Started an emulator: {emulator.url}")
        configuration = ubiops.Configuration(host=emulator.url, api_key={"Authorization": emulator.token})
        with ubiops.ApiClient(configuration) as client:
            yield ubiops.CoreApi(client)


@contextlib.contextmanager
def use_project(api: ubiops.CoreApi) -> Iterator[str]:
    """The project that UBIOPS_PROJECT names, or a new one that is deleted in the end."""
    name = os.environ.get("UBIOPS_PROJECT")
    if name:
        yield name
        return
    organization = api.organizations_list()[0].name
    name = f"quickstart-{uuid.uuid4().hex[:8]}"
    api.projects_create(ubiops.ProjectCreate(name=name, organization_name=organization))
    print(f"Created the project {name}")
    try:
        yield name
    finally:
        api.projects_delete(name)
        print(f"Deleted the project {name}")


def create_deployment(api: ubiops.CoreApi, project: str) -> None:
    deployment = ubiops.DeploymentCreate(
        name=DEPLOYMENT,
        description="How far a car rolls until it stands",
        input_type="structured",
        input_fields=[{"name": "speed", "data_type": "double"}],
        output_type="structured",
        output_fields=[
            {"name": "distance", "data_type": "double"},
            {"name": "margin", "data_type": "double"},
            {"name": "extrapolated", "data_type": "bool"},
        ],
    )
    api.deployments_create(project, deployment)
    version = ubiops.DeploymentVersionCreate(version=VERSION, language="python3.10", instance_type="256mb")
    api.deployment_versions_create(project, DEPLOYMENT, version)
    print(f"Created the deployment {DEPLOYMENT} with the version {VERSION}")


def upload_package(api: ubiops.CoreApi, project: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = shutil.make_archive(f"{folder}/package", "zip", PACKAGE.parent, PACKAGE.name)
        upload = api.revisions_file_upload(project, DEPLOYMENT, VERSION, file=archive)
    deadline = time.monotonic() + BUILD_TIMEOUT
    while time.monotonic() < deadline:
        build = api.builds_get(project, upload.build, DEPLOYMENT, VERSION)
        if build.status == "success":
            print("Uploaded and built the package\n")
            return
        if build.status == "failed":
            raise SystemExit(f"The build failed: {build.error_message}")
        time.sleep(0.2)
    raise SystemExit(f"The build took more than {BUILD_TIMEOUT} seconds")


def send_requests(api: ubiops.CoreApi, project: str) -> None:
    print("Direct requests: each waits for its result")
    print_results(
        (speed, api.deployment_requests_create(project, DEPLOYMENT, {"speed": speed}).result) for speed in (5, 12.5, 20)
    )


def send_batch(api: ubiops.CoreApi, project: str) -> None:
    print("A batch: queued at once, collected later")
    inputs = [{"speed": speed} for speed in (8, 16, 24, 32, 40)]
    ids = [request.id for request in api.batch_deployment_requests_create(project, DEPLOYMENT, inputs)]
    requests = api.deployment_requests_batch_get(project, DEPLOYMENT, ids)
    while any(request.status in ("pending", "processing") for request in requests):
        time.sleep(0.2)
        requests = api.deployment_requests_batch_get(project, DEPLOYMENT, ids)
    # They come in no particular order.
    requests.sort(key=lambda request: request.request_data["speed"])
    print_results((request.request_data["speed"], request.result) for request in requests)


def print_results(results: Iterable[tuple[float, dict[str, Any]]]) -> None:
    print("  speed (mph)  distance (ft)")
    for speed, result in results:
        note = "  (faster than any that was measured)" if result["extrapolated"] else ""
        print(f"  {speed:>11}  {result['distance']:>6} ± {result['margin']}{note}")
    print()


def send_bad_requests(api: ubiops.CoreApi, project: str) -> None:
    print("Bad requests: refused before they run, or by the code itself")
    for data in ({"speed": "fast"}, {"velocity": 5}, {"speed": -5}):
        try:
            api.deployment_requests_create(project, DEPLOYMENT, data)
        except ubiops.ApiException as error:
            print(f"  {data!s:<19}  {' '.join(str(error).split())}")
    print()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("Interrupted") from None
