"""What every helper takes as its first argument: a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ubiops.api.core_api import CoreApi

if TYPE_CHECKING:
    from ubiops.api_client import ApiClient

    Client = ApiClient | CoreApi

__all__ = ["core_api"]


def core_api(client: Client) -> CoreApi:
    """The operations of a client.

    Raises:
        ApiTypeError: It is no client.
    """
    return client if isinstance(client, CoreApi) else CoreApi(client)
