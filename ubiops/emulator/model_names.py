"""The names of deployments and pipelines as models of the OpenAI-compatible path."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"ubiops-(deployment|pipeline)/([^/]+)/([^/]*)/(.+)", re.DOTALL)


@dataclass(frozen=True)
class ModelName:
    """What the name of a model stands for.

    Attributes:
        kind: ``deployment`` or ``pipeline``.
        name: Name of the deployment or pipeline.
        version: Name of its version; None for the default version.
        model: Name by which its code knows the model.
    """

    kind: str
    name: str
    version: str | None
    model: str

    def __str__(self) -> str:
        return f"ubiops-{self.kind}/{self.name}/{self.version or ''}/{self.model}"


def parse_model_name(text: str) -> ModelName | None:
    """What a name stands for; None if it has another form."""
    found = _FORM.fullmatch(text)
    return ModelName(found[1], found[2], found[3] or None, found[4]) if found else None
