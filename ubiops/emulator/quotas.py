"""How many resources of a kind a project has, and may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from ubiops.emulator.errors import invalid
from ubiops.emulator.tables import Base, Bucket, Deployment, Environment, Pipeline, PipelineVersion, Project, Version

_KINDS: dict[type[Base], str] = {
    Deployment: "deployments",
    Version: "deployment_versions",
    Pipeline: "pipelines",
    PipelineVersion: "pipeline_versions",
    Bucket: "buckets",
    Environment: "environments",
}

LIMITED = tuple(_KINDS.values())
"""Kinds of resources that a quota can limit."""


def count_resources(session: Session, project_ids: Sequence[str], kind: str) -> int:
    """How many resources of a kind there are in some projects."""
    return session.scalar(select(func.count()).select_from(_resources(project_ids)[kind].subquery())) or 0


def _resources(project_ids: Sequence[str]) -> dict[str, Select[Any]]:
    of_deployments = Deployment.project_id.in_(project_ids)
    of_pipelines = Pipeline.project_id.in_(project_ids)
    return {
        "deployments": select(Deployment.id).where(of_deployments),
        "deployment_versions": select(Version.id).join(Version.deployment).where(of_deployments),
        "pipelines": select(Pipeline.id).where(of_pipelines),
        "pipeline_versions": select(PipelineVersion.id).join(PipelineVersion.pipeline).where(of_pipelines),
        "buckets": select(Bucket.id).where(Bucket.project_id.in_(project_ids)),
        "environments": select(Environment.id).where(Environment.project_id.in_(project_ids)),
    }


def check_quota(session: Session, quotas: Mapping[str, int], project: Project, resource: Base) -> None:
    """Refuse a new resource that exceeds a quota of its project.

    Raises:
        ApiError: 400: the quota is exceeded.
    """
    kind = _KINDS.get(type(resource), "")
    most = quotas.get(kind)
    if most is not None and count_resources(session, [project.id], kind) > most:
        what = kind.replace("_", " ")
        raise invalid(f"The project '{project.name}' already has its most of {most} {what}; see quotas_list")
