"""An emulator for all tests of a process, emptied before each, and a client of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.conformance import Conformance
from test.emulator.deployed import Deployed
from test.emulator.project import TestProject
from ubiops.emulator import Emulator


@pytest.fixture(scope="session")
def _checked() -> Iterator[tuple[Emulator, Conformance]]:
    emulator = Emulator(project="lab")
    emulator.app = conformance = Conformance(emulator.app)
    with emulator:
        yield emulator, conformance


@pytest.fixture
def emulator(_checked: tuple[Emulator, Conformance]) -> Iterator[Emulator]:
    emulator, conformance = _checked
    emulator.reset()
    conformance.problems.clear()
    yield emulator
    assert not conformance.problems


@pytest.fixture
def api(emulator: Emulator) -> Iterator[ubiops.CoreApi]:
    api = emulator.client()
    with api.api_client:
        yield api


@pytest.fixture
def project(api: ubiops.CoreApi) -> TestProject:
    return TestProject(api, "lab")


@pytest.fixture(scope="session")
def _deployed(_checked: tuple[Emulator, Conformance], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with contextlib.closing(Deployed(_checked[0], tmp_path_factory.mktemp("deployed"))) as deployed:
        yield deployed


@pytest.fixture
def deployed(_deployed: Deployed, project: TestProject) -> None:
    """The project has the deployment ``model`` with a version that doubles."""
    _deployed.deploy(project)


@pytest.fixture
def emptied(api: ubiops.CoreApi) -> ubiops.CoreApi:
    """A client of the emulator, without its project."""
    api.projects_delete("lab")
    return api


@pytest.fixture
def callers(emulator: Emulator, api: ubiops.CoreApi) -> Iterator[Callers]:
    with contextlib.ExitStack() as opened:
        yield Callers(emulator, api, opened)


@pytest.fixture
def gated(project: TestProject, tmp_path: Path) -> Callable[[], None]:
    """A deployment with one instance, each request of which waits for a call of this."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = f"""
        class Deployment:
            def request(self, data):
                return {{"y": float(open({str(gate)!r}).read())}}
    """
    project.deploy(code)
    project.api.deployment_versions_update("lab", "model", "v1", {"maximum_instances": 1})

    def open_gate() -> None:
        gate.write_text("1")

    return open_gate
