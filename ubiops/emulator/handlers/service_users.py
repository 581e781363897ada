"""Service users: the accounts of programs, and their API tokens."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import delete, select

from ubiops.emulator.access.tokens import digest, new_token
from ubiops.emulator.audit import record
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now, parse_moment
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_project
from ubiops.emulator.handlers.resource import find
from ubiops.emulator.handlers.rules import check_description, check_origins
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables import Project, RoleAssignment, User
from ubiops.emulator.web.document import OLDEST

_MAXIMUM_NAME = 256
_DOMAIN = "serviceuser.emulator.local"


def service_users_create(context: Context, project_name: str, data: dict[str, Any]) -> dict[str, Any]:
    project = find_project(context, project_name)
    token, id = new_token(), new_id()
    user = User(
        id=id,
        email=_email(id, data.get("name")),
        name=_check_name(data.get("name")),
        project_id=project.id,
        token=digest(token),
        allowed_cors_origins=check_origins("allowed_cors_origins", data.get("allowed_cors_origins", [])),
        expiry_date=_check_expiry(data.get("expiry_date")),
        description=_check_description(data.get("description")),
        creation_date=now(),
    )
    context.session.add(user)
    context.session.flush()
    _record(context, project, "create", f"Created service user {user.email}", user)
    return {**_view(user), "token": token}


def service_users_list(context: Context, project_name: str) -> list[dict[str, Any]]:
    project = find_project(context, project_name)
    query = select(User).where(User.project_id == project.id).order_by(User.number)
    return [_view(user) for user in context.session.scalars(query)]


def service_users_get(context: Context, project_name: str, service_user_id: str) -> dict[str, Any]:
    return _view(_find(context, find_project(context, project_name), service_user_id))


def service_users_update(
    context: Context, project_name: str, service_user_id: str, data: dict[str, Any]
) -> dict[str, Any]:
    project = find_project(context, project_name)
    user = _find(context, project, service_user_id)
    _refuse_expired(context, user)
    if "name" in data:
        user.name = _check_name(data["name"])
    if "allowed_cors_origins" in data:
        user.allowed_cors_origins = check_origins("allowed_cors_origins", data["allowed_cors_origins"])
    if "expiry_date" in data:
        user.expiry_date = _check_expiry(data["expiry_date"])
    if "description" in data:
        user.description = _check_description(data["description"])
    _record(context, project, "update", f"Updated service user {user.email}", user)
    return _view(user)


def service_users_delete(context: Context, project_name: str, service_user_id: str) -> None:
    project = find_project(context, project_name)
    user = _find(context, project, service_user_id)
    _record(context, project, "delete", f"Deleted service user {user.email}", user)
    context.session.execute(delete(RoleAssignment).where(RoleAssignment.assignee_id == user.id))
    context.session.delete(user)


def service_users_token(context: Context, project_name: str, service_user_id: str, data: Any) -> dict[str, Any]:
    project = find_project(context, project_name)
    user = _find(context, project, service_user_id)
    _refuse_expired(context, user)
    token = new_token()
    user.token = digest(token)
    _record(context, project, "update", f"Reset the token of service user {user.email}", user)
    return {"token": token}


def _refuse_expired(context: Context, user: User) -> None:
    # In the older service, a new date makes an expired service user valid again.
    if context.generation > OLDEST and user.expiry_date is not None and user.expiry_date <= now():
        raise invalid(f"The service user expired on {user.expiry_date}; create another one")


def _check_description(text: str | None) -> str | None:
    if text is not None:
        check_description({"description": text})
    return text


def _email(id: str, name: str | None) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", (name or "").lower())[:64].strip("-")
    return f"{readable or 'service-user'}.{id[:8]}@{_DOMAIN}"


def _check_name(name: str | None) -> str | None:
    if name is not None and len(name) > _MAXIMUM_NAME:
        raise invalid(f"name: it must have at most {_MAXIMUM_NAME} characters, not {len(name)}")
    return name


def _check_expiry(text: str | None) -> str | None:
    return parse_moment("expiry_date", text) if text is not None else None


def _find(context: Context, project: Project, id: str) -> User:
    where = f" in the project '{project.name}'"
    return find(context, User, f"The service user '{id}'", where, project_id=project.id, id=id)


def _record(context: Context, project: Project, action: str, event: str, user: User) -> None:
    record(context, project, action, event, object_type="service_user", object_name=user.email)


def _view(user: User) -> dict[str, Any]:
    view = {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "creation_date": user.creation_date,
        "allowed_cors_origins": user.allowed_cors_origins,
        "description": user.description,
    }
    dates = {name: getattr(user, name) for name in ("expiry_date", "token_last_used")}
    return view | {name: date for name, date in dates.items() if date is not None}
