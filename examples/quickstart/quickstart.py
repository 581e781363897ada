"""Deploys a small model, asks it for predictions, and cleans up.

It runs against an emulator that it starts on this machine: nothing leaves it, and no account is needed. With
UBIOPS_API_TOKEN and UBIOPS_API_HOST set it runs against the real service: in a project of its own, or in the one that
UBIOPS_PROJECT names.
"""

from __future__ import annotations

import contextlib
import os
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ubiops
from ubiops.utils import deploy, map_requests

PACKAGE = Path(__file__).parent / "stopping_distance"
DEPLOYMENT = "stopping-distance"
VERSION = "v1"
BUILD_TIMEOUT = 600


def main() -> None:
    with connect() as api, use_project(api) as project:
        try:
            deploy_package(api, project)
            send_requests(api, project)
            send_batch(api, project)
            send_bad_requests(api, project)
        finally:
            with contextlib.suppress(ubiops.NotFoundError):
                api.deployments_delete(project, DEPLOYMENT)


@contextlib.contextmanager
def connect() -> Iterator[ubiops.CoreApi]:
    """A client of the real service if the environment names it, else of an emulator."""
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
    """The project that UBIOPS_PROJECT names, or a new one that is deleted at the end."""
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


def deploy_package(api: ubiops.CoreApi, project: str) -> None:
    deploy(
        api,
        project,
        PACKAGE,
        DEPLOYMENT,
        VERSION,
        language=f"python{sys.version_info.major}.{sys.version_info.minor}",
        input_fields={"speed": "double"},
        output_fields={"distance": "double", "margin": "double", "extrapolated": "bool"},
        instance_type="256mb",
        deployment_settings={"description": "How far a car rolls until it stands"},
        timeout=BUILD_TIMEOUT,
    )
    print(f"Created the deployment {DEPLOYMENT} with the version {VERSION}")
    print("Uploaded and built the package\n")


def send_requests(api: ubiops.CoreApi, project: str) -> None:
    print("Direct requests: each waits for its result")
    print_results(
        (speed, api.deployment_requests_create(project, DEPLOYMENT, {"speed": speed}).result) for speed in (5, 12.5, 20)
    )


def send_batch(api: ubiops.CoreApi, project: str) -> None:
    print("A batch: queued at once, collected later")
    inputs = [{"speed": speed} for speed in (8, 16, 24, 32, 40)]
    requests = map_requests(api, project, DEPLOYMENT, inputs=inputs)
    print_results((request.input["speed"], request.result) for request in requests)


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
