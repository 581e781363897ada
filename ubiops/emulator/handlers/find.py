"""Finding what a path names; what isn't there is a 404."""

from __future__ import annotations

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.handlers.resource import find
from ubiops.emulator.tables import Deployment, Organization, Pipeline, PipelineVersion, Project, Service, User, Version


def find_caller(context: Context) -> User:
    """The user that makes the request."""
    return context.session.scalars(select(User).where(User.email == context.user)).one()


def find_organization(context: Context, name: str) -> Organization:
    return find(context, Organization, f"The organization '{name}'", name=name)


def find_project(context: Context, name: str) -> Project:
    return find(context, Project, f"The project '{name}'", name=name)


def find_deployment(context: Context, project_name: str, name: str) -> Deployment:
    project, where = find_project(context, project_name), f" in the project '{project_name}'"
    return find(context, Deployment, f"The deployment '{name}'", where, project_id=project.id, name=name)


def find_version(context: Context, project_name: str, deployment_name: str, name: str) -> Version:
    return find_version_of(context, find_deployment(context, project_name, deployment_name), name)


def find_version_of(context: Context, deployment: Deployment, name: str) -> Version:
    where = f": '{name}' of the deployment '{deployment.name}'"
    return find(context, Version, "Deployment version", where, deployment_id=deployment.id, name=name)


def find_pipeline(context: Context, project_name: str, name: str) -> Pipeline:
    project, where = find_project(context, project_name), f" in the project '{project_name}'"
    return find(context, Pipeline, f"The pipeline '{name}'", where, project_id=project.id, name=name)


def find_pipeline_version(context: Context, project_name: str, pipeline_name: str, name: str) -> PipelineVersion:
    return find_pipeline_version_of(context, find_pipeline(context, project_name, pipeline_name), name)


def find_pipeline_version_of(context: Context, pipeline: Pipeline, name: str) -> PipelineVersion:
    where = f" in the pipeline '{pipeline.name}'"
    return find(context, PipelineVersion, f"The pipeline version '{name}'", where, pipeline_id=pipeline.id, name=name)


def find_service(context: Context, project_name: str, name: str) -> Service:
    project, where = find_project(context, project_name), f" in the project '{project_name}'"
    return find(context, Service, f"The service '{name}'", where, project_id=project.id, name=name)
