"""Transfers many files at once, and handles failures and interruptions."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from ubiops.clock import monotonic
from ubiops.exceptions import TooManyRequestsError
from ubiops.utils.exceptions import IncompleteTransfer
from ubiops.utils.polling import Backoff
from ubiops.utils.progress_bar import Progress

if TYPE_CHECKING:
    from ubiops.utils.files.transfer import Report

__all__ = ["Transfer", "incomplete", "transfer_all"]

_GRACE = 1.0
"""Seconds in which an interrupted transfer may clean up; threads that wait for a silent server are abandoned."""

_PATIENCE = 120.0
"""Seconds to wait once the API's rate limit is reached: it counts calls per minute."""

_SHOWN = 3
"""The most failures that a message names; all are in the error's ``failed``."""


class Transfer(NamedTuple):
    """One of many files: its source, its target, and its size in bytes (None if unknown)."""

    source: str
    target: str
    size: int | None


def transfer_all(
    transfers: Sequence[Transfer],
    work: Callable[[Transfer, Report], str],
    parallel: int,
    verb: str,
    shown: bool,
) -> list[str]:
    """Transfer files in threads.

    After the first failure no further transfer begins, and running ones are finished.

    Args:
        transfers: What to transfer; the sources differ.
        work: Transfers one file, and returns its result.
        parallel: Number of threads.
        verb: ``upload`` or ``download``.
        shown: Whether to show a progress bar.

    Returns:
        The results in the order of the transfers.

    Raises:
        IncompleteTransfer: Some failed.
        BaseException: This thread was interrupted; an `IncompleteTransfer` is the cause.
    """
    sizes = [transfer.size for transfer in transfers]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with Progress(f"{verb.capitalize()}ing {len(transfers)} files", total, "B", shown=shown) as bar:
        threads = _Threads(transfers, work, bar)
        try:
            threads.run(parallel)
        except BaseException as error:
            threads.stop()
            raise error from incomplete(verb, transfers, threads.completed, threads.failed)
    if threads.failed:
        cause = next(iter(threads.failed.values()))
        raise incomplete(verb, transfers, threads.completed, threads.failed) from cause
    return [threads.completed[transfer] for transfer in transfers]


class _StoppedError(Exception):
    """The transfer is no longer wanted."""


class _Threads:
    """The threads of one call; they are daemons, so that a hanging one doesn't keep the program from ending."""

    def __init__(self, transfers: Sequence[Transfer], work: Callable[[Transfer, Report], str], bar: Progress) -> None:
        self.completed: dict[Transfer, str] = {}
        self.failed: dict[Transfer, BaseException] = {}
        self._count = len(transfers)
        self._left = deque(transfers)
        self._work = work
        self._bar = bar
        # Each thread reports its end here. Not by a `threading.Event`, whose lock a Ctrl-C can leave locked.
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._running = 0
        self._stopped = False

    def run(self, parallel: int) -> None:
        for _ in range(min(parallel, self._count)):
            self._running += 1
            threading.Thread(target=self._transfer, name="ubiops-transfer", daemon=True).start()
        # No join: before Python 3.13, a Ctrl-C during it marks a running thread as ended, and on Windows it doesn't
        # interrupt a wait without a timeout.
        while self._running:
            self._wait(1.0)

    def stop(self) -> None:
        self._stopped = True
        end = monotonic() + _GRACE
        while self._running and (left := end - monotonic()) > 0:
            self._wait(left)

    def _wait(self, seconds: float) -> None:
        with suppress(Empty):
            self._ended.get(timeout=seconds)
            self._running -= 1

    def _transfer(self) -> None:
        while (transfer := self._next()) is not None:
            try:
                self.completed[transfer] = self._patiently(transfer)
                self._bar.step(f"{len(self.completed)} of {self._count} files")
            except _StoppedError:
                break
            except BaseException as error:
                self.failed[transfer] = error
        self._ended.put(None)

    def _patiently(self, transfer: Transfer) -> str:
        backoff = Backoff(_PATIENCE)
        while True:
            try:
                return self._work(transfer, self._report)
            except TooManyRequestsError:
                if not backoff.pause():
                    raise

    def _next(self) -> Transfer | None:
        if self._stopped or self.failed:
            return None
        try:
            return self._left.popleft()
        except IndexError:
            return None

    def _report(self, amount: int) -> None:
        if self._stopped:
            raise _StoppedError
        self._bar.advance(amount)


def incomplete(
    verb: str,
    transfers: Sequence[Transfer],
    completed: Mapping[Transfer, str],
    failed: Mapping[Transfer, BaseException],
) -> IncompleteTransfer:
    """The error for an incomplete transfer: it names the files that failed, and says how many were transferred."""
    remaining = [transfer.source for transfer in transfers if transfer not in completed and transfer not in failed]
    parts = [f"{len(completed)} of {len(transfers)} files were {verb}ed"]
    if failed:
        shown = [f"{transfer.source!r}: {_in_a_line(error)}" for transfer, error in list(failed.items())[:_SHOWN]]
        more = ["and others"] if len(failed) > _SHOWN else []
        parts.append(f"{len(failed)} failed: " + "; ".join([*shown, *more]))
    if remaining:
        parts.append(f"{len(remaining)} were not started or abandoned")
    return IncompleteTransfer(
        ". ".join(parts),
        {transfer.source: result for transfer, result in completed.items()},
        {transfer.source: error for transfer, error in failed.items()},
        remaining,
    )


def _in_a_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
