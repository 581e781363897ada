"""People: their accounts, how they sign in, and the projects that they are members of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, or_, select

from ubiops.emulator.access.caller import ADMIN
from ubiops.emulator.access.tokens import hash_password, is_password, sign_in
from ubiops.emulator.audit import record
from ubiops.emulator.context import Context
from ubiops.emulator.errors import ApiError, invalid, not_found, taken
from ubiops.emulator.handlers.find import find_caller, find_project
from ubiops.emulator.handlers.organizations import check_not_last_admin, remove_from_projects
from ubiops.emulator.handlers.rules import check_email
from ubiops.emulator.tables import Organization, OrganizationUser, Project, ProjectUser, RoleAssignment, User

_TYPES = {"user": User.project_id.is_(None), "service_user": User.project_id.is_not(None)}


# Accounts


def user_create(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    # Newer clients no longer send them.
    if not data.get("terms_conditions", True):
        raise invalid("terms_conditions: they must be accepted, with true")
    email = check_email(data["email"])
    user = context.session.scalar(select(User).where(User.email == email))
    if user is None:
        user = User(email=email)
        context.session.add(user)
    elif user.password is not None or user.project_id is not None or user.email == ADMIN:
        raise taken("user", email)
    user.name, user.surname = data.get("name"), data.get("surname")
    # There is no mailbox here from which an account could be activated: it is active at once.
    user.password = hash_password(data["password"])
    return {"email": user.email, "name": user.name, "surname": user.surname}


def user_get(context: Context) -> dict[str, Any]:
    user = find_caller(context)
    return {
        "id": user.id,
        "email": user.email,
        # The vendor's client refuses an answer whose names are empty.
        "name": user.name or "-",
        "surname": user.surname or "-",
        "registration_date": user.creation_date,
        "authentication": "password" if user.password is not None else "token",
    }


def user_delete(context: Context) -> None:
    user = find_caller(context)
    if user.email == ADMIN:
        raise invalid("The user that the emulator starts with can't be deleted")
    for member in context.session.scalars(select(OrganizationUser).where(OrganizationUser.user_id == user.id)):
        check_not_last_admin(context, member)
    context.session.execute(delete(RoleAssignment).where(RoleAssignment.assignee_id == user.id))
    context.session.delete(user)


def oauth_sign_in(_context: Context, data: dict[str, Any]) -> dict[str, Any]:
    check_email(data["email"])
    return {"provider": "ubiops", "url": "/authorize"}


def authorize(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    user = context.session.scalar(select(User).where(User.email == data["email"]))
    if user is None or not is_password(data["password"], user.password):
        raise ApiError(401, "The email address or the password is wrong")
    forced = select(Organization.name).join(OrganizationUser, OrganizationUser.organization_id == Organization.id)
    forced = forced.where(OrganizationUser.user_id == user.id, Organization.two_factor_authentication_forced)
    if (name := context.session.scalar(forced.limit(1))) is not None:
        raise ApiError(
            401,
            f"The organization '{name}' forces two factor authentication, and the emulator has no second factor: use "
            "the token of a service user, or switch two_factor_authentication_forced off",
        )
    return {"access": sign_in(context.session, user)}


# Members of projects


def project_users_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    if "user_id" not in data:
        raise invalid("user_id: it is required")
    user_id = data["user_id"]
    member = context.session.get(OrganizationUser, (project.organization_id, user_id))
    if member is None:
        raise not_found(f"user_id: there is no user '{user_id}' in the organization '{project.organization.name}'")
    if context.session.get(ProjectUser, (project.id, user_id)) is not None:
        raise invalid(f"user_id: '{member.user.email}' is in the project '{project_name}' already")
    context.session.add(ProjectUser(project_id=project.id, user_id=user_id))
    _record(context, project, "create", f"Added user {member.user.email}", member.user)
    return _view(member.user)


def project_users_list(context: Context, project_name: str, user_type: str | None) -> list[dict[str, Any]]:
    if user_type is not None and user_type not in _TYPES:
        raise invalid(f"user_type: it must be {' or '.join(_TYPES)}, not '{user_type}'")
    query = _users_of(find_project(context, project_name))
    if user_type is not None:
        query = query.where(_TYPES[user_type])
    return [_view(user) for user in context.session.scalars(query.order_by(User.number))]


def project_users_get(context: Context, project_name: str, user_id: str) -> dict[str, Any]:
    return _view(_find(context, find_project(context, project_name), user_id))


def project_users_delete(context: Context, project_name: str, user_id: str) -> None:
    project = find_project(context, project_name)
    user = _find(context, project, user_id)
    if user.project_id is not None:
        raise invalid(f"'{user.email}' is a service user; delete it as one")
    _record(context, project, "delete", f"Removed user {user.email}", user)
    remove_from_projects(context, user_id, [project.id])


def _users_of(project: Project) -> Any:
    people = select(ProjectUser.user_id).where(ProjectUser.project_id == project.id)
    return select(User).where(or_(User.project_id == project.id, User.id.in_(people)))


def _find(context: Context, project: Project, user_id: str) -> User:
    user: User | None = context.session.scalar(_users_of(project).where(User.id == user_id))
    if user is None:
        raise not_found(f"The user '{user_id}' was not found in the project '{project.name}'")
    return user


def _record(context: Context, project: Project, action: str, event: str, user: User) -> None:
    event = f"{event} {'to' if action == 'create' else 'from'} project {project.name}"
    record(context, project, action, event, object_type="user", object_name=user.email)


def _view(user: User) -> dict[str, Any]:
    # The newer clients read neither name if it is empty.
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name or "-",
        "surname": user.surname or "-",
        "authentication": "password",
    }
