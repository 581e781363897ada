"""Finding what a path names; raises a 404 if it doesn't exist."""

from __future__ import annotations

import re

from sqlalchemy import or_, select

from ubiops.emulator.context import Context
from ubiops.emulator.environments import add_system_tag
from ubiops.emulator.errors import ApiError, invalid, not_found
from ubiops.emulator.handlers.resource import find
from ubiops.emulator.tables import (
    Deployment,
    Environment,
    EnvironmentTag,
    Organization,
    Pipeline,
    PipelineVersion,
    Project,
    Service,
    User,
    Version,
)


def find_caller(context: Context) -> User:
    """The user that makes the request.

    Raises:
        ApiError: 403: the caller is a deployment.
    """
    user = context.session.scalar(select(User).where(User.email == context.user))
    if user is None:
        raise ApiError(403, "The token is that of a deployment, which is not a user")
    return user


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


def find_environment(context: Context, project_name: str, name: str) -> Environment:
    """An environment of a project, or one of the system."""
    project = find_project(context, project_name)
    places = or_(Environment.project_id == project.id, Environment.project_id.is_(None))
    found = context.session.scalar(select(Environment).where(Environment.name == name, places))
    if found is None:
        raise not_found(f"The environment '{name}' was not found in the project '{project_name}'")
    return found


def find_own_environment(context: Context, project_name: str, name: str) -> Environment:
    """An environment that a project may change.

    Raises:
        ApiError: 400: it is one of the system's, or an implicit one.
    """
    found = find_environment(context, project_name, name)
    if found.is_system:
        raise invalid(f"'{name}' is an environment of the system, which can't be changed; create one based on it")
    if found.version_id is not None:
        raise invalid(f"'{name}' was made from a deployment package; it changes with another upload of that only")
    return found


def find_environment_tag(context: Context, environment: Environment, name: str) -> EnvironmentTag:
    """A tag of an environment. Environments of the system have every tag that looks like a release."""
    query = select(EnvironmentTag).where(EnvironmentTag.environment_id == environment.id, EnvironmentTag.name == name)
    found = context.session.scalar(query)
    if found is None and environment.is_system and re.fullmatch(r"v[0-9]{1,9}(\.[0-9]{1,9}){0,3}", name):
        found = add_system_tag(context.session, environment, name)
        context.session.flush()
    if found is None:
        raise not_found(f"The tag '{name}' was not found in the environment '{environment.name}'")
    return found
