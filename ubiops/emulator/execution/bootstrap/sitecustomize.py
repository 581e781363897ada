"""Runs first in every Python process of an instance that serves a port.

Code is written for one port, but several instances run on one machine: each has a port of its own, which its processes
bind, or connect to on this machine, in place of the declared one. This file is run unchanged by other interpreters than
the emulator's, perhaps from a zip, so it uses the standard library only.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VARIABLE = "UBIOPS_EMULATOR_PORTS"
_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def _install(ports: dict[int, int]) -> None:
    import socket

    original: Any = socket.socket
    bind, connect, connect_ex = original.bind, original.connect, original.connect_ex

    def is_declared(opened: socket.socket, address: Any) -> bool:
        return (
            opened.family in (socket.AF_INET, socket.AF_INET6)
            and opened.type == socket.SOCK_STREAM
            and isinstance(address, tuple)
            and len(address) > 1
            and address[1] in ports
        )

    def is_bound(opened: socket.socket, address: Any) -> bool:
        """Whether the port in place of a declared one is in use; a server not in Python listens on the declared one."""
        host = str(address[0])
        if host not in {*_ANY, "localhost", "::1"} and not host.startswith("127."):
            return False
        with socket.socket(opened.family, opened.type) as probe:
            try:
                bind(probe, ("::1" if opened.family == socket.AF_INET6 else "127.0.0.1", ports[address[1]]))
            except OSError:
                return True
        return False

    def own_bind(opened: socket.socket, address: Any) -> None:
        if is_declared(opened, address):
            # On the loopback address only, so that it can't be reached from the network.
            address = (_ANY.get(address[0], address[0]), ports[address[1]], *address[2:])
        bind(opened, address)

    def own_target(opened: socket.socket, address: Any) -> Any:
        if is_declared(opened, address) and is_bound(opened, address):
            return (address[0], ports[address[1]], *address[2:])
        return address

    def own_connect(opened: socket.socket, address: Any) -> None:
        connect(opened, own_target(opened, address))

    def own_connect_ex(opened: socket.socket, address: Any) -> Any:
        return connect_ex(opened, own_target(opened, address))

    original.bind, original.connect, original.connect_ex = own_bind, own_connect, own_connect_ex


def _run_next() -> None:
    """Run the sitecustomize that this one hides."""
    here = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path) != here])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


if os.environ.get(_VARIABLE):
    pairs = (pair.split(":") for pair in os.environ[_VARIABLE].split(","))
    _install({int(declared): int(own) for declared, own in pairs})
_run_next()
