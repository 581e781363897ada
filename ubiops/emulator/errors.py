"""The error with which a handler refuses a request."""

from __future__ import annotations


class ApiError(Exception):
    """Answers the request with a status and ``{"error": message}``.

    Args:
        status: HTTP status, 400 or above.
        message: What is wrong and what to do, for the caller.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def invalid(message: str) -> ApiError:
    """400: the request breaks a rule."""
    return ApiError(400, message)


def not_found(message: str) -> ApiError:
    """404: something that the request names doesn't exist."""
    return ApiError(404, message)


def taken(kind: str, name: str, where: str = "") -> ApiError:
    """409: the name is in use."""
    return ApiError(409, f"A {kind} named '{name}' exists already{where}; choose another name")
