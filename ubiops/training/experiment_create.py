"""`ExperimentCreate`: the body that creates an experiment."""

from __future__ import annotations

from ubiops.model import field
from ubiops.models import DeploymentVersionCreate
from ubiops.schema import Null

__all__ = ["ExperimentCreate"]


class ExperimentCreate(DeploymentVersionCreate, alone=True, excludes=("environment", "environment_name")):
    """The body that creates an experiment.

    Attributes:
        name (str, required): Name of the experiment.
        environment (str): Name of the environment (services up to 2.39, which have no tags).
        environment_name (str): Name of the environment.
        environment_tag (str): Tag of the environment.
        instance_type (str): Name of the instance type.
        instance_type_group_id (str): Id of the group of instance types to run on.
        instance_type_group_name (str): Name of that group.
        description (str): Free text.
        labels (dict[str, str]): Labels: keys and values, both strings.
        request_retention_time (int): Seconds for which runs are kept.
        request_retention_mode (str): What is kept of runs: `full`, `metadata` or `none`.
        default_bucket (str): Name of the bucket that code, data and results of runs are in.
    """

    name: str = field("str", required=True)
    environment: str | None = field("str")
    environment_name: str | None = field("str")
    environment_tag: str | None = field("str")
    instance_type: str | None = field("str")
    instance_type_group_id: str | None = field("str")
    instance_type_group_name: str | None = field("str")
    description: str | None = field("str")
    labels: dict[str, str] | Null | None = field("dict(str, str)", nullable=True)
    request_retention_time: int | None = field("int")
    request_retention_mode: str | None = field("str", default="full", enum=("none", "metadata", "full"))
    default_bucket: str | None = field("str")
