"""Secrets of environments: variables that only their builds see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import select

from ubiops.emulator.audit import record
from ubiops.emulator.context import Context
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_environment, find_environment_tag, find_own_environment
from ubiops.emulator.handlers.resource import find, free_name, serves
from ubiops.emulator.handlers.rules import check_variable_name
from ubiops.emulator.handlers.variables import read_value
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables import Environment, EnvironmentSecret, EnvironmentTag

R = TypeVar("R")

Owner = Environment | EnvironmentTag
"""The owner of secrets: an environment, or since client 4.15 a tag of it."""


def _find_owner(context: Context, project_name: str, environment_name: str, tag_name: str | None = None) -> Owner:
    environment = find_own_environment(context, project_name, environment_name)
    return environment if tag_name is None else find_environment_tag(context, environment, tag_name)


def _of_both(action: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    return serves(_find_owner, f"environment_secrets_{action}", f"environment_tag_secrets_{action}")


@_of_both("create")
def _create(context: Context, owner: Owner, data: dict[str, Any]) -> dict[str, Any]:
    _check(data)
    secret = EnvironmentSecret(
        id=new_id(), **_level(owner), name=_name(context, owner, data["name"]), value=read_value(data)
    )
    context.session.add(secret)
    _record(context, owner, "create", f"Created secret {secret.name} for {_place(owner)}")
    return _view(secret)


@_of_both("list")
def _list(context: Context, owner: Owner) -> list[dict[str, Any]]:
    return [_view(secret) for secret in _own(context, owner)]


@_of_both("get")
def _get(context: Context, owner: Owner, id: str) -> dict[str, Any]:
    return _view(_find(context, owner, id))


@_of_both("update")
def _update(context: Context, owner: Owner, id: str, data: dict[str, Any]) -> dict[str, Any]:
    secret = _find(context, owner, id)
    _check(data)
    if data["name"] != secret.name:
        secret.name = _name(context, owner, data["name"])
    secret.value = read_value(data)
    _record(context, owner, "update", f"Updated secret {secret.name} of {_place(owner)}")
    return _view(secret)


@_of_both("delete")
def _delete(context: Context, owner: Owner, id: str) -> None:
    secret = _find(context, owner, id)
    _record(context, owner, "delete", f"Deleted secret {secret.name} of {_place(owner)}")
    context.session.delete(secret)


@_of_both("copy")
def _copy(context: Context, owner: Owner, data: dict[str, Any]) -> list[dict[str, Any]]:
    existing = {secret.name: secret for secret in _own(context, owner)}
    copies = []
    for secret in _own(context, _source(context, owner, data)):
        copy = existing.get(secret.name) or EnvironmentSecret(id=new_id(), **_level(owner), name=secret.name)
        copy.value = secret.value
        copies.append(copy)
    context.session.add_all(copies)
    if copies:
        names = ", ".join(copy.name for copy in copies)
        _record(context, owner, "create", f"Copied secrets {names} to {_place(owner)}")
    return [{**_view(copy), "inheritance_type": None, "inheritance_name": None} for copy in copies]


def _source(context: Context, owner: Owner, data: dict[str, Any]) -> Owner:
    project = _environment_of(owner).project
    assert project is not None
    environment = find_environment(context, project.name, data["source_environment"])
    if isinstance(owner, Environment):
        return environment
    if "source_tag" not in data:
        raise invalid("source_tag: it is required, since secrets belong to tags")
    return find_environment_tag(context, environment, data["source_tag"])


def _own(context: Context, owner: Owner) -> list[EnvironmentSecret]:
    query = select(EnvironmentSecret).filter_by(**_level(owner)).order_by(EnvironmentSecret.name)
    return list(context.session.scalars(query))


def _find(context: Context, owner: Owner, id: str) -> EnvironmentSecret:
    return find(context, EnvironmentSecret, f"The secret '{id}'", f" in {_place(owner)}", **_level(owner), id=id)


def _level(owner: Owner) -> dict[str, str | None]:
    if isinstance(owner, EnvironmentTag):
        return {"environment_id": owner.environment_id, "tag_id": owner.id}
    return {"environment_id": owner.id, "tag_id": None}


def _environment_of(owner: Owner) -> Environment:
    return owner.environment if isinstance(owner, EnvironmentTag) else owner


def _place(owner: Owner) -> str:
    if isinstance(owner, EnvironmentTag):
        return f"tag {owner.name} of environment {owner.environment.name}"
    return f"environment {owner.name}"


def _record(context: Context, owner: Owner, action: str, event: str) -> None:
    environment = _environment_of(owner)
    assert environment.project is not None
    # Not as an event of the environment itself: a deleted secret is not a deleted environment.
    kind = "environment_secret"
    record(context, environment.project, action, event, object_type=kind, object_name=environment.name)


def _check(data: dict[str, Any]) -> None:
    if data["secret"] is not True:
        raise invalid("secret: it must be true; those of environments are always secret")


def _name(context: Context, owner: Owner, name: str) -> str:
    where = f" in {_place(owner)}"
    return check_variable_name(free_name(context, EnvironmentSecret, "secret", name, where, **_level(owner)))


def _view(secret: EnvironmentSecret) -> dict[str, Any]:
    return {"id": secret.id, "name": secret.name, "value": None, "secret": True}
