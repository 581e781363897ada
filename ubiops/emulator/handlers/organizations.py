"""Organizations: as much as projects need."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.handlers.find import find_organization
from ubiops.emulator.store import Organization


def organizations_list(context: Context) -> list[dict[str, Any]]:
    organizations = context.session.scalars(select(Organization).order_by(Organization.creation_date))
    return [_summary(organization) for organization in organizations]


def organizations_get(context: Context, organization_name: str) -> dict[str, Any]:
    organization = find_organization(context, organization_name)
    return {
        **_summary(organization),
        "subscription": organization.subscription,
        "status": "active",
        "subscription_self_service": False,
    }


def _summary(organization: Organization) -> dict[str, Any]:
    return {"id": organization.id, "name": organization.name, "creation_date": organization.creation_date}
