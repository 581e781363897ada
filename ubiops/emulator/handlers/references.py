"""The pipelines that keep a deployment or a pipeline from being deleted, since they run it."""

from __future__ import annotations

from sqlalchemy import and_, or_, select

from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.tables import Deployment, Pipeline, PipelineObject, PipelineVersion, Version


def refuse_if_referenced(context: Context, resource: Deployment | Version | Pipeline | PipelineVersion) -> None:
    """Refuse to delete what a pipeline runs, be it only as the default version.

    Raises:
        ApiError: 400, with the pipelines that run it.
    """
    users = pipelines_that_use(context, resource)
    if users:
        names = ", ".join(sorted({f"'{version.name}' of the pipeline '{version.pipeline.name}'" for version in users}))
        raise invalid(f"'{resource.name}' is used in the version {names}; remove it from there first")


def pipelines_that_use(
    context: Context, resource: Deployment | Version | Pipeline | PipelineVersion
) -> list[PipelineVersion]:
    """The pipeline versions with an object that refers to a resource. A pipeline's own versions don't count."""
    item = PipelineObject
    if isinstance(resource, Deployment):
        uses = item.deployment_id == resource.id
    elif isinstance(resource, Pipeline):
        uses = item.subpipeline_id == resource.id
    elif isinstance(resource, Version):
        is_default = resource.deployment.default_version_id == resource.id
        by_default = and_(item.deployment_id == resource.deployment_id, item.version_id.is_(None))
        uses = or_(item.version_id == resource.id, by_default) if is_default else item.version_id == resource.id
    else:
        is_default = resource.pipeline.default_version_id == resource.id
        by_default = and_(item.subpipeline_id == resource.pipeline_id, item.subversion_id.is_(None))
        uses = or_(item.subversion_id == resource.id, by_default) if is_default else item.subversion_id == resource.id
    query = select(PipelineVersion).join(item, item.pipeline_version_id == PipelineVersion.id).where(uses).distinct()
    return list(context.session.scalars(query))
