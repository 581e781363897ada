"""Metrics of a project, or of one version, as points in time."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple, cast

from ubiops.utils.answers import check_answer, check_list
from ubiops.utils.arguments import (
    Client,
    Moment,
    core_api,
    helper,
    invalid,
    utc,
)

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi

__all__ = ["MetricPoint", "metrics"]

_INTERVALS = ("minute", "hour", "day", "month")


class MetricPoint(NamedTuple):
    """The value of a metric over one interval.

    Attributes:
        date: Start of the interval, with its zone.
        value: Sum, average or maximum over the interval, in the unit of the metric; None if there is no value.
    """

    date: datetime
    value: float | None


@helper
def metrics(
    client: Client,
    project_name: str,
    metric: str,
    start: Moment,
    end: Moment | None = None,
    *,
    interval: str = "hour",
    deployment_name: str | None = None,
    pipeline_name: str | None = None,
    version: str | None = None,
    object_type: str | None = None,
    user_id: str | None = None,
) -> list[MetricPoint]:
    """Read a metric of a project, or of one version in it, as one value for each interval.

    The first interval begins with the minute, hour, day or month of `start`, in UTC. ``dates, values = zip(*points)``
    are the arguments of a plot.

    Args:
        client: The client to use.
        project_name: Name of the project.
        metric: Of both kinds of version: ``requests``, ``failed_requests``, ``input_volume`` (bytes). Of deployment
            versions also: ``output_volume`` (bytes), ``outputs`` (items), ``compute`` (average seconds),
            ``memory_peak``, ``instances``, ``credits``, ``active_time`` (seconds), ``express_queue_size``,
            ``batch_queue_size`` (averages), ``express_queue_time``, ``batch_queue_time`` (average seconds). Of pipeline
            versions also: ``request_duration`` (average seconds), ``object_requests``, ``object_failed_requests``.
        start: Start of the period: a datetime, a date, or text in ISO 8601. Without a zone it is in UTC.
        end: End of the period, likewise; None for now.
        interval: ``minute``, ``hour``, ``day`` or ``month``.
        deployment_name: Name of the deployment whose version to read; None for the whole project.
        pipeline_name: Name of the pipeline whose version to read, instead.
        version: Name of the version; None for the default version.
        object_type: ``deployment_version`` or ``pipeline_version``. None for the type of the name that is given, or
            else ``deployment_version``.
        user_id: Id of a user, to count only what that user caused; None for all.

    Returns:
        The points, oldest first.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong, or there is no default version.
        BadRequestError: This type of object has no such metric.
        NotFoundError: There is no such project, deployment, pipeline, version or user.
        ApiException: The API refused a call, or couldn't be reached.

    GET /projects/{project_name}/metrics/{metric}
    """
    first = utc("start", "metrics", start)
    last = datetime.now(timezone.utc) if end is None else utc("end", "metrics", end)
    if last <= first:
        raise invalid("end", "metrics", f"must be after `start`, {first.isoformat()}, not {last.isoformat()}")
    if interval not in _INTERVALS:
        raise invalid("interval", "metrics", f"must be one of {', '.join(_INTERVALS)}, not {interval!r}")
    if deployment_name is not None and pipeline_name is not None:
        raise invalid("pipeline_name", "metrics", "can't go together with `deployment_name`")
    if version is not None and deployment_name is None and pipeline_name is None:
        raise invalid("version", "metrics", "must come with `deployment_name` or `pipeline_name`")
    kind = "deployment_version" if pipeline_name is None else "pipeline_version"
    if object_type not in (None, kind) and (deployment_name is not None or pipeline_name is not None):
        raise invalid("object_type", "metrics", f"must be {kind} with the name that is given, not {object_type!r}")
    api = core_api(client, "metrics")
    found = api.metrics_get(
        project_name,
        metric,
        first.isoformat(),
        last.isoformat(),
        object_type or kind,
        interval=interval,
        object_id=_version_id(api, project_name, deployment_name, pipeline_name, version),
        user_id=user_id,
    )
    points = check_list("metrics_get", found, "start_date", "value")
    return [MetricPoint(cast(datetime, one.start_date), one.value) for one in points]


def _version_id(
    api: CoreApi, project_name: str, deployment_name: str | None, pipeline_name: str | None, version: str | None
) -> str | None:
    if deployment_name is not None:
        if version is None:
            deployment = api.deployments_get(project_name, deployment_name)
            version = check_answer("deployments_get", deployment, "default_version").default_version
        if version is None:
            raise invalid("version", "metrics", f"the deployment {deployment_name} has no default version: pass one")
        found = api.deployment_versions_get(project_name, deployment_name, version)
        return check_answer("deployment_versions_get", found, "id").id
    if pipeline_name is not None:
        if version is None:
            pipeline = api.pipelines_get(project_name, pipeline_name)
            version = check_answer("pipelines_get", pipeline, "default_version").default_version
        if version is None:
            raise invalid("version", "metrics", f"the pipeline {pipeline_name} has no default version: pass one")
        version_of_pipeline = api.pipeline_versions_get(project_name, pipeline_name, version)
        return check_answer("pipeline_versions_get", version_of_pipeline, "id").id
    return None
