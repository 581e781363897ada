"""Run schemathesis against an emulator, for five minutes at most; exit 1 where it finds something.

Found is a status of 500 or more, and every answer that the document doesn't allow.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from test.emulator.conformance import answered_document
from test.emulator.project import TestProject
from ubiops.emulator import Emulator

_SECONDS = 270
_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


def main() -> int:
    with TemporaryDirectory() as folder, Emulator(project="lab") as emulator:
        api = emulator.client()
        with api.api_client:
            _prepare(TestProject(api, "lab"))
        document = Path(folder, "openapi.json")
        document.write_text(json.dumps(answered_document()))
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIGURATION), "run", str(document)]
        options = ["--url", emulator.url, "--header", f"Authorization:{emulator.token}", "--max-time", str(_SECONDS)]
        return subprocess.run([*command, *options, *sys.argv[1:]], cwd=folder, check=False).returncode


def _prepare(project: TestProject) -> None:
    """Give the requests something to be about."""
    api = project.api
    api.projects_create({"name": "spare", "organization_name": "emulator"})
    project.deploy()
    project.deploy_version(version="v2")
    project.create_deployment("spare")
    for name in ("line", "spare"):
        pipeline = {"name": name, "input_type": "plain", "output_type": "plain"}
        api.pipelines_create("lab", pipeline)
        for version in ("v1", "v2"):
            api.pipeline_versions_create("lab", name, {"version": version})
    api.buckets_create("lab", {"name": "spare", "provider": "ubiops"})
    project.request({"x": 1})


if __name__ == "__main__":
    sys.exit(main())
