"""Progress of long tasks: a bar in a terminal or notebook, otherwise one log line per step."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections import deque
from types import TracebackType
from typing import Any, Literal

from ubiops.utils.arguments import invalid, wrong_type

__all__ = ["Progress", "progress"]

_logger = logging.getLogger("ubiops.utils")
_enabled: bool | None = None


def progress(enabled: bool | Literal["on", "off"] | None = None) -> bool:
    """Switch progress bars on or off for the whole program; without an argument, return whether they are on.

    They are on by default, unless the environment has ``UBIOPS_PROGRESS=0``. They need tqdm, and show only in a
    terminal or a notebook, never in a pipe.

    Args:
        enabled: Whether to show them; ``"on"`` and ``"off"`` are accepted too.

    Returns:
        Whether they are on now.

    Raises:
        ApiTypeError: It isn't a bool.
        ApiValueError: It is another string.
    """
    global _enabled
    if isinstance(enabled, str):
        if enabled not in ("on", "off"):
            raise invalid("enabled", "progress", f"must be True, False, 'on' or 'off', not {enabled!r}")
        enabled = enabled == "on"
    if not isinstance(enabled, (bool, type(None))):
        raise wrong_type("enabled", "progress", "bool", enabled)
    if enabled is not None:
        _enabled = enabled
    return os.environ.get("UBIOPS_PROGRESS") != "0" if _enabled is None else _enabled


class Progress:
    """The progress of a task, as a context manager. Threads may share it.

    Args:
        description: Description of the task, such as ``Uploading cars.csv``.
        total: How much there is to do; None if unknown.
        unit: What is counted; ``B`` for bytes, shown in KiB, MiB and so on.
        shown: Whether to show it at all, as requested by the caller of a helper.
    """

    def __init__(self, description: str, total: int | None = None, unit: str = "it", *, shown: bool = True) -> None:
        self._description = description
        self._lock = threading.Lock()
        self._counted: deque[int] = deque()
        self._bar = _make_bar(description, total, unit) if shown and progress() and _watched() else None
        self._logged = shown and self._bar is None

    def __enter__(self) -> Progress:
        self._log("started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        self._log("finished" if error is None else f"ended by {type(error).__name__}")

    def expect(self, total: int) -> None:
        """Set how much there is to do, if that wasn't known at the start."""
        if self._bar is not None:
            self._bar.total = total
            self._draw(at_once=True)

    def advance(self, amount: int = 1) -> None:
        """Count work as done; a negative amount takes back work that must be done again."""
        self._draw(amount)

    def step(self, state: str) -> None:
        """Show the present state, such as the status of a build."""
        if self._bar is not None:
            self._bar.set_postfix_str(state, refresh=False)
            self._draw(at_once=True)
        self._log(state)

    def print(self, line: str) -> None:
        """Print a line to stdout, clear of the bar."""
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line)

    def _draw(self, amount: int = 0, at_once: bool = False) -> None:
        """Show what was counted; if another thread is drawing, that thread shows this too."""
        bar = self._bar
        if bar is None:
            return
        self._counted.append(amount)
        # The lock isn't waited for: a Ctrl-C in the thread that holds it can leave it locked.
        while self._counted and self._lock.acquire(blocking=False):
            try:
                while self._counted:
                    bar.update(self._counted.popleft())
                if at_once:
                    bar.refresh()
            finally:
                self._lock.release()

    def _log(self, state: str) -> None:
        if self._logged:
            _logger.info("%s: %s", self._description, state)


def _watched() -> bool:
    """Whether a bar is visible: in a terminal, or in a notebook, whose kernel shows widgets."""
    if "ipykernel" in sys.modules:
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        # A program without a console, or one that has closed it.
        return False


def _make_bar(description: str, total: int | None, unit: str) -> Any:
    try:
        with warnings.catch_warnings():
            # A notebook without widgets gets a text bar, without a warning.
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(desc=description, total=total, unit=unit, unit_scale=unit == "B", unit_divisor=1024, leave=False)
