"""Programs as users write them, each run as it is in a process of its own: two of each kind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ubiops
from test.emulator.conformance import Conformance
from ubiops.emulator import Emulator

ROOT = Path(ubiops.__file__).parents[1]
PROGRAMS = Path(__file__).parent / "programs"


def run(emulator: Emulator, name: str) -> list[str]:
    """The lines that a program prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "UBIOPS_API_HOST": emulator.url,
        "UBIOPS_API_TOKEN": emulator.token,
    }
    command = [sys.executable, "-W", "error", str(PROGRAMS / f"{name}.py"), "lab"]
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=100, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def installing() -> Iterator[Emulator]:
    """An emulator that installs requirements."""
    emulator = Emulator(project="lab", install_requirements=True)
    emulator.app = conformance = Conformance(emulator.app)
    with emulator:
        yield emulator
    assert not conformance.problems


def test_a_model_is_trained_and_deployed(emulator: Emulator) -> None:
    assert run(emulator, "houses") == [
        "completed {'slope': 3.0} {'houses': 3}",
        "weights.json",
        "{'price': 260}",
    ]


def test_the_best_of_several_runs_is_deployed(emulator: Emulator) -> None:
    lines = run(emulator, "sweep")
    assert [line.partition(",")[0] for line in lines[:3]] == [
        "degree-1 2 points",
        "degree-2 3 points",
        "degree-9 10 points",
    ]
    assert lines[3:] == ["best: degree-2", "{'completed'}", "{'y': 8.9}", "{'y': 24.7}"]


def test_two_deployments_run_in_one_environment(installing: Emulator) -> None:
    python = f"python{sys.version_info.major}-{sys.version_info.minor}"
    assert run(installing, "mill") == [
        f"mill available {python} True",
        "mill cba by 1.2 on granite in the north",
        "mill cba by 1.2 on granite in the south",
        "400",
        "[]",
    ]


def test_a_package_brings_its_requirements(installing: Emulator) -> None:
    assert run(installing, "greeter") == [
        "available Hello, Ada",
        "True",
        "['available', 'unavailable']",
    ]


def test_a_chat_is_streamed(emulator: Emulator) -> None:
    assert run(emulator, "chat") == [
        "ubiops-deployment/parrot/v1/parrot-1b",
        "200 You said 'Polly', which has 5 letters.",
        "200 text/event-stream; charset=utf-8",
        "the end",
        "7 You said 'Polly', which has 5 letters. ",
        "404 model: there is no 'gpt-4'",
    ]


def test_a_pipeline_chats(emulator: Emulator) -> None:
    assert run(emulator, "librarian") == [
        "the owl is a bird of the night",
        "the fox is a red animal; the owl is a bird of the night [DONE]",
        "400 ['error']",
        "['completed', 'completed', 'failed']",
    ]


def test_a_page_with_a_form(emulator: Emulator) -> None:
    assert run(emulator, "guestbook") == [
        "[] True",
        "['Ada', 'Bob &amp; Co']",
        "{'guests': 2}",
        "401 Token",
        "200",
    ]


def test_an_api_of_two_instances(emulator: Emulator) -> None:
    assert run(emulator, "counter") == [
        "{'sum': 6}",
        "2 instances",
        "text/event-stream ['data: 0', 'data: 1', 'data: 2']",
        "429",
        "{'completed'}",
    ]


def test_a_pipeline_with_conditions_tells_a_chat(emulator: Emulator) -> None:
    assert run(emulator, "alerts") == [
        "80 {'text': 'The load may reach 120 MW'}",
        "chat-key pipeline_request_completed completed {'text': 'The load may reach 120 MW'}",
        "20 None",
        "chat-key pipeline_request_completed completed None",
        "900 400 No meter measures that",
        "chat-key pipeline_request_failed failed None",
        "chat-completed None",
        "chat-failed None",
    ]


def test_a_pipeline_takes_a_list_apart(emulator: Emulator) -> None:
    assert run(emulator, "orders") == [
        # 10 pens and postage, a desk and 50 pens with a discount.
        "{'total': 250.0, 'orders': 3}",
        "['price', 'sum']",
        "completed ['all', 'discount', 'each', 'is-large', 'is-small', 'postage']",
        "400 True",
    ]


def test_a_bell_rings_when_a_job_is_done(emulator: Emulator) -> None:
    assert run(emulator, "bell") == [
        "bell None",
        "/ring Bearer of-the-bell deployment_request_completed True {'halves': [0.5, 1.0]}",
        "failed The status of the answer was 503",
        "completed None",
        "/other deployment_request_failed",
        "['was delivered']",
        "False True",
    ]
