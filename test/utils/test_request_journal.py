"""The checkpoint of `map_requests`, as a file: what was sent is known, whenever its process was killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import ubiops
from ubiops.utils.batches.chunks import Chunk, Input
from ubiops.utils.batches.journal import Checkpoint, Outcome

# `KILLS=200 pytest test/utils/test_request_journal.py` is the long form.
KILLS = int(os.environ.get("KILLS", "8"))
ROOT = Path(ubiops.__file__).parents[1]

WRITER = """
    import sys

    from ubiops.utils.batches.journal import Checkpoint
    from ubiops.utils.batches.chunks import Chunk, Input

    with Checkpoint(sys.argv[1]) as journal:
        if journal.job() is None:
            journal.begin({"project": "lab"})
        number = sum(1 for _ in journal.outcomes())
        print("ready", flush=True)
        while True:
            if journal.unanswered is None:
                journal.announce(Chunk([Input(number, number, b"%d" % number)]))
            journal.unanswered = None
            # From here on the server may have it.
            print(number, flush=True)
            journal.note_sent([f"id-{number}"], None)
            number += 1
"""


def read(path: Path) -> tuple[list[Outcome], Outcome | None]:
    with Checkpoint(path) as journal:
        assert journal.job() == {"map_requests": 1, "project": "lab"}
        return list(journal.outcomes()), journal.unanswered


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes")
@pytest.mark.timeout(600)
def test_killed_at_any_moment_it_knows_all_that_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "job.jsonl"
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    sent = -1
    for _ in range(KILLS):
        with subprocess.Popen(
            command, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            # The point of the test: a kill at a moment that nothing chooses.
            killer = threading.Timer(random.uniform(0, 0.03), process.kill)
            killer.start()
            lines = process.stdout.read().splitlines()
            killer.join()
        assert process.returncode == -signal.SIGKILL
        sent = max([sent, *map(int, lines)])
        outcomes, unanswered = read(path)
        assert [(outcome.start, outcome.ids) for outcome in outcomes] == [
            (number, [f"id-{number}"]) for number in range(len(outcomes))
        ]
        announced = len(outcomes) + (unanswered is not None)
        # All that was sent, and at most one more, which was announced and perhaps not sent.
        assert sent < announced <= sent + 2
    assert sent > 0


@pytest.mark.skipif(sys.platform == "win32", reason="folders can't be synchronized there")
def test_what_is_noted_is_on_disk_before_anything_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.jsonl"
    on_disk: dict[int, int] = {}
    synchronize = os.fsync

    def watched(descriptor: int) -> None:
        synchronize(descriptor)
        status = os.fstat(descriptor)
        on_disk[status.st_ino] = status.st_size

    # Watched, since only a loss of power would show it.
    monkeypatch.setattr(os, "fsync", watched)
    with Checkpoint(path) as journal:
        for note in (
            lambda: journal.begin({"project": "lab"}),
            lambda: journal.announce(Chunk([Input(0, 0, b"0")])),
            lambda: journal.note_sent(["id-0"], None),
        ):
            note()
            assert on_disk[path.stat().st_ino] == path.stat().st_size
    # The file's name is too.
    assert tmp_path.stat().st_ino in on_disk
