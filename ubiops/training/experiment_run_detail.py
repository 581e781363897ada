"""`ExperimentRunDetail`: a run of an experiment."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ubiops.model import field
from ubiops.models import DeploymentRequestDetail

__all__ = ["ExperimentRunDetail"]


class ExperimentRunDetail(DeploymentRequestDetail, alone=True):
    """A run of an experiment.

    Attributes:
        id (str): Id of the run.
        experiment (str): Name of the experiment.
        status (str): Status.
        time_created (datetime): When it was created.
        time_started (datetime): When it started.
        time_completed (datetime): When it ended.
        error_message (str): What went wrong, if it failed.
        timeout (int): Seconds that it may take.
        input_size (int): Size of its input in bytes.
        output_size (int): Size of its output in bytes.
        request_data (Any): Its input.
        result (Any): What the code returned.
    """

    id: str = field("str")
    experiment: str | None = field("str")
    status: str = field("str")
    time_created: datetime = field("datetime")
    time_started: datetime | None = field("datetime")
    time_completed: datetime | None = field("datetime")
    error_message: str | None = field("str")
    timeout: int | None = field("int")
    input_size: int | None = field("int")
    output_size: int | None = field("int")
    request_data: Any = field("object")
    result: Any = field("object")
