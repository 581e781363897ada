"""Errors of the transport: each is also the urllib3 error that the older client raised.

They are not in `ubiops.exceptions`, so that programs that catch `ApiConnectionError` don't load urllib3.
"""

from __future__ import annotations

import ssl
from typing import Any

from urllib3.exceptions import (
    ConnectTimeoutError,
    DecodeError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    PoolError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TransportTimeoutError

from ubiops.exceptions import ApiConnectionError, ApiTimeoutError

__all__ = [
    "ApiDecodeError",
    "ApiMaxRetryError",
    "ApiMaxRetryTimeoutError",
    "ApiProtocolError",
    "ApiReadTimeoutError",
    "ApiSendTimeoutError",
    "transport_error",
]

# The methods that urllib3 retries by itself, after which its error says that it gave up.
_REPEATED = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class _TransportError(ApiConnectionError):
    def __init__(self, status: int | None = 0, reason: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(status, reason, *args, **kwargs)
        # urllib3's errors refer to the pool, and so keep its connections open.
        self.pool: Any = None
        self.url: str | None = None


class ApiMaxRetryError(_TransportError, MaxRetryError):  # type: ignore[misc]
    """No connection, or it broke during a request that may be repeated."""


class ApiMaxRetryTimeoutError(_TransportError, ApiTimeoutError, MaxRetryError):  # type: ignore[misc]
    """No connection or no answer in time, for a request that may be repeated."""


class ApiReadTimeoutError(_TransportError, ApiTimeoutError, ReadTimeoutError):
    """No answer in time to a request that may have been carried out."""


class ApiProtocolError(_TransportError, ProtocolError):
    """The connection broke after a request that may have been carried out."""


class ApiSendTimeoutError(_TransportError, ApiTimeoutError, ProtocolError):
    """The server didn't receive a request in time."""


class ApiDecodeError(_TransportError, DecodeError):
    """The answer isn't compressed as declared."""


def transport_error(error: HTTPError, method: str) -> ApiConnectionError:
    """The error to raise from an error that urllib3 raised in one attempt."""
    # urllib3 treats a timeout while sending as a broken connection.
    sending = isinstance(error, ProtocolError) and any(isinstance(cause, TimeoutError) for cause in error.args)
    timed_out = sending or (isinstance(error, TransportTimeoutError) and not isinstance(error, NewConnectionError))
    unconnected = isinstance(error, (NewConnectionError, ConnectTimeoutError, ProxyError, SSLError))
    if isinstance(error, DecodeError):
        kind: type[_TransportError] = ApiDecodeError
    elif method in _REPEATED or unconnected:
        kind = ApiMaxRetryTimeoutError if timed_out else ApiMaxRetryError
    elif isinstance(error, ProtocolError):
        kind = ApiSendTimeoutError if sending else ApiProtocolError
    else:
        kind = ApiReadTimeoutError if timed_out else ApiMaxRetryError
    raised = kind(0, f"{type(error).__name__}: {error}{_advice(error)}")
    for one in (error, *error.args):
        if isinstance(one, PoolError):
            one.pool = None  # type: ignore[assignment]
    return raised


def _advice(error: HTTPError) -> str:
    reason = error.original_error if isinstance(error, ProxyError) else error
    if not any(isinstance(cause, ssl.SSLCertVerificationError) for cause in (reason, *reason.args)):
        return ""
    return (
        ". If the network has its own certificate authority, set configuration.ssl_ca_cert or the environment variable "
        "SSL_CERT_FILE to the file of its certificate (PEM)"
    )
