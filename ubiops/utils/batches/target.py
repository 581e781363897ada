"""Where batches of requests go: a version of a deployment or of a pipeline, behind one face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ubiops.exceptions import ApiValueError, ForbiddenError
from ubiops.models import DeploymentRequestUpdate

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi

__all__ = ["LIMITS", "Target"]

LIMITS = {"deployment": 250, "pipeline": 100}
"""Most requests of a batch, and most ids of a collection."""


@dataclass(frozen=True)
class Target:
    """The calls that make, read and give up requests to one version.

    Attributes:
        kind: ``deployment`` or ``pipeline``.
        name: Name of the deployment or pipeline.
        version: Name of the version.
        limit: Its entry of `LIMITS`.
        create: Takes inputs as ``data``; gives what was created, in their order.
        collect: Takes ids as ``data``; gives the requests, in no order; denies all where one isn't there.
        list: Lists the version's requests.
        cancel: Takes a ``request_id``; stops the request. One to a pipeline can't be stopped but by deleting it.
        get_version: Gives the version's details.
    """

    kind: str
    name: str
    version: str
    limit: int
    create: Callable[..., list[Any]]
    collect: Callable[..., list[Any]]
    list: Callable[..., list[Any]]
    cancel: Callable[..., Any]
    get_version: Callable[..., Any]

    def __str__(self) -> str:
        return f"the version {self.version!r} of the {self.kind} {self.name!r}"

    @classmethod
    def of(cls, api: CoreApi, project: str, kind: str, name: str, version: str | None) -> Target:
        """The target of a kind; without a version, the one that is the default now.

        Raises:
            ApiValueError: There is no default version.
            ApiException: There is no such project, deployment or pipeline, or the token may not see it.
        """
        if version is None:
            get = api.deployments_get if kind == "deployment" else api.pipelines_get
            version = get(project, name).default_version
            if not version:
                raise ApiValueError(f"The {kind} {name!r} has no default version: give the `version` to use")
        # By name: the order of the arguments differs from one operation to the next.
        place: dict[str, Any] = {"project_name": project, f"{kind}_name": name, "version": version}
        if kind == "pipeline":
            return cls(
                *(kind, name, version, LIMITS[kind]),
                create=partial(api.batch_pipeline_version_requests_create, **place),
                collect=partial(api.pipeline_version_requests_batch_get, **place),
                list=partial(api.pipeline_version_requests_list, **place),
                cancel=partial(api.pipeline_version_requests_delete, **place),
                get_version=partial(api.pipeline_versions_get, **place),
            )
        cancelled = DeploymentRequestUpdate(status="cancelled")
        return cls(
            *(kind, name, version, LIMITS[kind]),
            create=partial(api.batch_deployment_version_requests_create, **place),
            collect=partial(api.deployment_version_requests_batch_get, **place),
            list=partial(api.deployment_version_requests_list, **place),
            cancel=partial(api.deployment_version_requests_update, **place, data=cancelled),
            get_version=partial(api.deployment_versions_get, **place),
        )

    def details(self, **options: Any) -> Any:
        """The version's details; None where the token may make requests and not see what they go to."""
        try:
            return self.get_version(**options)
        except ForbiddenError:
            return None
