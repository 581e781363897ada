"""Environment variables and their inheritance: project, deployment, version, the nearest wins."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ubiops.emulator.tables import Deployment, Project, Variable, Version

Owner = Project | Deployment | Version
"""What a variable can be defined on."""


def level(owner: Owner) -> dict[str, str | None]:
    """The columns that place a variable on its owner."""
    if isinstance(owner, Project):
        return {"project_id": owner.id, "deployment_id": None, "version_id": None}
    if isinstance(owner, Deployment):
        return {"project_id": owner.project_id, "deployment_id": owner.id, "version_id": None}
    return {"project_id": owner.deployment.project_id, "deployment_id": owner.deployment_id, "version_id": owner.id}


def own_variables(session: Session, owner: Owner) -> list[Variable]:
    """The variables defined on an owner itself."""
    return list(session.scalars(select(Variable).filter_by(**level(owner)).order_by(Variable.name)))


def effective_variables(session: Session, owner: Owner) -> list[Variable]:
    """The variables that apply to an owner: its own, and those that it inherits and doesn't shadow."""
    place = level(owner)
    query = select(Variable).where(
        Variable.project_id == place["project_id"],
        or_(Variable.deployment_id.is_(None), Variable.deployment_id == place["deployment_id"]),
        or_(Variable.version_id.is_(None), Variable.version_id == place["version_id"]),
    )
    found = sorted(session.scalars(query), key=_depth)
    nearest = {variable.name: variable for variable in found}
    return [nearest[name] for name in sorted(nearest)]


def _depth(variable: Variable) -> int:
    return (variable.deployment_id is not None) + (variable.version_id is not None)
