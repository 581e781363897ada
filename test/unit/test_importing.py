"""Ctrl-C amid an import: whoever imports next waits for nobody."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import ubiops
from ubiops.importing import imported


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    return done.stdout + done.stderr


def test_after_an_interrupt_at_any_step_other_threads_import_too() -> None:
    program = """
        import os, sys, threading
        import ubiops, ubiops.models
        from ubiops.schema import model_class

        left = 0

        def interrupt(frame, event, argument):
            global left
            if "importlib" not in frame.f_code.co_filename and "ubiops" not in frame.f_code.co_filename:
                return None
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return interrupt

        steps = 0
        for name in ubiops.models.__all__:
            steps += 1
            left = steps
            sys.settrace(interrupt)
            try:
                model_class(name)
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(None)
            thread = threading.Thread(target=model_class, args=[name], daemon=True)
            thread.start()
            thread.join(20)
            if thread.is_alive():
                print(f"{name} can't be imported after an interrupt at step {steps}")
                os._exit(1)
            if left > 0:
                steps = 0
        print("all")
    """
    assert run(program) == "all\n"


def test_errors_of_an_import_are_the_callers() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"ubiops\.no_such"):
        imported("ubiops.no_such", "name")
    with pytest.raises(AttributeError, match="NoSuch"):
        imported("ubiops.models", "NoSuch")


def test_an_import_lock_that_an_interrupt_left_taken_is_released() -> None:
    program = """
        import _imp, sys, threading
        import ubiops, ubiops.models
        from ubiops.schema import model_class

        # As Ctrl-C leaves it, amid an import of the program's.
        _imp.acquire_lock()
        other = threading.Thread(target=model_class, args=["BucketList"])
        other.start()
        while sys._current_frames()[other.ident].f_code.co_name != "_get_module_lock":
            pass
        print(model_class("BuildList").__name__)
        other.join()
        print("both")
    """
    assert run(program) == "BuildList\nboth\n"


def test_what_is_loaded_takes_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        pytest.fail("a thread was started")

    # A program gets it from `ubiops`, past `ubiops.models`.
    model = ubiops.BucketList
    monkeypatch.setattr("_thread.start_new_thread", start)
    assert imported("ubiops.models", "BucketList") is model
