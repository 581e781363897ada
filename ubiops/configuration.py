"""`Configuration`: where the API is, the credentials, and how to reach it."""

from __future__ import annotations

import base64
import copy
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from six import ensure_str

from ubiops.exceptions import ApiValueError

if TYPE_CHECKING:
    import ssl

__all__ = ["Configuration"]

# A string object of its own, so that a host that was passed is told from the default even where it reads the same.
_DEFAULT_HOST = "".join(("https://", "api.ubiops.com/v2.1"))
_LOGGERS = {"package_logger": "ubiops", "urllib3_logger": "urllib3"}


class Configuration:
    """Settings of a client.

    The environment fills in what isn't set: ``UBIOPS_API_TOKEN`` for ``api_key['Authorization']``,
    ``UBIOPS_API_HOST`` for ``host``, and ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` for ``proxy``.

    Args:
        host: URL of the API, with its scheme and version.
        api_key: ``{"Authorization": "Token <YOUR_API_TOKEN>"}``.
        api_key_prefix: ``{"Authorization": "Token"}``, where the key itself comes without it.
        username: For `get_basic_auth_token`.
        password: For `get_basic_auth_token`.
        signing_info: Kept as it is; the API signs nothing.

    Attributes:
        refresh_api_key_hook (Callable[[Configuration], None] | None): Called before each use of the API key.
        client_side_validation (bool): Whether requests are checked before they are sent. Default True.
        verify_ssl (bool): Whether the server's certificate is verified. Default True.
        ssl_ca_cert (str | None): File of CA certificates. Default: what ``SSL_CERT_FILE``, ``SSL_CERT_DIR``,
            ``REQUESTS_CA_BUNDLE`` or ``CURL_CA_BUNDLE`` names, the first that is set; else those of ``certifi``.
        ssl_context (ssl.SSLContext | None): A context of the program's, such as one of ``truststore``; it takes the
            place of ``verify_ssl``, ``ssl_ca_cert`` and what the environment names.
        cert_file (str | None): Client certificate (PEM).
        key_file (str | None): Key of the client certificate (PEM).
        assert_hostname (str | bool | None): Host name to verify instead of the URL's; False verifies none.
        connection_pool_maxsize (int): Connections to keep open to a host. Default: CPU count * 5.
        proxy (str | None): URL of the proxy; an empty text for none, whatever the environment says.
        proxy_headers (Mapping[str, str] | None): Headers for the proxy alone.
        max_response_size (int): Bytes of an answer that is read into memory, unpacked. Default 1 GiB.
        retries (int | urllib3.Retry | None): Number of retries (default 2, 0 for none), or a policy that replaces ours.
        safe_chars_for_path_param (str): Characters that are not percent-encoded in path parameters. Default none.
        temp_folder_path (str | None): Folder for downloads; default: the system's for temporary files.
        debug (bool): Whether the logger ``ubiops`` is at DEBUG. Default False.
        logger_format (str): Format of `logger_file`.
        logger_file (str | None): File to log to.
    """

    connection_pool_maxsize: int = (os.cpu_count() or 1) * 5
    max_response_size: int = 1 << 30

    def __init__(
        self,
        host: str = _DEFAULT_HOST,
        api_key: dict[str, str] | None = None,
        api_key_prefix: dict[str, str] | None = None,
        username: str | None = None,
        password: str | None = None,
        signing_info: Any = None,
    ) -> None:
        self.host: str = (os.environ.get("UBIOPS_API_HOST") or host) if host is _DEFAULT_HOST else host
        self.temp_folder_path: str | None = None
        self.api_key: dict[str, str] = _copied("api_key", api_key)
        self.api_key_prefix: dict[str, str] = _copied("api_key_prefix", api_key_prefix)
        self.refresh_api_key_hook: Callable[[Configuration], None] | None = None
        self.username = username
        self.password = password
        self.signing_info = signing_info
        self.logger = {name: logging.getLogger(logger) for name, logger in _LOGGERS.items()}
        self.logger_stream_handler: logging.Handler | None = None
        self.logger_file_handler: logging.FileHandler | None = None
        self.logger_format = "%(asctime)s %(levelname)s %(message)s"
        self.logger_file = None
        self._debug = False
        self._level = logging.NOTSET
        self.verify_ssl = True
        self.ssl_ca_cert: str | None = None
        self.ssl_context: ssl.SSLContext | None = None
        self.cert_file: str | None = None
        self.key_file: str | None = None
        self.assert_hostname: str | bool | None = None
        self.connection_pool_maxsize = type(self).connection_pool_maxsize
        self.proxy: str | None = None
        self.proxy_headers: Mapping[str, str] | None = None
        self.safe_chars_for_path_param = ""
        self.max_response_size = type(self).max_response_size
        self.retries: Any = None
        self.client_side_validation = True
        self._quiet_loggers()

    # Credentials

    def get_api_key_with_prefix(self, identifier: str) -> str | None:
        """The value of an API key's header; None where there is no key.

        Raises:
            ApiValueError: The key is empty, or no text.
        """
        if self.refresh_api_key_hook is not None:
            self.refresh_api_key_hook(self)
        source = f"configuration.api_key[{identifier!r}]"
        key: str | bytes | None = self.api_key.get(identifier)
        if key is None and identifier == "Authorization":
            source, key = "The environment variable UBIOPS_API_TOKEN", os.environ.get("UBIOPS_API_TOKEN")
            key = key and key.strip()
            if key and " " not in key:
                key = f"Token {key}"
        if key is None:
            return None
        if not isinstance(key, (str, bytes)):
            raise ApiValueError(f"{source} must be text, not {type(key).__name__}")
        key = ensure_str(key)
        if not key.strip() or key.strip() == "Token":
            raise ApiValueError(f"{source} is empty: set it to 'Token <YOUR_API_TOKEN>'")
        prefix = self.api_key_prefix.get(identifier)
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
        """File that the client's log lines are appended to; None for no file of its own."""
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
        """Format of the lines in `logger_file`, as `logging.Formatter` has it."""
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

    def to_debug_report(self) -> str:
        """What to say of the environment in a bug report."""
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
        # A handler holds an open file and a lock: it is made anew.
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


def _copied(name: str, value: Mapping[str, str] | None) -> dict[str, str]:
    if value is not None and not isinstance(value, Mapping):
        # Without the value, which is a credential.
        raise ApiValueError(f"{name} must be a dict such as {{'Authorization': ...}}, not {type(value).__name__}")
    return dict(value or {})
