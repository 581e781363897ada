"""URLs, read by one parser: the same one for comparing them and for connecting to them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urljoin

from urllib3.util import parse_url

from ubiops.exceptions import ApiValueError

__all__ = ["Origin", "is_upgrade", "origin_of", "redirect_target", "same_origin", "split", "without_secrets"]

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)(.*)", re.DOTALL)
# Parsers disagree on where the host ends at these.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
_PORTS = {"http": 80, "https": 443}
_NO_URI = r"[^\x21-\x7e]|\\"


class Origin(NamedTuple):
    """The origin of a URL: the host in lower case and in the form of DNS, with the port that the scheme implies."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _PORTS.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def split(url: str) -> tuple[str, str]:
    """The text of an absolute URL up to its path, and the request target there.

    Raises:
        ApiValueError: The URL has no scheme.
    """
    match = _URL.match(url)
    if match is None:
        raise ApiValueError(f"The host {without_secrets(url)!r} has no scheme: write https://{without_secrets(url)}")
    start, target = match.groups()
    if not target.startswith("/"):
        target = f"/{target}"
    # Resolved, since a proxy gets it in this form.
    return start, parse_url(target).request_uri if "/." in target else target


@lru_cache(64)
def origin_of(start: str) -> Origin:
    """The origin of a URL.

    Args:
        start: The URL up to its path.

    Raises:
        ApiValueError: It isn't a valid URL, or has a scheme other than http and https.
    """
    try:
        if _AMBIGUOUS.search(start):
            raise ValueError("white space, a control character or a backslash")
        parsed = parse_url(start)
        if not parsed.host:
            raise ValueError("no host")
        default = _PORTS[parsed.scheme or ""]
        return Origin(parsed.scheme or "", parsed.host, default if parsed.port is None else parsed.port)
    except (ValueError, KeyError):
        raise ApiValueError(f"The host {without_secrets(start)!r} can't be used: it isn't a valid URL") from None


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs have scheme, host and port in common.

    Raises:
        ApiValueError: One of them isn't a valid URL.
    """
    return origin_of(split(url)[0]) == origin_of(split(other)[0])


def is_upgrade(url: str, target: str) -> bool:
    """Whether a target is the same host over https, both at their default ports."""
    before, after = origin_of(split(url)[0]), origin_of(split(target)[0])
    return before == ("http", after.host, 80) and after == ("https", before.host, 443)


def redirect_target(url: str, location: str) -> str | None:
    """The URL that a ``Location`` leads to; None if it is ambiguous, since its target must not be guessed."""
    location = location.strip(" \t")
    if not location or re.search(_NO_URI, location):
        return None
    try:
        target = urljoin(url, location)
        start, _ = split(target)
        return None if "@" in start or "%" in start or not origin_of(start).host else target
    except ValueError:
        return None


def without_secrets(url: str) -> str:
    """A URL to show: without user, password, query and fragment, which contain credentials and signatures."""
    shown, mark, _ = re.sub(r"^([^/?#]*//)?[^/?#]*@", r"\1", url).partition("?")
    return f"{shown}?***" if mark else shown.partition("#")[0]
