"""`ExperimentRunCreate`: the body that starts a run of an experiment."""

from __future__ import annotations

from typing import Any

from ubiops.model import Model, field

__all__ = ["ExperimentRunCreate"]


class ExperimentRunCreate(Model, body=True):
    """The body that starts a run of an experiment.

    Attributes:
        name (str, required): Name of the run.
        description (str): Free text.
        training_code (str, required): The code: a Python file, or a zip with `train.py`; a local path or a
            ``ubiops-file://`` URI. It has the function `train(training_data, parameters, context)`.
        training_data (str): A file for the code; a local path or a ``ubiops-file://`` URI.
        parameters (dict[str, Any]): Parameters for the code.
    """

    name: str = field("str", required=True)
    description: str | None = field("str")
    training_code: str = field("str", required=True)
    training_data: str | None = field("str")
    parameters: dict[str, Any] | None = field("dict(str, object)")
