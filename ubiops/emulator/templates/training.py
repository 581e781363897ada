"""Training: a template for a deployment, whose versions are experiments and whose requests are their runs."""

from __future__ import annotations

import uuid
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

from ubiops.deployment_package import check_data
from ubiops.emulator.tables import Deployment

NAME = "training-base-deployment"
"""Name of the template, and of the deployment that is created from it."""

TEMPLATE_ID = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{NAME}.template"))


def _fields(**types: str) -> list[dict[str, str]]:
    return [{"name": name, "data_type": data_type} for name, data_type in types.items()]


DETAILS: dict[str, Any] = {
    "name": NAME,
    "description": "Trains models: its versions are experiments, its requests their runs",
    "input_type": "structured",
    "output_type": "structured",
    "input_fields": _fields(
        name="string", description="string", training_code="file", training_data="file", parameters="dict"
    ),
    "output_fields": _fields(artifact="file", metadata="dict", metrics="dict", additional_output_files="array_file"),
    "labels": {},
}
"""The body that creates the deployment."""

_NEEDED = {"name", "training_code"}
"""Input fields that a run must have; its code may return any of the outputs."""


def without_nulls(deployment: Deployment, data: Any) -> Any:
    """The input of one or several runs without the fields that are null; other input unchanged."""
    if deployment.name != NAME:
        return data
    if isinstance(data, list):
        return [without_nulls(deployment, item) for item in data]
    return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


def check(deployment: Deployment, side: str, data: Any) -> None:
    """Check an input or output, or a list of them; those of runs may lack optional fields.

    Args:
        deployment: The deployment that takes or returns it.
        side: ``input`` or ``output``.
        data: What was sent or returned.

    Raises:
        DataError: It doesn't fit.
    """
    fields: list[dict[str, Any]] = deployment.input_fields if side == "input" else deployment.output_fields
    kind = deployment.input_type if side == "input" else deployment.output_type
    if deployment.name != NAME:
        check_data(data, kind, fields, side)
        return
    for item in data if isinstance(data, list) else [data]:
        given = item if isinstance(item, dict) else {}
        needed = [field for field in fields if field["name"] in given or field["name"] in _NEEDED]
        check_data(item, kind, needed, side)


def write_package(path: Path) -> None:
    """Write the package of experiments as a zip."""
    code = resources.files(__package__).joinpath("training_template.py").read_text(encoding="utf-8")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("deployment_package/deployment.py", code)
