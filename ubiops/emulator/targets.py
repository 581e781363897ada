"""A cache of what every request needs: the deployment version that it goes to, and the user that makes it."""

from __future__ import annotations

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import contains_eager

from ubiops.emulator.store import Store
from ubiops.emulator.tables import Deployment, Project, User, Version

_VERSION = (
    select(Version)
    .join(Version.deployment)
    .join(Deployment.project)
    .options(contains_eager(Version.deployment).contains_eager(Deployment.project))
)
_BY_ID = _VERSION.where(Version.id == bindparam("id"))
_OF_DEPLOYMENT = _VERSION.where(Project.name == bindparam("project"), Deployment.name == bindparam("deployment"))
_DEFAULT = _OF_DEPLOYMENT.where(Deployment.default_version_id == Version.id)
_NAMED = _OF_DEPLOYMENT.where(Version.name == bindparam("version"))


class Targets:
    """Versions with their deployments and projects, read once. They belong to no session and are read-only.

    Code that changes a project, a deployment or a version calls `forget` once that is committed: the application after
    each request that may change one, and background work itself.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, ...], Version | None] = {}
        self._user_ids: dict[str, str | None] = {}

    def forget(self) -> None:
        """Read everything again at its next use."""
        self._known.clear()
        self._user_ids.clear()

    def find(self, version_id: str) -> Version | None:
        """The version with an id."""
        return self._find(_BY_ID, id=version_id)

    def find_default(self, project: str, deployment: str) -> Version | None:
        """The default version of a deployment, both given by name."""
        return self._find(_DEFAULT, project=project, deployment=deployment)

    def find_named(self, project: str, deployment: str, version: str) -> Version | None:
        """A version, given by names."""
        return self._find(_NAMED, project=project, deployment=deployment, version=version)

    def user_id(self, email: str) -> str | None:
        """The id of the user or service user with an email address."""
        if email not in self._user_ids:
            with self._store.session() as session:
                self._user_ids[email] = session.scalar(select(User.id).where(User.email == email))
        return self._user_ids[email]

    def _find(self, query: Select[Version], **values: str) -> Version | None:
        # Ids, deployments and versions are distinguished by their number of values.
        key = tuple(values.values())
        if key not in self._known:
            with self._store.session() as session:
                self._known[key] = session.scalar(query, values)
        return self._known[key]
