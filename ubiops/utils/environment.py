"""From a folder to an environment that is built, in one call."""

from __future__ import annotations

import os
from typing import Any

from ubiops.exceptions import NotFoundError
from ubiops.models import EnvironmentCreate
from ubiops.operation import is_newest
from ubiops.utils.answers import check_answer
from ubiops.utils.arguments import (
    Client,
    StrPath,
    body,
    check_folder,
    check_seconds,
    check_text,
    core_api,
    helper,
    invalid,
)
from ubiops.utils.package_operations import write_zip
from ubiops.utils.packages.folder import IGNORE_FILENAME, PackageFolder
from ubiops.utils.progress_bar import Progress
from ubiops.utils.wait_for import wait_for_environment

__all__ = ["deploy_environment"]

_FUNCTION = "deploy_environment"
_FOLDER = "environment_package"
"""Name of the top-level folder in the zip."""


@helper
def deploy_environment(
    client: Client,
    project_name: str,
    directory: StrPath,
    environment_name: str,
    tag_name: str | None = None,
    base_environment: str | None = None,
    base_tag: str | None = None,
    *,
    description: str | None = None,
    labels: dict[str, str] | None = None,
    ignore_filename: str = IGNORE_FILENAME,
    timeout: float | None = 1800,
    quiet: bool = False,
    stream_logs: bool = False,
) -> Any:
    """Build an environment from a folder: create it if it doesn't exist, upload the folder, and wait for the build.

    Services from client 4.15 on build tags of an environment: pass a `tag_name`. Older ones (3.15 to 4.14) build
    revisions of it and have no tags.

    Args:
        client: The client to use.
        project_name: Name of the project.
        directory: The folder that contains ``requirements.txt``, ``ubiops.yaml`` or both.
        environment_name: Name of the environment; it is created if it doesn't exist.
        tag_name: Name of the tag, such as ``v1``; it is created if it doesn't exist. None for a revision.
        base_environment: Name of the environment that the packages are installed on.
        base_tag: Name of its tag, with `tag_name`.
        description: Description of a new environment.
        labels: Labels of a new environment.
        ignore_filename: Name of the ignore files; an empty string for none.
        timeout: Seconds to wait for the build; None for no limit.
        quiet: Whether to show no progress.
        stream_logs: Whether to print the lines of the build's log as they come.

    Returns:
        The tag (`ubiops.EnvironmentTagList`), or the environment (`ubiops.EnvironmentDetail`).

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong, or the tag was built before; a tag is built only once.
        BuildFailed: The build failed: ``last`` is the tag or the build, ``logs`` are the last lines of its log.
        WaitTimeout: It didn't finish within `timeout`; it goes on at the server.
        ApiException: The API refused a call, or couldn't be reached.

    If it had created the environment or the tag before it failed, they stay: call it again to continue.
    """
    check_seconds("timeout", _FUNCTION, timeout)
    check_text("tag_name", _FUNCTION, tag_name)
    if base_tag is not None and tag_name is None:
        raise invalid("base_tag", _FUNCTION, "must come with `tag_name`")
    given: dict[str, Any] = {"description": description, "labels": labels}
    if tag_name is None:
        # In an environment with tags, each tag has its own base.
        given["base_environment"] = base_environment
    fields = {name: value for name, value in given.items() if value is not None}
    new = body(EnvironmentCreate, _FUNCTION, {"name": environment_name, **fields}, name="environment_name")
    folder = PackageFolder(check_folder("directory", _FUNCTION, directory), ignore_filename)
    api = core_api(client, _FUNCTION)
    if tag_name is None and is_newest(api.api_client.configuration.host):
        raise invalid("tag_name", _FUNCTION, "must be given: at /v2, tags of an environment are built")
    archive = write_zip(folder, None, _FOLDER, function=_FUNCTION, quiet=quiet)
    try:
        _provide_environment(api, project_name, environment_name, new)
        with Progress(f"Uploading {environment_name}", shown=not quiet):
            if tag_name is None:
                api.environment_revisions_file_upload(project_name, environment_name, file=str(archive))
            else:
                _provide_tag(api, project_name, environment_name, tag_name)
                api.environment_tags_build(
                    project_name,
                    environment_name,
                    tag_name,
                    base_environment_name=base_environment,
                    base_environment_tag=base_tag,
                    file=str(archive),
                )
    finally:
        os.unlink(archive)
    return wait_for_environment(api, project_name, environment_name, tag_name, timeout, quiet, stream_logs)


def _provide_environment(api: Any, project_name: str, name: str, new: EnvironmentCreate) -> None:
    try:
        api.environments_get(project_name, name)
    except NotFoundError:
        api.environments_create(project_name, new)


def _provide_tag(api: Any, project_name: str, environment_name: str, name: str) -> None:
    try:
        tag = api.environment_tags_get(project_name, environment_name, name)
    except NotFoundError:
        api.environment_tags_create(project_name, environment_name, {"name": name})
        return
    if check_answer("environment_tags_get", tag, "status").status == "available":
        raise invalid("tag_name", _FUNCTION, f"the tag {name} was built before, choose another name")
