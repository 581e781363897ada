"""The addresses of services: a path of the emulator, or a host name of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

PREFIX = "/_services/"
"""What the paths of services begin with."""

_DOMAIN = "services.localhost"
"""What their host names end with; many systems resolve all names below ``localhost`` to the loopback address."""

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PATH = re.compile(f"{PREFIX}({_ID})(/.*)?".encode(), re.DOTALL)
_HOST = re.compile(rf"({_ID})\.{re.escape(_DOMAIN)}(?::\d+)?".encode(), re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """The service and the path that a request asks for.

    Attributes:
        service_id: Id of the service.
        prefix: Prefix of its paths; empty if the service has its own host name.
        path: The path at the service, as received; empty if even its slash is missing.
        query: The query, as received.
    """

    service_id: str
    prefix: str
    path: bytes
    query: bytes

    @property
    def target(self) -> bytes:
        """Path and query, as sent to the service."""
        return self.path + (b"?" + self.query if self.query else b"")


def find_place(scope: Any) -> Place | None:
    """The service and the path that a request asks for; None if it is for the API."""
    # Undecoded: a decoded path may mean another one to the next reader.
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    for name, value in scope["headers"]:
        if name == b"host" and (found := _HOST.fullmatch(value.strip())):
            return Place(found[1].decode().lower(), "", path, query)
    if found := _PATH.fullmatch(path):
        service_id = found[1].decode()
        return Place(service_id, f"{PREFIX}{service_id}", found[2] or b"", query)
    return None
