"""Imports on first use that neither Ctrl-C nor a fork leaves half done."""

from __future__ import annotations

import _imp
import _thread
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

__all__ = ["imported"]

_importing = threading.RLock()


def imported(package: str, name: str) -> Any:
    """A name of one of our packages, which imports the name's module on first use.

    Python's own import locks stay locked if Ctrl-C comes between their acquisition and the `try` after it, and the next
    import waits forever. Ctrl-C reaches the main thread only, so another thread imports for it.
    """
    known = getattr(sys.modules.get(package), "_MODULES", {})
    loaded = getattr(sys.modules.get(known.get(name, "")), name, None)
    if loaded is not None:
        return loaded

    def load() -> Any:
        with _importing:
            return getattr(import_module(package), name)

    return _in_another_thread(load) if threading.current_thread() is threading.main_thread() else load()


def _in_another_thread(load: Callable[[], Any]) -> Any:
    _free_import_lock()
    outcome: list[Any] = []
    errors: list[BaseException] = []
    # The locks of `threading` are in Python, so Ctrl-C could leave them locked too.
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        try:
            outcome.append(load())
        except BaseException as error:
            errors.append(error)
        finally:
            done.release()

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        # There are no threads, or no new ones since the program ends.
        return load()
    done.acquire()
    if errors:
        raise errors.pop()
    return outcome.pop()


def _free_import_lock() -> None:
    """Release Python's import lock if Ctrl-C in one of the program's imports left it to this thread."""
    with suppress(RuntimeError):
        while True:
            _imp.release_lock()


def _wait_for_imports() -> None:
    _free_import_lock()
    _importing.acquire()


if hasattr(os, "register_at_fork"):
    # The child of a fork during another thread's import would wait for that thread, which it doesn't have.
    os.register_at_fork(before=_wait_for_imports, after_in_parent=_importing.release, after_in_child=_importing.release)
