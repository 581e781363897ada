"""Organizations and their members."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

from sqlalchemy import delete, func, select

from ubiops.emulator.access.caller import ADMIN
from ubiops.emulator.context import Context
from ubiops.emulator.dates import now
from ubiops.emulator.errors import ApiError, invalid, not_found
from ubiops.emulator.handlers.find import find_caller, find_organization
from ubiops.emulator.handlers.quotas import VOUCHERS
from ubiops.emulator.handlers.resource import free_name
from ubiops.emulator.handlers.rules import check_email, check_name
from ubiops.emulator.tables import Organization, OrganizationUser, Project, ProjectUser, RoleAssignment, User

_FREE = "free"


def organizations_create(context: Context, data: dict[str, Any]) -> dict[str, Any]:
    organization = Organization(
        name=_name(context, data["name"]),
        creation_date=now(),
        voucher=_check_voucher(data.get("voucher")),
        two_factor_authentication_forced=data.get("two_factor_authentication_forced", False),
    )
    _subscribe(organization, data.get("subscription", _FREE), data.get("subscription_end_date"))
    context.session.add(organization)
    context.session.flush()
    context.session.add(OrganizationUser(organization_id=organization.id, user=find_caller(context), admin=True))
    return _summary(organization)


def organizations_list(context: Context) -> list[dict[str, Any]]:
    query = (
        select(Organization)
        .join(OrganizationUser, OrganizationUser.organization_id == Organization.id)
        .where(OrganizationUser.user_id == find_caller(context).id)
        .order_by(Organization.creation_date)
    )
    return [_summary(organization) for organization in context.session.scalars(query)]


def organizations_get(context: Context, organization_name: str) -> dict[str, Any]:
    return _detail(find_organization(context, organization_name))


def organizations_update(context: Context, organization_name: str, data: dict[str, Any]) -> dict[str, Any]:
    organization = find_organization(context, organization_name)
    if data.get("name", organization.name) != organization.name:
        organization.name = _name(context, data["name"])
    if data.keys() & {"subscription", "subscription_end_date", "subscription_start_date"}:
        if context.user != ADMIN:
            raise ApiError(403, "subscription: only the operator, here the holder of the start token, can change it")
        _change_subscription(organization, data)
    forced = data.get("two_factor_authentication_forced", organization.two_factor_authentication_forced)
    organization.two_factor_authentication_forced = forced
    return _detail(organization)


def _name(context: Context, name: str) -> str:
    return check_name(free_name(context, Organization, "organization", name), "organization")


def _check_voucher(code: str | None) -> str | None:
    if code is not None and code not in VOUCHERS:
        raise invalid(f"voucher: there is no voucher '{code}'")
    return code


def _subscribe(organization: Organization, subscription: str, end_date: str | None) -> None:
    if subscription == _FREE and end_date is not None:
        raise invalid("subscription_end_date: a free subscription has no end date; leave it out")
    if subscription != _FREE and end_date is None:
        raise invalid(f"subscription_end_date: the subscription '{subscription}' needs one, as YYYY-MM-DD")
    organization.subscription = subscription
    organization.subscription_end_date = _check_date("subscription_end_date", end_date)


def _change_subscription(organization: Organization, data: dict[str, Any]) -> None:
    subscription = data.get("subscription", organization.subscription)
    if subscription == organization.subscription and data.get("subscription_end_date", "") is None:
        organization.subscription_end_date = None
        return
    if subscription != organization.subscription and subscription != _FREE and not data.get("subscription_start_date"):
        raise invalid("subscription_start_date: a change of subscription needs one, as YYYY-MM-DD")
    kept = organization.subscription_end_date if subscription == organization.subscription else None
    _subscribe(organization, subscription, data.get("subscription_end_date", kept))
    start = _check_date("subscription_start_date", data.get("subscription_start_date"))
    end = organization.subscription_end_date
    if start and end and end < start:
        raise invalid(f"subscription_end_date: {end} is before the start, {start}")


def _check_date(name: str, text: str | None) -> str | None:
    try:
        return date.fromisoformat(text).isoformat() if text is not None else None
    except ValueError:
        raise invalid(f"{name}: '{text}' is not a date; write it as YYYY-MM-DD") from None


def _summary(organization: Organization) -> dict[str, Any]:
    end = organization.subscription_end_date
    ended = end is not None and end < datetime.now(timezone.utc).date().isoformat()
    return {
        "id": organization.id,
        "name": organization.name,
        "creation_date": organization.creation_date,
        "status": "cancelled" if ended else "active",
        "two_factor_authentication_forced": organization.two_factor_authentication_forced,
    }


def _detail(organization: Organization) -> dict[str, Any]:
    return {
        **_summary(organization),
        "subscription": organization.subscription,
        "subscription_self_service": False,
        # Nothing is billed here, so nothing stops when the credits of a subscription are used up.
        "overage_usage": True,
    }


# Members


def organization_users_create(context: Context, organization_name: str, data: dict[str, Any]) -> dict[str, Any]:
    organization = find_organization(context, organization_name)
    email = check_email(data["email"])
    user = context.session.scalar(select(User).where(User.email == email))
    if user is None:
        # Invited: the account is pending until its owner registers.
        user = User(email=email)
        context.session.add(user)
        context.session.flush()
    if user.project_id is not None:
        raise invalid(f"email: '{email}' is a service user, which belongs to its project only")
    if context.session.get(OrganizationUser, (organization.id, user.id)) is not None:
        raise invalid(f"email: '{email}' is a member of the organization '{organization_name}' already")
    member = OrganizationUser(organization_id=organization.id, user=user, admin=data.get("admin", False))
    context.session.add(member)
    return _member_view(member)


def organization_users_list(context: Context, organization_name: str) -> list[dict[str, Any]]:
    organization = find_organization(context, organization_name)
    query = select(OrganizationUser).join(OrganizationUser.user).order_by(User.number)
    members = context.session.scalars(query.where(OrganizationUser.organization_id == organization.id))
    return [_member_view(member) for member in members]


def organization_users_get(context: Context, organization_name: str, user_id: str) -> dict[str, Any]:
    return _member_view(_find_member(context, find_organization(context, organization_name), user_id))


def organization_users_update(
    context: Context, organization_name: str, user_id: str, data: dict[str, Any]
) -> dict[str, Any]:
    member = _find_member(context, find_organization(context, organization_name), user_id)
    if "admin" not in data:
        raise invalid("admin: it is required; true or false")
    if not data["admin"]:
        check_not_last_admin(context, member)
    member.admin = data["admin"]
    return _member_view(member)


def organization_users_delete(context: Context, organization_name: str, user_id: str) -> None:
    organization = find_organization(context, organization_name)
    member = _find_member(context, organization, user_id)
    check_not_last_admin(context, member)
    projects = select(Project.id).where(Project.organization_id == organization.id)
    remove_from_projects(context, user_id, list(context.session.scalars(projects)))
    context.session.delete(member)


def check_not_last_admin(context: Context, member: OrganizationUser) -> None:
    """Refuse to take the last admin from an organization."""
    query = select(func.count()).select_from(OrganizationUser)
    others = query.where(
        OrganizationUser.organization_id == member.organization_id,
        OrganizationUser.admin,
        OrganizationUser.user_id != member.user_id,
    )
    if member.admin and not context.session.scalar(others):
        raise invalid(f"'{member.user.email}' is the last admin of the organization; make another user admin first")


def remove_from_projects(context: Context, user_id: str, project_ids: list[str]) -> None:
    """Take a user's membership and roles in projects."""
    context.session.execute(
        delete(RoleAssignment).where(RoleAssignment.assignee_id == user_id, RoleAssignment.project_id.in_(project_ids))
    )
    context.session.execute(
        delete(ProjectUser).where(ProjectUser.user_id == user_id, ProjectUser.project_id.in_(project_ids))
    )


def _find_member(context: Context, organization: Organization, user_id: str) -> OrganizationUser:
    member = context.session.get(OrganizationUser, (organization.id, user_id))
    if member is None:
        raise not_found(f"The user '{user_id}' was not found in the organization '{organization.name}'")
    return member


def _member_view(member: OrganizationUser) -> dict[str, Any]:
    user = member.user
    pending = user.password is None and user.email != ADMIN
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name or "",
        "surname": user.surname or "",
        "status": "pending" if pending else "active",
        "admin": member.admin,
        "join_date": member.join_date and member.join_date[: len("2026-11-27")],
    }
