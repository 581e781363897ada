"""Environment variables of projects, deployments and versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ubiops.emulator.audit import changes, record
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid, not_found, taken
from ubiops.emulator.handlers.find import find_deployment, find_project, find_version, find_version_of
from ubiops.emulator.handlers.rules import check_variable_name
from ubiops.emulator.store import Deployment, Project, Variable, Version
from ubiops.emulator.variables import Owner, effective_variables, level, own_variables


def project_environment_variables_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    return _create(context, find_project(context, project_name), data)


def project_environment_variables_list(context: Context, project_name: str) -> list[dict[str, Any]]:
    return [_view(variable) for variable in own_variables(context.session, find_project(context, project_name))]


def project_environment_variables_get(context: Context, project_name: str, id: str) -> dict[str, Any]:
    return _view(_find(context, find_project(context, project_name), id))


def project_environment_variables_update(
    context: Context, project_name: str, id: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _update(context, find_project(context, project_name), id, data)


def project_environment_variables_delete(context: Context, project_name: str, id: str) -> None:
    _delete(context, find_project(context, project_name), id)


def deployment_environment_variables_create(
    context: Context, project_name: str, deployment_name: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _create(context, find_deployment(context, project_name, deployment_name), data)


def deployment_environment_variables_list(
    context: Context, project_name: str, deployment_name: str
) -> list[dict[str, Any]]:
    return inherited_variables(context, find_deployment(context, project_name, deployment_name))


def deployment_environment_variables_get(
    context: Context, project_name: str, deployment_name: str, id: str
) -> dict[str, Any]:
    return _view(_find(context, find_deployment(context, project_name, deployment_name), id))


def deployment_environment_variables_update(
    context: Context, project_name: str, deployment_name: str, id: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _update(context, find_deployment(context, project_name, deployment_name), id, data)


def deployment_environment_variables_delete(context: Context, project_name: str, deployment_name: str, id: str) -> None:
    _delete(context, find_deployment(context, project_name, deployment_name), id)


def deployment_environment_variables_copy(
    context: Context, project_name: str, deployment_name: str, data: dict[str, Any]
) -> list[dict[str, Any]]:
    target = find_deployment(context, project_name, deployment_name)
    return _copy(context, _source(context, project_name, data), target)


def deployment_version_environment_variables_create(
    context: Context, project_name: str, deployment_name: str, version: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _create(context, find_version(context, project_name, deployment_name, version), data)


def deployment_version_environment_variables_list(
    context: Context, project_name: str, deployment_name: str, version: str
) -> list[dict[str, Any]]:
    return inherited_variables(context, find_version(context, project_name, deployment_name, version))


def deployment_version_environment_variables_get(
    context: Context, project_name: str, deployment_name: str, version: str, id: str
) -> dict[str, Any]:
    return _view(_find(context, find_version(context, project_name, deployment_name, version), id))


def deployment_version_environment_variables_update(
    context: Context, project_name: str, deployment_name: str, version: str, id: str, data: dict[str, Any]
) -> dict[str, Any]:
    return _update(context, find_version(context, project_name, deployment_name, version), id, data)


def deployment_version_environment_variables_delete(
    context: Context, project_name: str, deployment_name: str, version: str, id: str
) -> None:
    _delete(context, find_version(context, project_name, deployment_name, version), id)


def deployment_version_environment_variables_copy(
    context: Context, project_name: str, deployment_name: str, version: str, data: dict[str, Any]
) -> list[dict[str, Any]]:
    target = find_version(context, project_name, deployment_name, version)
    return _copy(context, _source(context, project_name, data), target)


def _create(context: Context, owner: Owner, data: dict[str, Any]) -> dict[str, Any]:
    variable = Variable(
        **level(owner),
        name=_free_name(context, owner, data["name"]),
        value=_value(data),
        secret=data["secret"],
    )
    context.session.add(variable)
    context.session.flush()
    _record(context, owner, "create", f"Created environment variable {variable.name}")
    _restart(context, owner)
    return _view(variable)


def inherited_variables(context: Context, owner: Owner) -> list[dict[str, Any]]:
    """The variables that hold for an owner, as the API shows them."""
    return [_inherited_view(variable, owner) for variable in effective_variables(context.session, owner)]


def _find(context: Context, owner: Owner, id: str) -> Variable:
    variable = context.session.scalar(select(Variable).filter_by(**level(owner), id=id))
    if variable is None:
        raise not_found(f"The environment variable '{id}' was not found among those of '{owner.name}' itself")
    return variable


def _update(context: Context, owner: Owner, id: str, data: dict[str, Any]) -> dict[str, Any]:
    variable = _find(context, owner, id)
    old_name = variable.name
    if variable.secret and not data["secret"]:
        raise invalid("secret: a secret variable stays secret; delete it and create another")
    if data["name"] != variable.name:
        variable.name = _free_name(context, owner, data["name"])
    variable.value = _value(data)
    before, variable.secret = {"name": old_name, "secret": variable.secret}, data["secret"]
    changed = changes(before, {"name": variable.name, "secret": variable.secret})
    _record(context, owner, "update", f"Updated environment variable {old_name}", changed)
    _restart(context, owner)
    return _view(variable)


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


def _copy(context: Context, source: Owner, target: Owner) -> list[dict[str, Any]]:
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
    if isinstance(owner, Project):
        place = f"project {owner.name}"
        record(context, owner, action, f"{event} for {place}{changed}", object_type="project", object_name=owner.name)
        return
    deployment = owner.deployment if isinstance(owner, Version) else owner
    of_version = f"version {owner.name} of " if isinstance(owner, Version) else ""
    record(
        context,
        deployment.project,
        action,
        f"{event} for {of_version}deployment {deployment.name}{changed}",
        object_type="deployment",
        object_name=deployment.name,
        deployment=deployment,
    )


def _free_name(context: Context, owner: Owner, name: str) -> str:
    if context.session.scalar(select(Variable.id).filter_by(**level(owner), name=name)) is not None:
        raise taken("variable", name, f" on '{owner.name}'")
    return check_variable_name(name)


def _value(data: dict[str, Any]) -> str:
    if "value" not in data:
        raise invalid("value: it is required; it may be an empty string")
    value: str = data["value"]
    if "\0" in value:
        raise invalid("value: no environment variable can hold a NUL character")
    return value


def _restart(context: Context, owner: Owner) -> None:
    """Let the versions that see the variables of this owner pick up a change."""
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
    deployment = owner.deployment if isinstance(owner, Version) else owner
    if isinstance(owner, Version) and variable.deployment_id is not None and variable.version_id is None:
        return "deployment", deployment.name
    if isinstance(deployment, Deployment) and variable.deployment_id is None:
        return "project", deployment.project.name
    return None, None
