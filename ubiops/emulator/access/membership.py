"""The members and roles of a new organization or project."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ubiops.emulator.access import permissions
from ubiops.emulator.tables import OrganizationUser, Project, ProjectUser, RoleAssignment


def welcome(session: Session, project: Project) -> None:
    """Make the admins of its organization admins of a new project."""
    session.flush()
    query = select(OrganizationUser).filter_by(organization_id=project.organization_id, admin=True)
    for member in session.scalars(query):
        session.add(ProjectUser(project_id=project.id, user_id=member.user_id))
        session.add(
            RoleAssignment(
                project_id=project.id,
                role_id=permissions.default_role_id("project-admin"),
                assignee_id=member.user_id,
                assignee_type="user",
                resource_id=project.id,
                resource_type="project",
            )
        )
