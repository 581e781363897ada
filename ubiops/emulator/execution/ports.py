"""The ports that instances use in place of those that their code declares."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from importlib import resources
from typing import Any

from sqlalchemy import Select, func, select

from ubiops.emulator.store import Store
from ubiops.emulator.tables import Service, Version

_BOOTSTRAP = str(resources.files("ubiops.emulator.execution") / "bootstrap")
_VARIABLE = "UBIOPS_EMULATOR_PORTS"


class ServedPorts:
    """The ports that services and public ports lead to, by version.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ports: dict[str, frozenset[int]] = {}

    def of(self, version_id: str) -> frozenset[int]:
        """The ports of a version; none if nothing leads to it."""
        return self._ports.get(version_id, frozenset())

    def items(self) -> Iterable[tuple[str, frozenset[int]]]:
        """The ids of versions to which something leads, with their ports."""
        return self._ports.items()

    def refresh(self) -> set[str]:
        """Read them again; returns the versions for which they changed."""
        found: defaultdict[str, set[int]] = defaultdict(set)
        with self._store.session() as session:
            for service in session.scalars(select(Service)):
                if (version := service.served_version) is not None:
                    found[version.id].add(service.port)
                    if (port := _checked_port(version.health_check)) is not None:
                        found[version.id].add(port)
            for version in session.scalars(with_ports()):
                found[version.id].update(port["deployment_port"] for port in version.ports)
        before, self._ports = self._ports, {id: frozenset(ports) for id, ports in found.items()}
        return {id for id in before.keys() | self._ports.keys() if before.get(id) != self._ports.get(id)}

    def clear(self) -> None:
        """Forget them."""
        self._ports.clear()


def with_ports() -> Select[Any]:
    """A query of the versions that have public ports."""
    return select(Version).where(func.json_array_length(Version.ports) > 0)


def _checked_port(health_check: Mapping[str, Any] | None) -> int | None:
    return health_check.get("port") if health_check else None


def free_ports(declared: Iterable[int]) -> dict[int, int]:
    """A free port for each declared one."""
    # All are held until the last one is found, so that no port is chosen twice.
    with ExitStack() as held:
        found = {}
        for port in declared:
            bound = held.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            found[port] = bound.getsockname()[1]
        return found


def mapping_ports(environment: Mapping[str, str], ports: Mapping[int, int]) -> dict[str, str]:
    """Variables that make Python, also in child processes, bind other ports than the declared ones."""
    if not ports:
        return dict(environment)
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(filter(None, [_BOOTSTRAP, environment.get("PYTHONPATH", "")])),
        _VARIABLE: ",".join(f"{declared}:{own}" for declared, own in ports.items()),
    }
