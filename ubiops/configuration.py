"""`Configuration`: where the API is, the credentials, and how to reach it."""

from __future__ import annotations

import base64
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ubiops.exceptions import ApiValueError

if TYPE_CHECKING:
    import ssl

__all__ = ["Configuration"]


class _LeftOut(str):
    """The default of an argument, distinct from the same text passed by a caller."""

    __slots__ = ()


_DEFAULT_HOST = _LeftOut("https://api.ubiops.com/v2.1")
# Base path of the API, by the client version whose operations it serves.
_VERSIONS = {"3.12": "/v2.1", "4.14": "/v2.1", "4.15": "/v2"}
_VERSION = re.compile(r"/v\d+(\.\d+)?(/|$)")
_ELSEWHERE = r"(?i)https?://(?!localhost|127\.)[\w.-]+(:\d+)?(/|$)"
_LOGGERS = {"package_logger": "ubiops", "urllib3_logger": "urllib3"}


class Configuration:
    """Settings of a client.

    Settings that aren't given come from the environment: ``UBIOPS_API_TOKEN`` for ``api_key['Authorization']``,
    ``UBIOPS_API_HOST`` for ``host`` (the version is appended if it has none), and ``HTTPS_PROXY``, ``HTTP_PROXY`` and
    ``NO_PROXY`` for ``proxy``. Inside a running deployment, if neither host nor key is set in either way, the
    deployment's own API is called: ``INT_API_URL`` with ``INT_API_TOKEN``.

    Args:
        host: URL of the API, with its version; ``https://`` is added if it has no scheme. A URL without a version is
            used as it is, with a warning unless it is on this machine.
        api_key: ``{"Authorization": "Token <YOUR_API_TOKEN>"}``; ``Token`` is added before a key of one word.
        api_key_prefix: ``{"Authorization": "Token"}``, if the key itself comes without it.
        username: For `get_basic_auth_token`.
        password: For `get_basic_auth_token`.
        signing_info: Stored but not used; the API signs nothing.
        generation: The client version whose API is called, ``"3.12"``, ``"4.14"`` or ``"4.15"``; it chooses the version
            of the default host. None for ``/v2.1``.

    Raises:
        ApiValueError: The generation isn't one of these, or a key isn't a dict.

    Attributes:
        refresh_api_key_hook (Callable[[Configuration], None] | None): Called before each use of the API key.
        client_side_validation (bool): Whether requests are checked before they are sent. Default True.
        verify_ssl (bool): Whether the server's certificate is verified. Default True.
        ssl_ca_cert (str | None): File of CA certificates. Default: the first that is set of ``SSL_CERT_FILE``,
            ``SSL_CERT_DIR``, ``REQUESTS_CA_BUNDLE`` and ``CURL_CA_BUNDLE``; else those of ``certifi``.
        ssl_context (ssl.SSLContext | None): A context to use, such as one of ``truststore``; it replaces
            ``verify_ssl``, ``ssl_ca_cert`` and the variables of the environment.
        cert_file (str | None): Client certificate (PEM).
        key_file (str | None): Key of the client certificate (PEM).
        assert_hostname (str | bool | None): Host name to verify instead of the URL's; False verifies none.
        connection_pool_maxsize (int): Connections to keep open to a host. Default: CPU count * 5.
        proxy (str | None): URL of the proxy; an empty string for none, regardless of the environment.
        proxy_headers (Mapping[str, str] | None): Headers for the proxy only.
        max_response_size (int): Maximum number of bytes of an answer that is read into memory, unpacked. Default 1 GiB.
        retries (int | urllib3.Retry | None): Number of retries (default 2, 0 for none), or a policy that replaces the
            client's.
        auto_retry_rate_limiting (bool): Whether requests refused by the rate limit (429) are sent again. Default True.
        safe_chars_for_path_param (str): Characters that are not percent-encoded in path parameters. Default none.
        temp_folder_path (str | None): Folder for downloads. Default: the system's folder for temporary files.
        debug (bool): Whether the logger ``ubiops`` is at DEBUG. Default False.
        logger_format (str): Format of `logger_file`.
        logger_file (str | None): File to log to.
    """

    # Values on the class, so that doubles made from it have them too, and misspelled settings can be detected.
    host: str = str(_DEFAULT_HOST)
    api_key: dict[str, str] = None  # type: ignore[assignment]
    api_key_prefix: dict[str, str] = None  # type: ignore[assignment]
    username: str | None = None
    password: str | None = None
    signing_info: Any = None
    generation: str | None = None
    refresh_api_key_hook: Callable[[Configuration], None] | None = None
    logger: dict[str, logging.Logger] = None  # type: ignore[assignment]
    logger_formatter: logging.Formatter = None  # type: ignore[assignment]
    logger_stream_handler: logging.Handler | None = None
    logger_file_handler: logging.FileHandler | None = None
    verify_ssl: bool = True
    ssl_ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    assert_hostname: str | bool | None = None
    connection_pool_maxsize: int = (os.cpu_count() or 1) * 5
    max_response_size: int = 1 << 30
    ssl_context: ssl.SSLContext | None = None
    proxy: str | None = None
    proxy_headers: Mapping[str, str] | None = None
    safe_chars_for_path_param: str = ""
    temp_folder_path: str | None = None
    retries: Any = None
    auto_retry_rate_limiting: bool = True
    client_side_validation: bool = True
    # Whether neither the program nor the environment has chosen a host.
    _has_default_host = False

    def __init__(
        self,
        host: str | None = _DEFAULT_HOST,
        api_key: dict[str, str] | None = None,
        api_key_prefix: dict[str, str] | None = None,
        username: str | None = None,
        password: str | None = None,
        signing_info: Any = None,
        generation: str | None = None,
    ) -> None:
        if generation is not None and generation not in _VERSIONS:
            raise ApiValueError(f"generation must be {', '.join(map(repr, _VERSIONS))} or None, not {generation!r}")
        self.generation = generation
        if host is None or isinstance(host, _LeftOut):
            host = _host_from_environment(generation)
        self.host = _versioned("https://api.ubiops.com", generation) if host is None else host
        self._has_default_host = host is None
        self.temp_folder_path = None
        self.api_key = _copied("api_key", api_key)
        self.api_key_prefix = _copied("api_key_prefix", api_key_prefix)
        self.refresh_api_key_hook = None
        self.username = username
        self.password = password
        self.signing_info = signing_info
        self.logger = {name: logging.getLogger(logger) for name, logger in _LOGGERS.items()}
        self.logger_stream_handler = None
        self.logger_file_handler = None
        self.logger_format = "%(asctime)s %(levelname)s %(message)s"
        self.logger_file = None
        self._debug = False
        self._level = logging.NOTSET
        self.verify_ssl = True
        self.ssl_context = None
        self.ssl_ca_cert = None
        self.cert_file = None
        self.key_file = None
        self.assert_hostname = None
        self.connection_pool_maxsize = type(self).connection_pool_maxsize
        self.proxy = None
        self.proxy_headers = None
        self.safe_chars_for_path_param = ""
        self.max_response_size = type(self).max_response_size
        self.retries = None
        self.auto_retry_rate_limiting = True
        self.client_side_validation = True
        self._quiet_loggers()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "host":
            value = _with_scheme(value)
            self._has_default_host = False
        elif not hasattr(type(self), name) and name not in self.__dict__ and not name.startswith("_"):
            from ubiops.schema import nearest_hint

            known = [known for known in dir(Configuration) if not known.startswith("_")]
            hint = nearest_hint(name, known, cutoff=0.8)
            if hint:
                warnings.warn(f"Configuration has no setting `{name}`: it has no effect{hint}", stacklevel=2)
        object.__setattr__(self, name, value)

    def address(self) -> str:
        """The URL that calls go to: `host`, or the API that a running deployment belongs to."""
        if self._is_inside_deployment():
            return str(_with_scheme(_versioned(os.environ["INT_API_URL"], self.generation)))
        return self.host

    def _is_inside_deployment(self) -> bool:
        """Whether this runs inside a deployment, and the program has set neither host nor key."""
        return (
            self._has_default_host
            and "Authorization" not in self.api_key
            and all(os.environ.get(name) for name in ("INT_API_URL", "INT_API_TOKEN"))
            and not any(os.environ.get(name) for name in ("UBIOPS_API_HOST", "UBIOPS_API_TOKEN"))
        )

    # Credentials

    def get_api_key_with_prefix(self, identifier: str) -> str | None:
        """The value of an API key's header; None without a key.

        Raises:
            ApiValueError: The key is empty, or not a string.
        """
        if self.refresh_api_key_hook is not None:
            self.refresh_api_key_hook(self)
        source = f"configuration.api_key[{identifier!r}]"
        key: str | bytes | None = self.api_key.get(identifier)
        if key is None and identifier == "Authorization":
            variable = "INT_API_TOKEN" if self._is_inside_deployment() else "UBIOPS_API_TOKEN"
            source, key = f"The environment variable {variable}", os.environ.get(variable)
            key = key and key.strip()
        if key is None:
            return None
        if not isinstance(key, (str, bytes)):
            raise ApiValueError(f"{source} must be str, not {type(key).__name__}")
        key = key.decode() if isinstance(key, bytes) else key
        if not key.strip() or key.strip() == "Token":
            raise ApiValueError(f"{source} is empty: set it to 'Token <YOUR_API_TOKEN>'")
        prefix = self.api_key_prefix.get(identifier)
        if not prefix and identifier == "Authorization" and " " not in key.strip():
            return f"Token {key.strip()}"
        return f"{prefix} {key}" if prefix and not key.startswith(f"{prefix} ") else key

    def get_basic_auth_token(self) -> str:
        """The value of a basic authentication header for `username` and `password`."""
        pair = f"{self.username or ''}:{self.password or ''}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def auth_settings(self) -> dict[str, dict[str, Any]]:
        """The credentials that a request carries, by name of the security scheme; empty without a key."""
        value = self.get_api_key_with_prefix("Authorization")
        if value is None:
            return {}
        return {"api_key": {"type": "api_key", "in": "header", "key": "Authorization", "value": value}}

    # Logging

    @property
    def debug(self) -> bool:
        """Whether the client logs its requests and answers, without credentials."""
        return self._debug

    @debug.setter
    def debug(self, value: bool) -> None:
        logger = self.logger["package_logger"]
        if value and not self._debug:
            self._level = logger.level
            logger.setLevel(logging.DEBUG)
        elif self._debug and not value:
            logger.setLevel(self._level)
        self._debug = value

    def _quiet_loggers(self) -> None:
        for logger in self.logger.values():
            # Programs with a root logger at DEBUG rely on this quiet; a level that the program set stays.
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.WARNING)

    @property
    def logger_file(self) -> str | None:
        """File that the client's log lines are appended to; None for no file."""
        return self._logger_file

    @logger_file.setter
    def logger_file(self, value: str | None) -> None:
        self._logger_file = value
        if self.logger_file_handler is not None:
            for logger in self.logger.values():
                logger.removeHandler(self.logger_file_handler)
            self.logger_file_handler.close()
            self.logger_file_handler = None
        if value:
            self.logger_file_handler = logging.FileHandler(value)
            self.logger_file_handler.setFormatter(self.logger_formatter)
            for logger in self.logger.values():
                logger.addHandler(self.logger_file_handler)

    @property
    def logger_format(self) -> str:
        """Format of the lines in `logger_file`, as for `logging.Formatter`."""
        return self._logger_format

    @logger_format.setter
    def logger_format(self, value: str) -> None:
        self._logger_format = value
        self.logger_formatter = logging.Formatter(value)
        if self.logger_file_handler is not None:
            self.logger_file_handler.setFormatter(self.logger_formatter)

    # Hosts

    def get_host_settings(self) -> list[dict[str, Any]]:
        """The hosts that the API document names."""
        return [{"url": str(_DEFAULT_HOST), "description": "No description provided"}]

    def get_host_from_settings(self, index: int, variables: Mapping[str, str] | None = None) -> str:
        """The URL of a host by its index in `get_host_settings`.

        Raises:
            ValueError: There is no such host.
        """
        servers = self.get_host_settings()
        if not 0 <= index < len(servers):
            raise ValueError(
                f"Invalid index {index} when selecting the host settings. Must be less than {len(servers)}"
            )
        url: str = servers[index]["url"]
        return url

    @staticmethod
    def to_debug_report() -> str:
        """The environment's data for a bug report."""
        import platform

        from ubiops import __version__

        return (
            "Python SDK Debug Report:\n"
            f"OS: {platform.platform()}\n"
            f"Python Version: {platform.python_version()}\n"
            "Version of the API: v2.1\n"
            f"SDK Package Version: {__version__}"
        )

    def __repr__(self) -> str:
        return f"Configuration(host={self.host!r}, api_key={dict.fromkeys(self.api_key, '***')!r})"

    def __getstate__(self) -> dict[str, Any]:
        # A handler has an open file and a lock, so a new one is created.
        return {**self.__dict__, "logger_file_handler": None, "logger_stream_handler": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._quiet_loggers()
        if self._debug:
            self.logger["package_logger"].setLevel(logging.DEBUG)
        path = os.path.abspath(self._logger_file) if self._logger_file else None
        handlers = self.logger["package_logger"].handlers
        if not any(isinstance(handler, logging.FileHandler) and handler.baseFilename == path for handler in handlers):
            self.logger_file = self._logger_file

    def __deepcopy__(self, memo: dict[int, Any]) -> Configuration:
        import copy

        duplicate = type(self).__new__(type(self))
        memo[id(self)] = duplicate
        # Loggers, their handlers and hooks are shared, not copied.
        shared = {
            "ssl_context",
            "logger",
            "logger_formatter",
            "logger_file_handler",
            "logger_stream_handler",
            "refresh_api_key_hook",
        }
        for name, value in self.__dict__.items():
            duplicate.__dict__[name] = value if name in shared else copy.deepcopy(value, memo)
        return duplicate


def _host_from_environment(generation: str | None) -> str | None:
    host = os.environ.get("UBIOPS_API_HOST", "").strip().rstrip("/")
    return _versioned(host, generation) if host else None


def _versioned(host: str, generation: str | None) -> str:
    return host if _VERSION.search(host) else f"{host.rstrip('/')}{_VERSIONS[generation or '3.12']}"


def _with_scheme(host: Any) -> Any:
    # A value that isn't a host is refused when it is used.
    if not isinstance(host, str) or not host.strip() or host.startswith("//"):
        return host
    if "://" not in host:
        host = f"https://{host}"
    if not _VERSION.search(host) and re.match(_ELSEWHERE, host):
        # The caller that sets it, in the constructor or later.
        level = 4 if sys._getframe(2).f_code is Configuration.__init__.__code__ else 3
        warnings.warn(
            f"configuration.host has no version, unlike {_DEFAULT_HOST}: it is used as it is", stacklevel=level
        )
    return host


def _copied(name: str, value: Mapping[str, str] | None) -> dict[str, str]:
    if value is not None and not isinstance(value, Mapping):
        # Without the value, which is a credential.
        raise ApiValueError(f"{name} must be a dict such as {{'Authorization': ...}}, not {type(value).__name__}")
    return dict(value or {})
