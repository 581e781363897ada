"""What a project or an organization used, for which the service would bill it, and how many resources it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import func, select

from ubiops.emulator.context import Context
from ubiops.emulator.dates import parse_date
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_organization, find_project
from ubiops.emulator.handlers.metrics import value_view
from ubiops.emulator.instance_types import INSTANCE_TYPES
from ubiops.emulator.measured import DEPLOYMENT, PIPELINE, STARTS, Interval, Usage, after, divide
from ubiops.emulator.quotas import LIMITED, count_resources
from ubiops.emulator.tables import (
    Deployment,
    InstanceRun,
    Organization,
    OrganizationUser,
    Project,
    Version,
)


def projects_usage_get(
    context: Context, project_name: str, start_date: str | None, end_date: str | None, interval: str | None
) -> list[dict[str, Any]] | dict[str, Any]:
    project = find_project(context, project_name)
    intervals = _billed_intervals(project.organization, start_date, end_date, interval)
    context.engine.note_instances(context.session)
    if context.generation < _CREDITS_SINCE:
        return _usage(context, [project], intervals)
    query = select(Version).join(Version.deployment).where(Deployment.project_id == project.id)
    versions = list(context.session.scalars(query.order_by(Deployment.name, Version.name)))
    credits = {version.id: _credits(context, [project], intervals, version.id) for version in versions}
    whole = _credits(context, [project], intervals)
    return {
        "interval": interval or "month",
        "data_project": _points(intervals, whole),
        "data_deployments": [
            {
                "deployment_id": version.deployment_id,
                "deployment_name": version.deployment.name,
                "version_id": version.id,
                "version": version.name,
                "data": _points(intervals, credits[version.id]),
            }
            for version in versions
        ],
        "data_deleted_deployments": _points(intervals, _rest(whole, credits.values())),
    }


def organizations_usage_get(
    context: Context, organization_name: str, start_date: str | None, end_date: str | None, interval: str | None
) -> list[dict[str, Any]] | dict[str, Any]:
    organization = find_organization(context, organization_name)
    query = select(Project).filter_by(organization_id=organization.id).order_by(Project.name)
    projects = context.session.scalars(query).all()
    intervals = _billed_intervals(organization, start_date, end_date, interval)
    context.engine.note_instances(context.session)
    if context.generation < _CREDITS_SINCE:
        return _usage(context, projects, intervals)
    credits = {project.id: _credits(context, [project], intervals) for project in projects}
    return {
        "interval": interval or "month",
        "data_organization": _points(intervals, _credits(context, projects, intervals)),
        "data_projects": [
            {"project_id": project.id, "project_name": project.name, "data": _points(intervals, credits[project.id])}
            for project in projects
        ],
        # Here, the usage of a project is deleted with it.
        "data_deleted_projects": _points(intervals, [0.0] * len(intervals)),
    }


_CREDITS_SINCE = (4, 2)
"""The generation since which usage is in credits only, by what used them."""


def _credits(
    context: Context, projects: Sequence[Project], intervals: Sequence[Interval], version_id: str | None = None
) -> list[float]:
    usage = Usage(context.session, projects, DEPLOYMENT, intervals, version_id)
    return [usage.value("credits", period) for period in intervals]


def _rest(whole: Sequence[float], parts: Iterable[Sequence[float]]) -> list[float]:
    """What the parts leave of the whole; tiny rests, from adding up in another order, count as nothing."""
    sums = [sum(values) for values in zip(*parts, strict=True)] or [0.0] * len(whole)
    return [total - part if total - part > 1e-9 else 0.0 for total, part in zip(whole, sums, strict=True)]


def _points(intervals: Sequence[Interval], values: Sequence[float]) -> list[dict[str, Any]]:
    return [value_view(period, value) for period, value in zip(intervals, values, strict=True)]


_BILLED = (
    (DEPLOYMENT, "credits"),
    (DEPLOYMENT, "input_volume"),
    (DEPLOYMENT, "output_volume"),
    (PIPELINE, "input_volume"),
    (PIPELINE, "output_volume"),
)


def _usage(context: Context, projects: Sequence[Project], intervals: Sequence[Interval]) -> list[dict[str, Any]]:
    usages = {kind: Usage(context.session, projects, kind, intervals) for kind in (DEPLOYMENT, PIPELINE)}
    return [
        {
            "object_type": kind,
            "metric": metric,
            "usage": [value_view(period, usages[kind].value(metric, period)) for period in intervals],
        }
        for kind, metric in _BILLED
    ]


def _billed_intervals(
    organization: Organization, start_date: str | None, end_date: str | None, interval: str | None
) -> list[Interval]:
    if interval not in (None, "day", "month"):
        raise invalid(f"interval: it must be day or month, not '{interval}'")
    start, end = _period(organization, start_date, end_date)
    return [(first, min(last, end)) for first, last in divide(start, end, interval or "month")]


def _period(organization: Organization, start_date: str | None, end_date: str | None) -> Interval:
    """The period between the dates; with one date, the month before or after it; without, that of the subscription."""
    if start_date is not None:
        start = parse_date("start_date", start_date)
        return start, parse_date("end_date", end_date) if end_date is not None else after(start, "month", 1)
    if end_date is not None:
        end = parse_date("end_date", end_date)
        return after(end, "month", -1), end
    first = STARTS["day"](datetime.fromisoformat(organization.creation_date))
    present = datetime.now(timezone.utc)
    number = (present.year - first.year) * 12 + present.month - first.month
    if after(first, "month", number) > present:
        number -= 1
    return after(first, "month", number), after(first, "month", number + 1)


# How many resources there are


def projects_resource_usage(context: Context, project_name: str) -> dict[str, Any]:
    return _resources(context, [find_project(context, project_name).id])


def organizations_resource_usage(context: Context, organization_name: str) -> dict[str, Any]:
    organization = find_organization(context, organization_name)
    ids = context.session.scalars(select(Project.id).filter_by(organization_id=organization.id)).all()
    users = select(func.count()).select_from(OrganizationUser).filter_by(organization_id=organization.id)
    return {"projects": len(ids), "users": context.session.scalar(users), **_resources(context, ids)}


def _resources(context: Context, project_ids: Sequence[str]) -> dict[str, Any]:
    return {
        **{kind: count_resources(context.session, project_ids, kind) for kind in LIMITED},
        "gpus": _gpus(context, project_ids),
    }


def _gpus(context: Context, project_ids: Sequence[str]) -> int:
    query = select(InstanceRun.instance_type).where(
        InstanceRun.project_id.in_(project_ids), InstanceRun.id.in_(context.engine.running)
    )
    return sum(INSTANCE_TYPES[name]["gpu_allocation"] for name in context.session.scalars(query))
