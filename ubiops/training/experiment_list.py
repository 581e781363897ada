"""`ExperimentList`: an experiment, as a list shows it."""

from __future__ import annotations

from datetime import datetime

from ubiops.model import field
from ubiops.models import DeploymentVersionList

__all__ = ["ExperimentList"]


class ExperimentList(DeploymentVersionList, alone=True):
    """An experiment, as a list shows it.

    Attributes:
        id (str): Id of the experiment.
        name (str): Name of the experiment.
        environment_name (str): Name of the environment.
        environment_tag (str): Tag of the environment.
        status (str): Status.
        active_revision (str): Id of the revision in service.
        latest_revision (str): Id of the newest revision.
        instance_type (str): Name of the instance type.
        labels (dict[str, str]): Labels: keys and values, both strings.
        creation_date (datetime): When it was created.
        last_updated (datetime): When it was changed.
        environment (str): Name of the environment (services up to 2.39, which have no tags).
        environment_display_name (str): Its display name (services up to 2.39).
    """

    id: str | None = field("str")
    name: str | None = field("str")
    environment_name: str | None = field("str")
    environment_tag: str | None = field("str")
    status: str | None = field("str")
    active_revision: str | None = field("str")
    latest_revision: str | None = field("str")
    instance_type: str = field("str")
    labels: dict[str, str] | None = field("dict(str, str)")
    creation_date: datetime | None = field("datetime")
    last_updated: datetime | None = field("datetime")
    environment: str | None = field("str")
    environment_display_name: str | None = field("str")
