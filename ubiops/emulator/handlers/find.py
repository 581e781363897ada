"""Finding what a path names; what isn't there is a 404."""

from __future__ import annotations

from sqlalchemy import select

from ubiops.emulator.context import Context
from ubiops.emulator.errors import not_found
from ubiops.emulator.store import Deployment, Organization, Pipeline, PipelineVersion, Project, User, Version


def find_caller(context: Context) -> User:
    """The user that makes the request."""
    return context.session.scalars(select(User).where(User.email == context.user)).one()


def find_organization(context: Context, name: str) -> Organization:
    organization = context.session.scalar(select(Organization).where(Organization.name == name))
    if organization is None:
        raise not_found(f"The organization '{name}' was not found")
    return organization


def find_project(context: Context, name: str) -> Project:
    project = context.session.scalar(select(Project).where(Project.name == name))
    if project is None:
        raise not_found(f"The project '{name}' was not found")
    return project


def find_deployment(context: Context, project_name: str, name: str) -> Deployment:
    project = find_project(context, project_name)
    deployment = context.session.scalar(
        select(Deployment).where(Deployment.project_id == project.id, Deployment.name == name)
    )
    if deployment is None:
        raise not_found(f"The deployment '{name}' was not found in the project '{project_name}'")
    return deployment


def find_version(context: Context, project_name: str, deployment_name: str, name: str) -> Version:
    return find_version_of(context, find_deployment(context, project_name, deployment_name), name)


def find_version_of(context: Context, deployment: Deployment, name: str) -> Version:
    version = context.session.scalar(
        select(Version).where(Version.deployment_id == deployment.id, Version.name == name)
    )
    if version is None:
        raise not_found(f"Deployment version was not found: '{name}' of the deployment '{deployment.name}'")
    return version


def find_pipeline(context: Context, project_name: str, name: str) -> Pipeline:
    project = find_project(context, project_name)
    pipeline = context.session.scalar(select(Pipeline).where(Pipeline.project_id == project.id, Pipeline.name == name))
    if pipeline is None:
        raise not_found(f"The pipeline '{name}' was not found in the project '{project_name}'")
    return pipeline


def find_pipeline_version(context: Context, project_name: str, pipeline_name: str, name: str) -> PipelineVersion:
    return find_pipeline_version_of(context, find_pipeline(context, project_name, pipeline_name), name)


def find_pipeline_version_of(context: Context, pipeline: Pipeline, name: str) -> PipelineVersion:
    version = context.session.scalar(
        select(PipelineVersion).where(PipelineVersion.pipeline_id == pipeline.id, PipelineVersion.name == name)
    )
    if version is None:
        raise not_found(f"The pipeline version '{name}' was not found in the pipeline '{pipeline.name}'")
    return version
