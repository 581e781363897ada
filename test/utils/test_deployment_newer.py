"""`deploy` on newer services: environments in the place of languages, revisions without builds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ubiops
from test.utils.packages import write
from test.utils.planned import Planned
from ubiops.utils import deploy

MAJOR, MINOR = sys.version_info[:2]
VERSION = ubiops.DeploymentVersionDetail.from_dict(
    {"deployment": "d", "version": "v1", "status": "available", "active_revision": "r", "latest_revision": "r"}
)
REVISION = SimpleNamespace(id="r", status="success", error_message=None)


@pytest.fixture
def client() -> Iterator[ubiops.ApiClient]:
    with ubiops.ApiClient(ubiops.Configuration(host="http://127.0.0.1:1/v2.1")) as client:
        yield client


def new_version(client: ubiops.ApiClient, folder: Path, newer: bool, **options: Any) -> dict[str, Any]:
    """What a version is created with where nothing is there yet."""
    missing = ubiops.NotFoundError(404, "Not Found")
    deployment = SimpleNamespace(name="d", supports_request_format=True if newer else None)
    api = Planned(
        client,
        deployments_get=[missing],
        deployments_create=[deployment],
        deployment_versions_get=[missing, VERSION],
        deployment_versions_create=[VERSION],
        revisions_file_upload=[SimpleNamespace(revision="r")],
        revisions_get=[REVISION],
    )
    write(folder, {"deployment.py": "class Deployment:\n    def request(self, data): ..."})
    assert deploy(api, "lab", folder, "d", quiet=True, **options) is VERSION
    created = next(arguments[-1] for name, arguments, _ in api.calls if name == "deployment_versions_create")
    sent: dict[str, Any] = created.to_wire()
    return sent


@pytest.mark.parametrize(
    ("newer", "options", "expected"),
    [
        (False, {}, {"language": f"python{MAJOR}.{MINOR}"}),
        (True, {}, {"environment": f"python{MAJOR}-{MINOR}"}),
        (True, {"language": "python3.10"}, {"language": "python3.10"}),
        (True, {"environment": "mine"}, {"environment": "mine"}),
        (
            True,
            {"environment_name": "mine", "environment_tag": "v2", "instance_type_group_name": "512 MB"},
            {"environment_name": "mine", "environment_tag": "v2", "instance_type_group_name": "512 MB"},
        ),
    ],
)
def test_what_a_new_version_runs_on(
    client: ubiops.ApiClient, tmp_path: Path, newer: bool, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    sent = new_version(client, tmp_path, newer, **options)
    known = ("language", "environment", "environment_name", "environment_tag", "instance_type_group_name")
    assert {name: sent[name] for name in known if name in sent} == expected
