"""Chooses the instance that gets a request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from weakref import WeakKeyDictionary

from ubiops.emulator.execution.instance import Instance
from ubiops.emulator.execution.readiness import Server

_BEGINNING = 1024
"""Bytes at the beginning of a body that choose its instance, which may have that beginning in its cache."""


@dataclass
class _Load:
    running: int = 0
    turn: int = -1


class Balancer:
    """Spreads requests over instances."""

    def __init__(self) -> None:
        self._loads: WeakKeyDictionary[Instance, _Load] = WeakKeyDictionary()
        self._turns = count()

    @contextmanager
    def use(self, servers: Sequence[Server], beginning: bytes = b"") -> Iterator[Server]:
        """Use the least busy instance; of several, the one that was used least recently.

        Args:
            servers: Those to choose from; at least one.
            beginning: The beginning of the request's body, if requests that begin alike are to go to the same instance.
        """
        loads = {server.instance: self._loads.setdefault(server.instance, _Load()) for server in servers}
        if beginning:
            server = min(servers, key=lambda server: _affinity(server, beginning[:_BEGINNING]))
        else:
            server = min(servers, key=lambda server: (loads[server.instance].running, loads[server.instance].turn))
        load = loads[server.instance]
        load.running += 1
        load.turn = next(self._turns)
        try:
            yield server
        finally:
            load.running -= 1


def _affinity(server: Server, beginning: bytes) -> bytes:
    # Rendezvous hashing: when an instance comes or goes, the others keep their ranks.
    return hashlib.sha256(b"%d:%b" % (id(server.instance), beginning)).digest()
