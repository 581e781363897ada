"""How code of deployments reaches the API: by the variables ``INT_API_URL`` and ``INT_API_TOKEN``."""

from __future__ import annotations

from ubiops.emulator.access.tokens import digest, new_token


class InternalApi:
    """The address of the API, and a token for each deployment, which is valid until the emulator ends.

    Attributes:
        url: URL of the API; empty until it is known.
    """

    def __init__(self) -> None:
        self.url = ""
        self._tokens: dict[str, str] = {}
        self._deployments: dict[str, str] = {}

    def variables(self, deployment_id: str) -> dict[str, str]:
        """The environment variables of a deployment's processes."""
        if not self.url:
            return {}
        return {"INT_API_URL": self.url, "INT_API_TOKEN": self.token(deployment_id)}

    def token(self, deployment_id: str) -> str:
        """The token of a deployment."""
        if deployment_id not in self._tokens:
            token = self._tokens[deployment_id] = new_token()
            self._deployments[digest(token)] = deployment_id
        return self._tokens[deployment_id]

    def deployment(self, token: str) -> str | None:
        """The id of the deployment that a token belongs to; None if it doesn't belong to a deployment."""
        return self._deployments.get(digest(token))
