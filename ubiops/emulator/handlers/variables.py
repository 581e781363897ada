"""Environment variables of projects, deployments and versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import select

from ubiops.emulator.audit import changes
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_deployment, find_project, find_version, find_version_of
from ubiops.emulator.handlers.resource import find, free_name, record, serves
from ubiops.emulator.handlers.rules import check_variable_name
from ubiops.emulator.tables import Deployment, Project, Variable, Version
from ubiops.emulator.variables import Owner, effective_variables, level, own_variables

R = TypeVar("R")

_OWNERS = ("project", "deployment", "deployment_version")


def _find_owner(
    context: Context, project_name: str, deployment_name: str | None = None, version: str | None = None
) -> Owner:
    if deployment_name is None:
        return find_project(context, project_name)
    if version is None:
        return find_deployment(context, project_name, deployment_name)
    return find_version(context, project_name, deployment_name, version)


def _of_owners(action: str, owners: Sequence[str] = _OWNERS) -> Callable[[Callable[..., R]], Callable[..., R]]:
    return serves(_find_owner, *(f"{owner}_environment_variables_{action}" for owner in owners))


@_of_owners("create")
def create_variable(context: Context, owner: Owner, data: dict[str, Any]) -> dict[str, Any]:
    variable = Variable(
        **level(owner),
        name=_name(context, owner, data["name"]),
        value=read_value(data),
        secret=data["secret"],
    )
    context.session.add(variable)
    context.session.flush()
    _record(context, owner, "create", f"Created environment variable {variable.name}")
    _restart(context, owner)
    return _view(variable)


@_of_owners("list")
def _list(context: Context, owner: Owner) -> list[dict[str, Any]]:
    if isinstance(owner, Project):
        return [_view(variable) for variable in own_variables(context.session, owner)]
    return inherited_variables(context, owner)


@_of_owners("get")
def _get(context: Context, owner: Owner, id: str) -> dict[str, Any]:
    return _view(_find(context, owner, id))


def inherited_variables(context: Context, owner: Owner) -> list[dict[str, Any]]:
    """The variables that apply to an owner, in the form of the API."""
    return [_inherited_view(variable, owner) for variable in effective_variables(context.session, owner)]


def _find(context: Context, owner: Owner, id: str) -> Variable:
    where = f" among those of '{owner.name}' itself"
    return find(context, Variable, f"The environment variable '{id}'", where, **level(owner), id=id)


@_of_owners("update")
def _update(context: Context, owner: Owner, id: str, data: dict[str, Any]) -> dict[str, Any]:
    variable = _find(context, owner, id)
    old_name = variable.name
    if variable.secret and not data["secret"]:
        raise invalid("secret: a secret variable stays secret; delete it and create another")
    if data["name"] != variable.name:
        variable.name = _name(context, owner, data["name"])
    variable.value = read_value(data)
    before, variable.secret = {"name": old_name, "secret": variable.secret}, data["secret"]
    changed = changes(before, {"name": variable.name, "secret": variable.secret})
    _record(context, owner, "update", f"Updated environment variable {old_name}", changed)
    _restart(context, owner)
    return _view(variable)


@_of_owners("delete")
def _delete(context: Context, owner: Owner, id: str) -> None:
    variable = _find(context, owner, id)
    _record(context, owner, "delete", f"Deleted environment variable {variable.name}")
    context.session.delete(variable)
    _restart(context, owner)


def _source(context: Context, project_name: str, data: dict[str, Any]) -> Deployment | Version:
    deployment = find_deployment(context, project_name, data["source_deployment"])
    if "source_version" in data:
        return find_version_of(context, deployment, data["source_version"])
    return deployment


@_of_owners("copy", _OWNERS[1:])
def _copy(context: Context, target: Deployment | Version, data: dict[str, Any]) -> list[dict[str, Any]]:
    source = _source(context, _deployment_of(target).project.name, data)
    existing = {variable.name: variable for variable in own_variables(context.session, target)}
    copies = []
    for variable in own_variables(context.session, source):
        copy = existing.get(variable.name) or Variable(**level(target), name=variable.name)
        copy.value, copy.secret = variable.value, variable.secret
        copies.append(copy)
    context.session.add_all(copies)
    context.session.flush()
    if copies:
        names = ", ".join(copy.name for copy in copies)
        _record(context, target, "create", f"Copied environment variables {names} from {source.name}")
    _restart(context, target)
    return [_inherited_view(copy, target) for copy in copies]


def _record(context: Context, owner: Owner, action: str, event: str, changed: str = "") -> None:
    record(context, owner, action, f"{event} for {_place(owner)}{changed}")


def _place(owner: Owner) -> str:
    if isinstance(owner, Version):
        return f"version {owner.name} of {_place(owner.deployment)}"
    return f"{'project' if isinstance(owner, Project) else 'deployment'} {owner.name}"


def _deployment_of(owner: Deployment | Version) -> Deployment:
    return owner.deployment if isinstance(owner, Version) else owner


def _name(context: Context, owner: Owner, name: str) -> str:
    return check_variable_name(free_name(context, Variable, "variable", name, f" on '{owner.name}'", **level(owner)))


def read_value(data: dict[str, Any]) -> str:
    if "value" not in data:
        raise invalid("value: it is required; it may be an empty string")
    value: str = data["value"]
    if "\0" in value:
        raise invalid("value: an environment variable can't contain a NUL character")
    return value


def _restart(context: Context, owner: Owner) -> None:
    """Restart the versions that see the variables of an owner, so that they pick up a change."""
    query = select(Version).join(Version.deployment)
    if isinstance(owner, Project):
        query = query.where(Deployment.project_id == owner.id)
    elif isinstance(owner, Deployment):
        query = query.where(Deployment.id == owner.id)
    else:
        query = query.where(Version.id == owner.id)
    context.engine.restart(context.session.scalars(query))


def _view(variable: Variable) -> dict[str, Any]:
    return {
        "id": variable.id,
        "name": variable.name,
        "value": None if variable.secret else variable.value,
        "secret": variable.secret,
    }


def _inherited_view(variable: Variable, owner: Owner) -> dict[str, Any]:
    kind, name = _origin(variable, owner)
    return {**_view(variable), "inheritance_type": kind, "inheritance_name": name}


def _origin(variable: Variable, owner: Owner) -> tuple[str | None, str | None]:
    if isinstance(owner, Project):
        return None, None
    deployment = _deployment_of(owner)
    if variable.deployment_id is None:
        return "project", deployment.project.name
    if isinstance(owner, Version) and variable.version_id is None:
        return "deployment", deployment.name
    return None, None
