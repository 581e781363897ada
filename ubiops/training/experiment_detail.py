"""`ExperimentDetail`: an experiment."""

from __future__ import annotations

from datetime import datetime

from ubiops.model import field
from ubiops.models import DeploymentVersionDetail, DeploymentVersionPort

__all__ = ["ExperimentDetail"]


class ExperimentDetail(DeploymentVersionDetail, alone=True):
    """An experiment.

    Attributes:
        id (str): Id of the experiment.
        name (str): Name of the experiment.
        description (str): Free text.
        environment_name (str): Name of the environment.
        environment_tag (str): Tag of the environment.
        status (str): Status.
        active_revision (str): Id of the revision in service.
        latest_revision (str): Id of the newest revision.
        instance_type (str): Name of the instance type.
        instance_type_group_id (str): Id of the group of instance types to run on.
        instance_type_group_name (str): Name of that group.
        maximum_instances (int): Maximum number of instances that run at once.
        minimum_instances (int): Instances kept running at all times.
        maximum_idle_time (int): Seconds without runs after which an instance stops.
        labels (dict[str, str]): Labels: keys and values, both strings.
        creation_date (datetime): When it was created.
        last_updated (datetime): When it was changed.
        request_retention_time (int): Seconds for which runs are kept.
        request_retention_mode (str): What is kept of runs: `full`, `metadata` or `none`.
        maximum_queue_size (int): Maximum number of runs that wait at one time.
        restart_request_interruption (bool): Whether a run starts again when its instance is lost.
        ports (list[DeploymentVersionPort]): Open ports.
        last_file_upload (datetime): When code was last uploaded.
        has_request_method (bool): Whether the code has a method `request`.
        has_requests_method (bool): Whether the code has a method `requests`.
        default_bucket (str): Name of the bucket that code, data and results of runs are in.
        environment (str): Name of the environment (services up to 2.39, which have no tags).
        environment_display_name (str): Its display name (services up to 2.39).
    """

    id: str | None = field("str")
    name: str | None = field("str")
    description: str | None = field("str")
    environment_name: str | None = field("str")
    environment_tag: str | None = field("str")
    status: str | None = field("str")
    active_revision: str | None = field("str")
    latest_revision: str | None = field("str")
    instance_type: str = field("str")
    instance_type_group_id: str | None = field("str")
    instance_type_group_name: str | None = field("str")
    maximum_instances: int | None = field("int")
    minimum_instances: int | None = field("int")
    maximum_idle_time: int | None = field("int")
    labels: dict[str, str] | None = field("dict(str, str)")
    creation_date: datetime | None = field("datetime")
    last_updated: datetime | None = field("datetime")
    request_retention_time: int | None = field("int")
    request_retention_mode: str = field("str")
    maximum_queue_size: int | None = field("int")
    restart_request_interruption: bool | None = field("bool")
    ports: list[DeploymentVersionPort] | None = field("list[DeploymentVersionPort]")
    last_file_upload: datetime | None = field("datetime")
    has_request_method: bool | None = field("bool")
    has_requests_method: bool | None = field("bool")
    default_bucket: str | None = field("str")
    environment: str | None = field("str")
    environment_display_name: str | None = field("str")
