"""`ExperimentRunList`: a run of an experiment, as a list shows it."""

from __future__ import annotations

from datetime import datetime

from ubiops.model import field
from ubiops.models import DeploymentRequestList

__all__ = ["ExperimentRunList"]


class ExperimentRunList(DeploymentRequestList, alone=True):
    """A run of an experiment, as a list shows it.

    Attributes:
        id (str): Id of the run.
        experiment (str): Name of the experiment.
        status (str): Status.
        success (bool): Whether it was completed.
        time_created (datetime): When it was created.
        time_started (datetime): When it started.
        time_completed (datetime): When it ended.
    """

    id: str = field("str")
    experiment: str | None = field("str")
    status: str = field("str")
    success: bool | None = field("bool")
    time_created: datetime = field("datetime")
    time_started: datetime | None = field("datetime")
    time_completed: datetime | None = field("datetime")
