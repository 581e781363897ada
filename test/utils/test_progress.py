"""Progress bars: where they show, and what takes their place."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from ubiops.utils import progress, progress_bar
from ubiops.utils.progress_bar import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "_enabled", None)
    monkeypatch.delenv("UBIOPS_PROGRESS", raising=False)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "ubiops.utils"):
        yield caplog


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replaces stderr: a terminal would need a pseudo-terminal of the operating system's."""
    # No fixture: pytest gives each phase of a test a stderr of its own.
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def work(**options: bool) -> None:
    with Progress("Uploading cars.csv", 2048, "B", **options) as bar:
        bar.advance(1024)
        bar.step("half way")
        bar.advance(1024)


def test_a_bar_shows_in_a_terminal(monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
    stderr = terminal(monkeypatch)
    work()
    assert "Uploading cars.csv" in stderr.getvalue()
    assert "1.00k/2.00k" in stderr.getvalue()
    assert log.messages == []


def test_a_total_may_be_known_later_and_what_was_done_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = terminal(monkeypatch)
    with Progress("Downloading cars.csv", None, "B") as bar:
        bar.expect(2048)
        bar.advance(2048)
        bar.advance(-1024)
        bar.step("again")
    assert "0.00/2.00k" in stderr.getvalue()
    assert "1.00k/2.00k" in stderr.getvalue().rpartition("again")[0]


def test_lines_are_printed_clear_of_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stderr = terminal(monkeypatch)
    with Progress("Building") as bar:
        bar.print("a line")
    assert capsys.readouterr().out == "a line\n"
    # The bar was taken away before the line, and drawn again after it.
    assert stderr.getvalue().count("Building") >= 2
    monkeypatch.setenv("UBIOPS_PROGRESS", "0")
    with Progress("Building") as bar:
        bar.print("another")
    assert capsys.readouterr().out == "another\n"


def test_a_pipe_gets_no_bar_and_the_log_a_line_per_step(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    work()
    assert stream.getvalue() == ""
    assert log.messages == [
        "Uploading cars.csv: started",
        "Uploading cars.csv: half way",
        "Uploading cars.csv: finished",
    ]


def test_without_tqdm_the_log_gets_the_steps(monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
    stderr = terminal(monkeypatch)
    # As on a machine without the extra.
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    work()
    assert stderr.getvalue() == ""
    assert log.messages[-1] == "Uploading cars.csv: finished"


def test_the_switch_and_the_environment_turn_bars_off(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = terminal(monkeypatch)
    assert progress()
    monkeypatch.setenv("UBIOPS_PROGRESS", "0")
    assert not progress()
    work()
    assert progress(True)
    assert not progress(False)
    work()
    assert stderr.getvalue() == ""
    progress(True)
    work()
    assert "cars.csv" in stderr.getvalue()


def test_who_asks_for_quiet_gets_it(monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture) -> None:
    stderr = terminal(monkeypatch)
    work(shown=False)
    assert stderr.getvalue() == ""
    assert log.messages == []


def test_a_failure_closes_the_bar_and_is_named_in_the_log(
    monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(KeyError), Progress("Waiting"):
        raise KeyError("x")
    assert log.messages[-1] == "Waiting: ended by KeyError"
