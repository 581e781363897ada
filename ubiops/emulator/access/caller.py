"""Who may do what: a token identifies the caller, roles say what is allowed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from ubiops.emulator.access import permissions
from ubiops.emulator.access.internal_api import InternalApi
from ubiops.emulator.access.tokens import digest
from ubiops.emulator.dates import now
from ubiops.emulator.errors import ApiError
from ubiops.emulator.model_names import parse_model_name
from ubiops.emulator.store import Store
from ubiops.emulator.tables import (
    AccessToken,
    Base,
    Deployment,
    Organization,
    OrganizationUser,
    Project,
    Role,
    RoleAssignment,
    Schedule,
    User,
)

_DEPLOYMENTS = "deployment.emulator.local"
_OF_DEPLOYMENTS = ("metrics.create", "metrics.get", "metrics.list")
_OF_DEPLOYMENTS_IN_THE_DEFAULT_BUCKET = ("buckets.get", "files.list", "files.get", "files.create", "files.delete")
"""What code of a deployment may do without a role."""

_MINUTE = len("2022-11-03T09:30")

ADMIN = "admin@emulator.local"
"""The user with the token that the emulator starts with, who may do everything."""

_OPEN_TO_ALL = {"oauth_sign_in", "authorize", "user_create"}
_OPEN_TO_CALLERS = {
    *(
        "service_status",
        "template_deployments_list",
        "user_get",
        "vouchers_get",
        "permissions_list",
        "projects_list",
        "expressions_evaluate",
    ),
}
_OPEN_TO_PEOPLE = {"organizations_create", "organizations_list", "projects_create", "user_delete"}
_FOR_MEMBERS = {
    "organization_users_list",
    "organizations_get",
    "organizations_resource_usage",
    "organizations_usage_get",
}
_OF_OPENAI = {"openai_chat_completions_create", "openai_embeddings_create", "openai_models_list"}
_NAMED_IN_BODY = {"request_schedules_create", "openai_chat_completions_create", "openai_embeddings_create"}
"""Operations whose object is named in the body, not in the path."""

_FOR_ORGANIZATION_ADMINS = {"project_users_create", "project_users_delete"}


@dataclass(frozen=True)
class Caller:
    """The caller of a request.

    Attributes:
        email: Email address.
        id: Id of the user; empty for the administrator, whose token the emulator starts with.
        project_id: The project of a service user or a deployment; None for people.
        origins: Origins whose web pages may use the token.
        is_deployment: Whether the caller is code of a deployment.
    """

    email: str
    id: str = ""
    project_id: str | None = None
    origins: tuple[str, ...] = ()
    is_deployment: bool = False


class Access:
    """Checks the credentials and permissions of requests.

    Args:
        store: The store with the users and roles.
        token: The ``Authorization`` header of the administrator of the emulator: ``Token ...``.
        internal_api: The tokens of deployments; None if deployments may not call the API.
    """

    def __init__(self, store: Store, token: str, internal_api: InternalApi | None = None) -> None:
        self._internal_api = internal_api
        self._store = store
        self._token = token.encode()
        self._administrator = Caller(ADMIN)

    def authenticate(self, operation: str, given: str) -> Caller:
        """The caller whose token is in the header ``Authorization``.

        Raises:
            ApiError: 401: the token is missing, invalid or expired.
        """
        if secrets.compare_digest(given.encode(), self._token):
            return self._administrator
        if operation in _OPEN_TO_ALL:
            return Caller("")
        if operation in _OF_OPENAI:
            return self.authenticate_key(given)
        if not given:
            raise ApiError(401, "The header Authorization is missing; it must be 'Token <token>'")
        kind, _, token = given.partition(" ")
        if " " in token:
            raise ApiError(401, "The API token should not contain spaces; is 'Token' in front of it twice?")
        with self._store.new_session() as session:
            if kind == "Token":
                return self._deployment(session, token) or _service_user(session, token)
            if kind == "Bearer":
                return _signed_in(session, token)
        raise ApiError(401, "The API token is not valid: the header Authorization must be 'Token <token>'")

    def authenticate_key(self, given: str) -> Caller:
        """The caller of a service or of the OpenAI-compatible paths: the API token may follow ``Bearer`` too, as their
        clients send it.

        Raises:
            ApiError: 401: the token is missing, invalid or expired.
        """
        kind, _, token = given.partition(" ")
        if kind == "Bearer":
            with self._store.new_session() as session:
                if session.get(AccessToken, digest(token)) is None:
                    given = f"Token {token}"
        return self.authenticate("", given)

    def authorize_requests(self, caller: Caller, deployment: Deployment) -> None:
        """Check that the caller may make requests to a deployment.

        Raises:
            ApiError: 403, with the permission that is missing.
        """
        if caller is not self._administrator:
            place = {"project_name": deployment.project.name, "deployment_name": deployment.name}
            with self._store.new_session() as session:
                self._check(session, caller, ("deployments.versions.requests.create",), place)

    def _deployment(self, session: Session, token: str) -> Caller | None:
        """The deployment that a token belongs to; None for the token of a user."""
        id = self._internal_api.deployment(token) if self._internal_api is not None else None
        deployment = session.get(Deployment, id) if id is not None else None
        if deployment is None:
            return None
        return Caller(f"{deployment.name}@{_DEPLOYMENTS}", deployment.id, deployment.project_id, is_deployment=True)

    def authorize(self, caller: Caller, operation: str, arguments: Mapping[str, str]) -> None:
        """Check that the caller may do what a path asks for.

        Raises:
            ApiError: 403, with the permission that is missing.
        """
        if caller is self._administrator or operation in _OPEN_TO_ALL or operation in _OPEN_TO_CALLERS:
            return
        if operation in _OPEN_TO_PEOPLE:
            _refuse_service_users(caller)
            return
        with self._store.new_session() as session:
            if "organization_name" in arguments:
                _check_organization(session, caller, operation, arguments["organization_name"])
            elif operation in _FOR_ORGANIZATION_ADMINS:
                _refuse_service_users(caller)
                project = _project(session, arguments)
                if project is not None:
                    _check_admin(session, caller, project.organization)
            elif operation not in _NAMED_IN_BODY:
                needed = permissions.required(operation)
                if "schedule_name" in arguments:
                    needed, arguments = _of_schedule(session, needed, arguments)
                self._check(session, caller, needed, arguments)

    def authorize_body(self, caller: Caller, operation: str, arguments: Mapping[str, Any]) -> None:
        """Check that the caller may do what a body asks for, where it names more than the path does.

        Raises:
            ApiError: 403, with the permission that is missing.
        """
        needed = None if caller is self._administrator else _named_in_body(operation, arguments)
        if needed is not None:
            permission, place = needed
            with self._store.new_session() as session:
                self._check(session, caller, (permission,), {"project_name": arguments["project_name"], **place})

    def _check(self, session: Session, caller: Caller, needed: tuple[str, ...], arguments: Mapping[str, str]) -> None:
        project = _project(session, arguments)
        if project is None:
            # The handler reports that it doesn't exist.
            return
        if not _granted(session, caller, project, arguments).intersection(needed):
            raise ApiError(403, f"You don't have the permission {' or '.join(needed)} that this needs")

    def allows_origin(self, origin: str) -> bool:
        """Whether web pages of an origin may call for some project, or use the token of some service user."""
        with self._store.new_session() as session:
            service_users = session.scalars(select(User).where(User.project_id.is_not(None)))
            return any(origin in user.allowed_cors_origins for user in service_users) or any(
                origin in origins for origins in session.scalars(select(Project.cors_origins))
            )

    def origins(self, caller: Caller, arguments: Mapping[str, str]) -> tuple[str, ...]:
        """The origins whose web pages may read the answer to a caller."""
        if "project_name" not in arguments:
            return caller.origins
        with self._store.new_session() as session:
            project = _project(session, arguments)
            return caller.origins + tuple(project.cors_origins if project is not None else ())


def _service_user(session: Session, token: str) -> Caller:
    user = session.scalar(select(User).where(User.token == digest(token)))
    if user is None:
        raise ApiError(401, "The API token is not valid")
    if user.expiry_date is not None and user.expiry_date <= now():
        raise ApiError(401, f"The API token has expired on {user.expiry_date}")
    present = now()
    # To the minute: it is not worth a statement for each request.
    if (user.token_last_used or "")[:_MINUTE] != present[:_MINUTE]:
        user.token_last_used = present
        session.commit()
    return Caller(user.email, user.id, user.project_id, tuple(user.allowed_cors_origins))


def _signed_in(session: Session, token: str) -> Caller:
    found = session.get(AccessToken, digest(token))
    if found is None or found.expiry_date <= now():
        raise ApiError(401, "The Bearer token is not valid or has expired; sign in again")
    return Caller(found.user.email, found.user.id)


def _refuse_service_users(caller: Caller) -> None:
    if caller.project_id is not None:
        raise ApiError(403, "Service users have no access to organizations, users and roles")


def _check_organization(session: Session, caller: Caller, operation: str, name: str) -> None:
    _refuse_service_users(caller)
    organization = session.scalar(select(Organization).where(Organization.name == name))
    if organization is None:
        return
    if operation not in _FOR_MEMBERS:
        _check_admin(session, caller, organization)
    elif session.get(OrganizationUser, (organization.id, caller.id)) is None:
        raise ApiError(403, f"You are not a member of the organization '{name}'")


def _check_admin(session: Session, caller: Caller, organization: Organization) -> None:
    membership = session.get(OrganizationUser, (organization.id, caller.id))
    if membership is None or not membership.admin:
        raise ApiError(403, f"Only admins of the organization '{organization.name}' may do this")


def _project(session: Session, arguments: Mapping[str, str]) -> Project | None:
    return session.scalar(select(Project).where(Project.name == arguments["project_name"]))


_NAMED = {"deployment_name": "deployment", "pipeline_name": "pipeline", "bucket_name": "bucket"}


def _granted(session: Session, caller: Caller, project: Project, arguments: Mapping[str, str]) -> set[str]:
    """The permissions that a caller has in a project, and on the object in it that the arguments name."""
    if caller.project_id is not None and caller.project_id != project.id:
        return set()
    places: list[ColumnElement[bool]] = [RoleAssignment.resource_type == "project"]
    for argument, kind in _NAMED.items():
        if argument in arguments:
            object_id = find_object(session, project, kind, arguments[argument])
            places.append(and_(RoleAssignment.resource_type == kind, RoleAssignment.resource_id == object_id))
    query = select(RoleAssignment.role_id).where(
        RoleAssignment.project_id == project.id,
        RoleAssignment.assignee_id == caller.id,
        or_(*places),
    )
    granted: set[str] = set()
    for role_id in session.scalars(query):
        granted.update(permissions_of(session, role_id))
    if caller.is_deployment:
        granted.update(_OF_DEPLOYMENTS)
        if arguments.get("bucket_name") == "default":
            granted.update(_OF_DEPLOYMENTS_IN_THE_DEFAULT_BUCKET)
    if caller.project_id is not None:
        granted = {name for name in granted if not permissions.closed_to_service_users(name)}
    return granted


def _of_schedule(
    session: Session, needed: tuple[str, ...], arguments: Mapping[str, str]
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The permissions of a schedule are those on the object that its requests go to."""
    project = _project(session, arguments)
    query = select(Schedule).where(Schedule.name == arguments["schedule_name"])
    schedule = session.scalar(query.where(Schedule.project_id == project.id)) if project is not None else None
    if schedule is None:
        return needed, arguments
    kind = schedule.object_type
    name = name_of(session, kind, schedule.object_id) or ""
    return tuple(name for name in needed if name.startswith(f"{kind}s.")), {**arguments, f"{kind}_name": name}


def permissions_of(session: Session, role_id: str) -> Iterable[str]:
    """The permissions of a role."""
    if role_id in permissions.DEFAULT_ROLE_NAMES:
        return permissions.DEFAULT_ROLES[permissions.DEFAULT_ROLE_NAMES[role_id]]
    role = session.scalar(select(Role).where(Role.id == role_id))
    return role.permissions if role is not None else ()


def find_object(session: Session, project: Project, kind: str, name: str) -> str | None:
    """The id of a deployment, pipeline or bucket."""
    table = Base.metadata.tables[kind]
    found: str | None = session.scalar(select(table.c.id).where(table.c.project_id == project.id, table.c.name == name))
    return found


def name_of(session: Session, kind: str, id: str) -> str | None:
    """The name of a deployment, pipeline or bucket; None if it was deleted."""
    table = Base.metadata.tables[kind]
    found: str | None = session.scalar(select(table.c.name).where(table.c.id == id))
    return found


def _named_in_body(operation: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, str]] | None:
    """The permission that a body requires, and the object that it is required on."""
    data: Mapping[str, Any] = arguments.get("data") or {}
    if operation == "revisions_file_upload" and arguments["source_deployment"]:
        return "deployments.versions.revisions.get", {"deployment_name": arguments["source_deployment"]}
    if operation in ("deployment_environment_variables_copy", "deployment_version_environment_variables_copy"):
        resource = "deployments.versions" if data.get("source_version") else "deployments"
        return f"{resource}.environment-variables.list", {"deployment_name": data["source_deployment"]}
    if operation in _OF_OPENAI and (model := parse_model_name(data.get("model", ""))) is not None:
        return f"{model.kind}s.versions.requests.create", {f"{model.kind}_name": model.name}
    if operation == "request_schedules_create":
        kind = data.get("object_type", "deployment")
        if kind in ("deployment", "pipeline"):
            return f"{kind}s.versions.requests.create", {f"{kind}_name": data["object_name"]}
    return None
