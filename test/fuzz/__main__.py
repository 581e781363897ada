"""Run schemathesis against an emulator, for five minutes at most on each base path; exit 1 where it finds something.

Found is a status of 500 or more, and every answer that the document doesn't allow or the newest client can't read.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from test.emulator.conformance import Conformance, answered_document
from test.emulator.project import TestProject
from ubiops.emulator import Emulator
from ubiops.emulator.web.document import BASE_PATHS, load_document

_SECONDS = 270
_CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


def main() -> int:
    emulator = Emulator(project="lab")
    emulator.app = conformance = Conformance(emulator.app)
    with TemporaryDirectory() as folder, emulator:
        api = emulator.client()
        with api.api_client:
            _prepare(TestProject(api, "lab"))
        found = max(_run(Path(folder), emulator, base) for base in BASE_PATHS)
    problems = sorted(set(conformance.problems))
    print(f"{len(conformance.operations)} operations answered with success", *problems, sep="\n")
    return found or int(bool(problems))


def _run(folder: Path, emulator: Emulator, base: str) -> int:
    """Run it on the operations that a base path has."""
    described, operations = answered_document(), load_document().operations
    for path, item in described["paths"].items():
        described["paths"][path] = {
            method: operation for method, operation in item.items() if operations[operation["operationId"]].is_at(base)
        }
    document = folder / f"{base}.json"
    document.write_text(json.dumps(described))
    url = f"{emulator.url.rpartition('/')[0]}/{base}"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIGURATION), "run", str(document)]
    options = ["--url", url, "--header", f"Authorization:{emulator.token}", "--max-time", str(_SECONDS)]
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
