"""The clock of deadlines and waits goes on where a program's tests freeze time."""

from __future__ import annotations

import datetime

import freezegun
import pytest
import time_machine

from ubiops.clock import monotonic


@pytest.mark.parametrize("freeze", [freezegun.freeze_time, lambda moment: time_machine.travel(moment, tick=False)])
def test_frozen_time_does_not_stop_it(freeze: object) -> None:
    before = monotonic()
    with freeze("2030-01-01"):  # type: ignore[operator]
        assert datetime.datetime.now().year == 2030
        first = monotonic()
        while monotonic() == first:
            pass
        assert monotonic() < before + 60
