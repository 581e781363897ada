"""Environments in the store: those of the system, and the one that a version runs in."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, or_, select
from sqlalchemy.orm import Session

from ubiops.emulator.interpreters import RUNNING
from ubiops.emulator.tables import Deployment, Environment, EnvironmentSecret, EnvironmentTag, Version

_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_OLDER_PYTHONS = ("3.6", "3.7", "3.8", "3.9")
_FIRST_TAG = "v5.25.0"


@dataclass(frozen=True)
class _System:
    name: str
    display_name: str
    python: str
    gpu_required: bool = False
    deprecated: bool = False


def _systems() -> Iterator[_System]:
    for python in sorted({*_PYTHONS, RUNNING}, key=lambda version: int(version.split(".")[1])):
        dashed = python.replace(".", "-")
        yield _System(f"python{dashed}", f"Python {python}", python)
        yield _System(f"python{dashed}-cuda", f"Python {python} + CUDA", python, gpu_required=True)
        yield _System(f"ubuntu22-04-python{dashed}", f"Ubuntu 22.04 + Python {python}", python)
        yield _System(f"ubiops-ubuntu24-04-python{dashed}", f"Ubuntu 24.04 + Python {python}", python)
    for python, cuda in (("3.11", "11.7.1"), ("3.10", "12.3.2")):
        name = f"ubuntu22-04-python{python}-cuda{cuda}".replace(".", "-")
        yield _System(name, f"Ubuntu 22.04 + Python {python} + CUDA {cuda}", python, gpu_required=True)
    for python in _OLDER_PYTHONS:
        yield _System(f"python{python}".replace(".", "-"), f"Python {python}", python, deprecated=True)


def add_system_environments(session: Session) -> None:
    """Add the environments of the system that the store lacks."""
    present = set(session.scalars(select(Environment.name).where(Environment.project_id.is_(None))))
    systems = [system for system in _systems() if system.name not in present]
    if not systems:
        return
    tags = [_system_tag(_fixed_id(system.name), system.name, _FIRST_TAG) for system in systems]
    environments = [
        {
            "id": tag["environment_id"],
            "name": system.name,
            "display_name": system.display_name,
            "python": system.python,
            "gpu_required": system.gpu_required,
            "deprecated": system.deprecated,
            "hidden": system.deprecated,
            "active_tag_id": tag["id"],
        }
        for system, tag in zip(systems, tags, strict=True)
    ]
    # In two statements: as objects, they would slow down every test that starts with an empty store.
    session.execute(insert(Environment), environments)
    session.execute(insert(EnvironmentTag), tags)


def add_system_tag(session: Session, environment: Environment, name: str) -> EnvironmentTag:
    """A tag of an environment of the system; here all its tags mean the same."""
    tag = EnvironmentTag(**_system_tag(environment.id, environment.name, name))
    session.add(tag)
    return tag


def _system_tag(environment_id: str, environment_name: str, name: str) -> dict[str, str]:
    return {
        "id": _fixed_id(f"{environment_name}:{name}"),
        "environment_id": environment_id,
        "name": name,
        "created_by": "UbiOps",
        "status": "available",
    }


def _fixed_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.environment"))


_DEFAULT_ID = _fixed_id(f"python{RUNNING}".replace(".", "-"))


def environment_of(session: Session, version: Version) -> Environment:
    """The environment that a version asks for, or else the default one, which is that of the running Python."""
    return session.get_one(Environment, version.environment_id or _DEFAULT_ID)


def tag_of(session: Session, version: Version) -> EnvironmentTag | None:
    """The tag that a version asks for, or else the one that was built last; None if none was built."""
    tag_id = version.environment_tag_id or environment_of(session, version).active_tag_id
    return find_tag(session, tag_id)


def find_tag(session: Session, tag_id: str | None) -> EnvironmentTag | None:
    """The tag with an id."""
    if tag_id is None:
        return None
    return session.scalar(select(EnvironmentTag).where(EnvironmentTag.id == tag_id))


def chain(session: Session, tag: EnvironmentTag) -> list[EnvironmentTag]:
    """A tag and those that it is built on, from the lowest one up to the tag itself."""
    found = [tag]
    while (base := find_tag(session, found[0].base_tag_id)) is not None:
        found.insert(0, base)
    return found


def secrets_of(session: Session, tag: EnvironmentTag) -> dict[str, str]:
    """The secrets that the build of a tag sees: those of its environment, and its own, which take precedence."""
    query = select(EnvironmentSecret).where(
        EnvironmentSecret.environment_id == tag.environment_id,
        or_(EnvironmentSecret.tag_id.is_(None), EnvironmentSecret.tag_id == tag.id),
    )
    found = sorted(session.scalars(query), key=lambda secret: secret.tag_id is not None)
    return {secret.name: secret.value for secret in found}


def with_those_above(session: Session, tags: Iterable[EnvironmentTag]) -> list[EnvironmentTag]:
    """Some tags, and all that are built on one of them."""
    found = {tag.id: tag for tag in tags}
    new = set(found)
    while new:
        above = session.scalars(select(EnvironmentTag).where(EnvironmentTag.base_tag_id.in_(new)))
        added = {tag.id: tag for tag in above if tag.id not in found}
        found |= added
        new = set(added)
    return list(found.values())


def versions_in(session: Session, project_id: str, tags: Sequence[EnvironmentTag]) -> list[Version]:
    """The versions of a project that refer to one of some tags, or to an environment that was last built as one."""
    active = select(Environment.id).where(Environment.active_tag_id.in_([tag.id for tag in tags]))
    follows = Version.environment_id.in_(active) & Version.environment_tag_id.is_(None)
    refers = Version.environment_tag_id.in_([tag.id for tag in tags])
    query = select(Version).join(Version.deployment).where(Deployment.project_id == project_id)
    return list(session.scalars(query.where(or_(follows, refers)).order_by(Version.creation_date)))
