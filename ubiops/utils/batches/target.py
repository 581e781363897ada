"""What batches are sent to: a version of a deployment or of a pipeline, behind one interface."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ubiops.exceptions import ApiValueError, ForbiddenError, NotFoundError
from ubiops.models import DeploymentRequestUpdate
from ubiops.rest import blocks_of
from ubiops.utils.exceptions import unexpected_answer

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.utils.batches.patience import Patience

__all__ = ["LIMITS", "Target", "created_at"]

LIMITS = {"deployment": 250, "pipeline": 100}
"""The most requests of a batch, and the most ids of a collection."""


class Target:
    """The calls that make, read and cancel requests to one version, each within the time limit of the map.

    Args:
        api: The client's operations.
        project: Name of the project.
        kind: ``deployment`` or ``pipeline``.
        name: Name of the deployment or pipeline.
        version: Name of the version; None for the present default.
        patience: The time limit of the map. Reads are repeated while the server is in trouble.

    Attributes:
        version: Name of the version.
        limit: The kind's entry of `LIMITS`.

    Raises:
        ApiValueError: There is no default version.
        ApiException: There is no such project, deployment or pipeline, or the token may not see it.
    """

    def __init__(
        self, api: CoreApi, project: str, kind: str, name: str, version: str | None, patience: Patience
    ) -> None:
        self._api: Any = api
        self._patience = patience
        self._kind = kind
        # The deployment or pipeline, read once its types are needed.
        self._types: Any = None
        self._named = {"project_name": project, f"{kind}_name": name}
        self._of = f"the {kind} {name!r}"
        self.version = version or self._default_version(api, project, kind, name)
        self.limit = LIMITS[kind]
        # By name: the order of the arguments differs from one operation to the next.
        place = self._place = {**self._named, "version": self.version}
        if kind == "pipeline":
            self._create: partial[Any] = partial(api.batch_pipeline_version_requests_create, **place)
            self._collect: partial[Any] = partial(api.pipeline_version_requests_batch_get, **place)
            self._list: partial[Any] = partial(api.pipeline_version_requests_list, **place)
            self._get: partial[Any] = partial(api.pipeline_versions_get, **place)
            self._cancel: partial[Any] = partial(api.pipeline_version_requests_delete, **place)
        else:
            cancelled = DeploymentRequestUpdate(status="cancelled")
            self._create = partial(api.batch_deployment_version_requests_create, **place)
            self._collect = partial(api.deployment_version_requests_batch_get, **place)
            self._list = partial(api.deployment_version_requests_list, **place)
            self._get = partial(api.deployment_versions_get, **place)
            self._cancel = partial(api.deployment_version_requests_update, **place, data=cancelled)

    def __str__(self) -> str:
        return f"the version {self.version!r} of {self._of}"

    def _default_version(self, api: CoreApi, project: str, kind: str, name: str) -> str:
        get: Any = api.deployments_get if kind == "deployment" else api.pipelines_get
        found = self._patience.ask(partial(get, project, name))
        if found is None:
            raise unexpected_answer(f"{kind}s_get", f"a {kind}", found)
        if not found.default_version:
            raise ApiValueError(f"The {kind} {name!r} has no default version: pass the `version` to use")
        return str(found.default_version)

    def details(self) -> Any:
        """The version's details; None if the token may make requests but not read the version."""
        try:
            found = self._patience.ask(self._get)
        except ForbiddenError:
            return None
        if found is None:
            raise unexpected_answer(_name(self._get), "a version", found)
        return found

    def create(self, inputs: Sequence[Any], timeout: int | None, known: Container[str]) -> list[Any]:
        """Make requests from inputs, in one call that isn't repeated; returns them in the order of the inputs.

        Args:
            inputs: The inputs.
            timeout: Seconds that each request may run; None for the server's default.
            known: The ids of other requests.

        Raises:
            ApiException: The server refused or failed, or its answer doesn't name the requests.
        """
        created: list[Any] = self._create(data=inputs, timeout=timeout, **self._patience.options())
        if not _are_requests(created) or any(request.id in known for request in created):
            raise unexpected_answer(_name(self._create), "new requests with their ids", created)
        return created

    def collect(self, ids: Sequence[str]) -> list[Any]:
        """The existing ones of some requests, in any order: if one is missing, the server refuses the whole call."""
        try:
            found: list[Any] = self._patience.ask(self._collect, data=ids)
        except NotFoundError:
            if len(ids) == 1:
                return []
            half = len(ids) // 2
            return self.collect(ids[:half]) + self.collect(ids[half:])
        if not _are_requests(found) or not {request.id for request in found}.issubset(ids):
            raise unexpected_answer(_name(self._collect), f"{len(ids)} requests", found)
        return found

    def newest(self) -> Any:
        """The newest request; None if there is none, or the token may not list requests."""
        try:
            found = self._patience.ask(self._list, limit=1, sort="desc")
        except ForbiddenError:
            return None
        return self._listed(found)[0] if found else None

    def ids_since(self, start: str | None) -> Iterator[str]:
        """The ids of the requests made since `start`, oldest first."""
        filters: dict[str, Any] = {"sort": "asc", "limit": self.limit}
        if start is not None:
            filters["start_date"] = start
        seen: set[str] = set()
        offset = 0
        while page := self._patience.ask(self._list, offset=offset, **filters):
            new = [request.id for request in self._listed(page) if request.id not in seen]
            if not new:
                raise unexpected_answer(_name(self._list), f"requests from number {offset} on", page)
            yield from new
            seen.update(new)
            offset += len(page)

    def large(self, request: Any, part: Literal["input", "output"]) -> Any:
        """The input or output of a request, if it was too large to be part of the answer; else None."""
        name = f"{part}_size"
        size = getattr(request, name, None) or request.additional_properties.get(name)
        # Anything that isn't longer than `null` was part of the answer.
        if not isinstance(size, int) or size <= len("null"):
            return None
        try:
            data = self._patience.ask(self._download, part=part, id=request.id)
        except NotFoundError:
            return None
        return data.decode() if self._is_plain(part) else json.loads(data)

    def _download(self, part: str, id: str, **options: Any) -> bytes:
        download = getattr(self._api, f"{self._kind}_version_requests_{part}_get")
        return b"".join(blocks_of(download(**self._place, request_id=id, _preload_content=False, **options)))

    def _is_plain(self, part: str) -> bool:
        if self._types is None:
            self._types = self._patience.ask(getattr(self._api, f"{self._kind}s_get"), **self._named)
        return getattr(self._types, f"{part}_type", None) == "plain"

    def cancel(self, id: str) -> None:
        """Stop a request; a request to a pipeline can only be stopped by deleting it."""
        self._cancel(request_id=id, **self._patience.options())

    def _listed(self, page: list[Any]) -> list[Any]:
        if not _are_requests(page):
            raise unexpected_answer(_name(self._list), "requests with their ids", page)
        return page


def _name(operation: partial[Any]) -> str:
    return str(operation.func.__name__)


def _are_requests(answer: Iterable[Any]) -> bool:
    """Whether an answer consists of requests: at least one, and each once."""
    ids = [request.id for request in answer or ()]
    return bool(ids) and all(isinstance(id, str) for id in ids) and len(set(ids)) == len(ids)


def created_at(request: Any) -> str | None:
    """When a request was created, in the form that the server accepts."""
    moment = request.time_created
    return moment.isoformat() if isinstance(moment, datetime) else moment
