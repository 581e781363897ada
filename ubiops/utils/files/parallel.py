"""Many files transferred at once, also when one fails or the program is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ubiops.exceptions import TooManyRequestsError
from ubiops.utils.exceptions import IncompleteTransfer
from ubiops.utils.polling import Backoff
from ubiops.utils.progress_bar import Progress

if TYPE_CHECKING:
    from ubiops.utils.files.transfer import Report

__all__ = ["Transfer", "incomplete", "transfer_all"]

_GRACE = 1.0
"""Seconds in which an interrupted transfer may tidy up; who waits for a silent server is left behind."""

_PATIENCE = 120.0
"""Seconds to wait for where the API's rate limit is used up: it counts calls by the minute."""

_SHOWN = 3
"""Failures that a message names; all are in the error's ``failed``."""


class Transfer(NamedTuple):
    """One of many files: what it is, where it goes, and its size in bytes, None where that isn't known."""

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

    After the first failure no other transfer begins, and those that run are finished.

    Args:
        transfers: What to transfer; the sources differ.
        work: Transfers one file, and returns its result.
        parallel: Number of threads.
        verb: What is done: ``upload`` or ``download``.
        shown: Whether to show a progress bar.

    Returns:
        The results in the order of the transfers.

    Raises:
        IncompleteTransfer: Some failed.
        BaseException: What interrupted this thread; an `IncompleteTransfer` is its cause.
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
    """The threads of one call; they are daemons, so that none that hangs keeps the program from ending."""

    def __init__(self, transfers: Sequence[Transfer], work: Callable[[Transfer, Report], str], bar: Progress) -> None:
        self.completed: dict[Transfer, str] = {}
        self.failed: dict[Transfer, BaseException] = {}
        self._count = len(transfers)
        self._left = iter(transfers)
        self._work = work
        self._bar = bar
        self._lock = threading.Lock()
        self._running = 0
        self._ended = threading.Event()
        self._stopped = threading.Event()

    def run(self, parallel: int) -> None:
        threads = min(parallel, self._count)
        self._running = threads
        for _ in range(threads):
            threading.Thread(target=self._transfer, name="ubiops-transfer", daemon=True).start()
        # No join: before Python 3.13 a Ctrl-C during one takes a running thread for ended, and on Windows it doesn't
        # interrupt a wait without an end.
        while not self._ended.wait(1.0):
            pass

    def stop(self) -> None:
        self._stopped.set()
        self._ended.wait(_GRACE)

    def _transfer(self) -> None:
        while (transfer := self._next()) is not None:
            try:
                self.completed[transfer] = self._patiently(transfer)
                self._bar.step(f"{len(self.completed)} of {self._count} files")
            except _StoppedError:
                break
            except BaseException as error:
                self.failed[transfer] = error
        with self._lock:
            self._running -= 1
            if not self._running:
                self._ended.set()

    def _patiently(self, transfer: Transfer) -> str:
        backoff = Backoff(_PATIENCE)
        while True:
            try:
                return self._work(transfer, self._report)
            except TooManyRequestsError:
                if not backoff.pause():
                    raise

    def _next(self) -> Transfer | None:
        with self._lock:
            return None if self._stopped.is_set() or self.failed else next(self._left, None)

    def _report(self, amount: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        self._bar.advance(amount)


def incomplete(
    verb: str,
    transfers: Sequence[Transfer],
    completed: Mapping[Transfer, str],
    failed: Mapping[Transfer, BaseException],
) -> IncompleteTransfer:
    """The error of files that were not all transferred: it names those that failed, and says how many were done."""
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
