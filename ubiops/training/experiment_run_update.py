"""`ExperimentRunUpdate`: the changes to a run."""

from __future__ import annotations

from ubiops.model import field
from ubiops.models import DeploymentRequestUpdate

__all__ = ["ExperimentRunUpdate"]


class ExperimentRunUpdate(DeploymentRequestUpdate, alone=True):
    """The changes to a run.

    Attributes:
        status (str, required): Status.
    """

    status: str | None = field("str", required=True)
