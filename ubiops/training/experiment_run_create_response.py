"""`ExperimentRunCreateResponse`: a run that was started."""

from __future__ import annotations

from datetime import datetime

from ubiops.model import field
from ubiops.models import DeploymentRequestBatchCreateResponse

__all__ = ["ExperimentRunCreateResponse"]


class ExperimentRunCreateResponse(DeploymentRequestBatchCreateResponse, alone=True):
    """A run that was started.

    Attributes:
        id (str): Id of the run.
        experiment (str): Name of the experiment.
        status (str): Status.
        time_created (datetime): When it was created.
    """

    id: str = field("str")
    experiment: str | None = field("str")
    status: str = field("str")
    time_created: datetime = field("datetime")
