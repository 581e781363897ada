"""The environment of a deployment version, in both forms: by name, and by name and tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ubiops.emulator.context import Context
from ubiops.emulator.environments import environment_of, find_tag, tag_of
from ubiops.emulator.errors import invalid
from ubiops.emulator.handlers.find import find_environment, find_environment_tag
from ubiops.emulator.interpreters import RUNNING
from ubiops.emulator.tables import Deployment, Environment, EnvironmentTag, Version
from ubiops.emulator.web.document import GENERATIONS


@dataclass(frozen=True)
class Choice:
    """The environment that a body asks for.

    Attributes:
        id: Id of the environment.
        tag_id: Id of its tag; None for the one that was built last.
        language: The language of the version, as shown to older clients.
    """

    id: str
    tag_id: str | None
    language: str


def choose_environment(
    context: Context, deployment: Deployment, data: dict[str, Any], version: Version | None = None
) -> Choice | None:
    """The environment that a body asks for; None if it asks for none, or for the one that the version already has.

    Raises:
        ApiError: 400: it asks for two, passes one of two fields that go together, or asks for one that can't be used;
            404: it wasn't found.
    """
    tag_name: str | None = data.get("environment_tag")
    if "environment" in data and "environment_name" in data:
        raise invalid("environment and environment_name mean the same; pass one of them")
    if ("environment_name" in data) != (tag_name is not None):
        raise invalid("environment_name and environment_tag go together; pass both or neither")
    name: str | None = data.get("environment", data.get("environment_name"))
    if name is None:
        return None
    environment = find_environment(context, deployment.project.name, name)
    tag = find_environment_tag(context, environment, tag_name) if tag_name is not None else None
    if version is not None and _has(context, version, environment, tag):
        return None
    if environment.version_id is not None:
        raise invalid(f"environment: '{environment.name}' was made from a deployment package; choose another one")
    takes_requests = environment.supports_request_format and (tag is None or tag.supports_request_format)
    if deployment.supports_request_format and not takes_requests:
        raise invalid(f"Given environment is not supported for the deployment: '{environment.name}' takes no requests")
    return Choice(environment.id, tag.id if tag is not None else None, _language(environment, tag, context))


def _has(context: Context, version: Version, environment: Environment, tag: EnvironmentTag | None) -> bool:
    present = environment_of(context.session, version)
    return present is environment and (tag is None or tag.id == version.environment_tag_id)


def _language(environment: Environment, tag: EnvironmentTag | None, context: Context) -> str:
    below = environment
    if tag is not None and (base := find_tag(context.session, tag.base_tag_id)) is not None:
        return _language(base.environment, base, context)
    while below.base is not None:
        below = below.base
    return f"python{below.python or RUNNING}"


def check_instance(context: Context, version: Version, *, has_gpu: bool) -> None:
    """Refuse a version without a GPU whose environment needs one.

    Raises:
        ApiError: 400: it does.
    """
    if version.environment_id is not None and not has_gpu:
        environment = context.session.get_one(Environment, version.environment_id)
        if environment.gpu_required:
            raise invalid(f"instance_type: the environment '{environment.name}' needs one with a GPU")


def environment_view(context: Context, version: Version) -> dict[str, Any]:
    """The environment of a version, in the form of the caller's generation."""
    environment = environment_of(context.session, version)
    if context.generation < GENERATIONS["4.15"]:
        return {"environment": environment.name, "environment_display_name": environment.shown_name}
    tag = tag_of(context.session, version)
    named = {"environment_name": environment.name}
    return named if tag is None else {**named, "environment_tag": tag.name}
