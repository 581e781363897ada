"""Finds out whose process listens on a port, so that services reach their own instances only.

Linux shows it below ``/proc``. Other systems aren't asked: there, an instance is reached only at the port that it was
assigned, which was free.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ubiops.clock import monotonic

_TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
_LISTENING = "0A"
_FRESH = 1.0
"""Seconds for which a listener is cached while its socket is open: the tables are long, and slow to read."""
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Wildcard addresses, and the addresses at which they are reached."""


@dataclass(frozen=True)
class Listener:
    """A socket that takes connections.

    Attributes:
        host: Where it is reached.
        port: Its port.
        inode: Inode of the socket on Linux; 0 elsewhere.
    """

    host: str
    port: int
    inode: int = 0


@dataclass(frozen=True)
class _Socket:
    address: str
    port: int
    inode: int


class Listeners:
    """The sockets on which the processes of one instance listen."""

    def __init__(self) -> None:
        # Descriptors of sockets: one that a process still has open under the same number isn't searched for again.
        self._known: dict[int, str] = {}
        self._found: dict[int, tuple[float, Listener]] = {}

    def find(self, declared: int, own: int, roots: Collection[int]) -> Listener | None:
        """The listener for a port that the instance declares; None if none of its processes has one.

        Args:
            declared: The port that the code was written for.
            own: The port that the instance has instead.
            roots: Ids of the processes of the instance; those that they started belong to it too.
        """
        if not _TABLES[socket.AF_INET].exists():
            return Listener("127.0.0.1", own)
        moment, found = self._found.get(own, (0.0, None))
        if found is not None and monotonic() - moment < _FRESH and self._is_open(found.inode):
            return found
        found = self._search(declared, own, roots)
        if found is not None:
            self._found[own] = monotonic(), found
        return found

    def _search(self, declared: int, own: int, roots: Collection[int]) -> Listener | None:
        sockets = list(_listening({own, declared}))
        owned = self._owned({found.inode for found in sockets}, roots)
        for found in sorted(sockets, key=lambda found: found.port != own):
            # The connection may go to another process that shares the port.
            rivals = {
                other.inode
                for other in sockets
                if other.port == found.port and (other.address == found.address or other.address in _ANY)
            }
            if found.inode in owned and rivals <= owned:
                return Listener(_ANY.get(found.address, found.address), found.port, found.inode)
        return None

    def _owned(self, inodes: set[int], roots: Collection[int]) -> set[int]:
        """The sockets among these that processes of the instance have."""
        self._known = {inode: path for inode, path in self._known.items() if self._is_open(inode)}
        if inodes - self._known.keys():
            names = {f"socket:[{inode}]": inode for inode in inodes}
            for process in _tree(roots):
                for path in _descriptors(process):
                    if (inode := names.get(_target(path))) is not None:
                        self._known[inode] = path
        return inodes & self._known.keys()

    def _is_open(self, inode: int) -> bool:
        """Whether a process of the instance still has the socket."""
        return _target(self._known.get(inode, "")) == f"socket:[{inode}]"


def is_taken(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    return any(_listening({port}))


def _listening(ports: Iterable[int]) -> Iterator[_Socket]:
    """The sockets that listen on ports of this machine."""
    wanted = {f"{port:04X}": port for port in ports}
    for family, table in _TABLES.items():
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split(maxsplit=10)
            address, _, number = fields[1].partition(":")
            if fields[3] == _LISTENING and number in wanted:
                yield _Socket(_address(family, address), wanted[number], int(fields[9]))


def _address(family: socket.AddressFamily, text: str) -> str:
    # 32-bit words, each in the byte order of the machine.
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words))


def _descriptors(process: int) -> list[str]:
    try:
        return [f"/proc/{process}/fd/{number}" for number in os.listdir(f"/proc/{process}/fd")]
    except OSError:
        # The process has ended.
        return []


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _tree(roots: Collection[int]) -> set[int]:
    """Processes and those that they started; one whose parent has ended is found by its session."""
    relations = dict(filter(None, map(_relation, os.listdir("/proc"))))
    members = set(roots) | {process for process, (_, session) in relations.items() if session in roots}
    while True:
        children = {process for process, (parent, _) in relations.items() if parent in members}
        if children <= members:
            return members
        members |= children


def _relation(name: str) -> tuple[int, tuple[int, int]] | None:
    """The parent and the session of a process, by its name below ``/proc``."""
    try:
        status = Path(f"/proc/{int(name)}/stat").read_text()
    except (ValueError, OSError):
        return None
    # The name of the program, which comes before, may contain a bracket too.
    _, parent, _, session = status.rpartition(")")[2].split()[:4]
    return int(name), (int(parent), int(session))
