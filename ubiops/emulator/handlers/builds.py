"""Builds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.handlers.find import find_version
from ubiops.emulator.handlers.resource import find
from ubiops.emulator.tables import Build


def builds_list(context: Context, project_name: str, deployment_name: str, version: str) -> list[dict[str, Any]]:
    found = find_version(context, project_name, deployment_name, version)
    query = select(Build).where(Build.version_id == found.id).order_by(Build.number)
    return [_view(build) for build in context.session.scalars(query)]


def builds_get(
    context: Context, project_name: str, deployment_name: str, version: str, build_id: str
) -> dict[str, Any]:
    found = find_version(context, project_name, deployment_name, version)
    where = f" in the version '{version}'"
    return _view(find(context, Build, f"The build '{build_id}'", where, version_id=found.id, id=build_id))


def _view(build: Build) -> dict[str, Any]:
    return {
        "id": build.id,
        "revision": build.revision_id,
        "creation_date": build.creation_date,
        "status": build.status,
        "error_message": build.error_message,
        "trigger": build.trigger,
        "has_request_method": build.has_request_method,
        "has_requests_method": build.has_requests_method,
    }
