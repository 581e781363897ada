"""Which proxy a request goes through."""

from __future__ import annotations

import ipaddress
import os
from base64 import b64encode
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import urllib3
from urllib3.util import parse_url

from ubiops.connections import pools_by_scheme
from ubiops.exceptions import ApiValueError
from ubiops.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ubiops.urls import Origin

__all__ = ["is_socks", "proxy_from_environment", "proxy_manager", "proxy_secrets", "with_scheme"]

_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy"})
_AUTHORIZATION = "proxy-authorization"
_SHORTEST_SECRET = 6


def proxy_from_environment(origin: Origin) -> str | None:
    """The URL of the proxy that ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` name; None for none."""
    if not any(name.lower() in _VARIABLES for name in os.environ):
        return None
    from urllib.request import getproxies_environment

    proxies = getproxies_environment()
    proxy = proxies.get(origin.scheme) or proxies.get("all")
    return with_scheme(proxy) if proxy and not _is_excepted(origin, proxies.get("no", "")) else None


def _is_excepted(origin: Origin, exceptions: str) -> bool:
    """Whether ``NO_PROXY`` names a host: as itself or its domain, its network, or with its port."""
    host = origin.host.strip("[]").rstrip(".").lower()
    for entry in exceptions.lower().replace(",", " ").split():
        if entry == "*" or _is_in_network(host, entry):
            return True
        name, colon, port = entry.rpartition(":")
        if colon and port.isdecimal() and (":" not in name or name.endswith("]")):
            if int(port) != origin.port:
                continue
            entry = name
        name = entry.strip("[]").removeprefix("*").strip(".")
        if name and (host == name or host.endswith(f".{name}")):
            return True
    return False


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def with_scheme(proxy: str) -> str:
    """The URL of a proxy; a bare ``host:port`` is an HTTP proxy."""
    return proxy if "://" in proxy else f"http://{proxy}"


def is_socks(proxy: str) -> bool:
    """Whether it is a SOCKS proxy."""
    return proxy.lower().startswith("socks")


def proxy_manager(proxy: str, headers: Mapping[str, str] | None, options: dict[str, Any]) -> urllib3.PoolManager:
    """A manager that opens connections through a proxy.

    Args:
        proxy: Its URL, which may contain a user and a password.
        headers: Headers for the proxy only.
        options: Those of `urllib3.PoolManager`.

    Raises:
        ApiValueError: The URL can't be used, or a package for it is missing.
    """
    try:
        parsed = parse_url(proxy)
        if not parsed.host:
            raise ValueError("no host")
        if is_socks(proxy):
            return _socks_manager(proxy, options)
        sent = dict(headers or {})
        if parsed.auth and not any(name.lower() == _AUTHORIZATION for name in sent):
            sent["Proxy-Authorization"] = f"Basic {_basic(*_user_and_password(parsed.auth))}"
        manager = urllib3.ProxyManager(proxy, proxy_headers=sent, **options)
        manager.pool_classes_by_scheme = pools_by_scheme()
        return manager
    except ApiValueError:
        raise
    except ValueError:
        raise ApiValueError(f"The proxy {without_secrets(proxy)!r} can't be used: write http://host:port") from None


def proxy_secrets(proxy: str, headers: Mapping[str, str] | None) -> set[str]:
    """The credentials for a proxy, which it may repeat: as they are, and as they are sent."""
    given = (value for name, value in (headers or {}).items() if name.lower() == _AUTHORIZATION)
    secrets = {value.rpartition(" ")[2] for value in given}
    auth = parse_url(proxy).auth
    if auth:
        user, password = _user_and_password(auth)
        secrets |= {password, _basic(user, password)}
    # Shorter ones aren't secret, and masking them would garble the text.
    return {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}


def _user_and_password(auth: str) -> tuple[str, str]:
    user, _, password = auth.partition(":")
    return unquote(user), unquote(password)


def _basic(user: str, password: str) -> str:
    return b64encode(f"{user}:{password}".encode()).decode()


def _socks_manager(proxy: str, options: dict[str, Any]) -> urllib3.PoolManager:
    if find_spec("socks") is None:
        raise ApiValueError(f"The proxy {without_secrets(proxy)!r} needs a package: pip install PySocks")
    from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection, SOCKSProxyManager

    manager = SOCKSProxyManager(proxy, **options)
    manager.pool_classes_by_scheme = pools_by_scheme((SOCKSConnection, SOCKSHTTPSConnection))
    return manager
