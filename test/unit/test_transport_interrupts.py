"""Ctrl-C at any moment of a call: the next call works."""

from __future__ import annotations

import os
import queue
import sys
import threading
from types import FrameType
from typing import Any

import pytest
import urllib3.connectionpool
import urllib3.response

import ubiops.connections
import ubiops.rest
from test.server import Server

# Where connections change hands.
WATCHED = {
    os.path.normcase(str(module.__file__))
    for module in (queue, threading, urllib3.connectionpool, urllib3.response, ubiops.connections, ubiops.rest)
}


class Interrupting:
    """Raises KeyboardInterrupt at the n-th step of what runs within it, as a signal would."""

    def __init__(self, nth: int) -> None:
        self.left = nth

    def __enter__(self) -> Interrupting:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: Any) -> bool:
        sys.settrace(None)
        return isinstance(exception[1], KeyboardInterrupt)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if os.path.normcase(frame.f_code.co_filename) not in WATCHED:
            return None
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self._trace


# A socket that was made, and not yet kept anywhere, is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_after_an_interrupt_at_any_step_the_next_call_works(client: ubiops.ApiClient, server: Server) -> None:
    def call() -> None:
        client.call_api("/thing", "GET", _request_timeout=60)

    call()
    server.requests.clear()
    for nth in range(1, 5000):
        with Interrupting(nth) as interrupting:
            call()
        # In a thread, since what hangs here would hang for ever.
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), f"the next call hangs after an interrupt at step {nth}"
        if interrupting.left > 0:
            break
    assert interrupting.left > 0
    # The connection wasn't lost each time: most steps come before it is taken, or after it is given back.
    assert 100 < nth < 5000
