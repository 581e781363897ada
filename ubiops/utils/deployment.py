"""From a folder to a deployment that takes requests, in one call."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ubiops import models
from ubiops.exceptions import ApiTypeError, BadRequestError, ConflictError, ForbiddenError, NotFoundError
from ubiops.model import Model
from ubiops.models import DeploymentCreate, DeploymentVersionCreate
from ubiops.rest import blocks_of
from ubiops.schema import NULL, nearest_hint
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
    wrong_type,
)
from ubiops.utils.package_operations import write_zip
from ubiops.utils.packages.folder import IGNORE_FILENAME, PackageFolder
from ubiops.utils.progress_bar import Progress
from ubiops.utils.validate import check_package
from ubiops.utils.variables import read_variables, set_variables
from ubiops.utils.wait_for import wait_for_deployment_version

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.utils.package_operations import PackageZip

Fields = Mapping[str, str] | Sequence[Mapping[str, Any] | Model]
"""Input or output fields: their data types by name, or as the API takes them."""

__all__ = ["deploy"]

_SETTINGS = DeploymentVersionCreate.openapi_types.keys() - {"version", "language", "instance_type"}
_ENVIRONMENTS = {"environment", "environment_name"}
_OF_DEPLOYMENTS = ("description", "labels")


@helper
def deploy(
    client: Client,
    project_name: str,
    directory: StrPath,
    deployment_name: str,
    version: str = "v1",
    language: str | None = None,
    input_fields: Fields | None = None,
    output_fields: Fields | None = None,
    instance_type: str | None = None,
    environment_variables: Mapping[str, str]
    | Iterable[models.EnvironmentVariableCreate | Mapping[str, Any]]
    | None = None,
    *,
    deployment_settings: Mapping[str, Any] | None = None,
    ignore_filename: str = IGNORE_FILENAME,
    timeout: float | None = 1800,
    quiet: bool = False,
    stream_logs: bool = False,
    **settings: Any,
) -> models.DeploymentVersionDetail:
    """Deploy a folder: create or update its deployment and version, upload it, and wait until it is built.

    Call it again after a change, or after it failed: what already exists is updated where it differs and otherwise left
    alone; a package that is already in service is not uploaded again. A Python package is checked first, as by
    `validate_package`, and zipped as by `zip_package`.

    Args:
        client: The client to use.
        project_name: Name of the project.
        directory: The folder that contains ``deployment.py``.
        deployment_name: Name of the deployment; it is created if it doesn't exist.
        version: Name of the version; it is created if it doesn't exist.
        language: Language of a new version, such as ``python3.10``; None for the Python that runs this, unless an
            ``environment`` or ``environment_name`` is given. The language of an existing version can't be changed.
        input_fields: Data types by field name, as in ``{"speed": "double"}``, or fields as the API takes them. None for
            plain input in a new deployment, and for no change to an existing one.
        output_fields: The same for the output.
        instance_type: Such as ``512mb``; None for the API's default in a new version, and for no change to an existing
            one.
        environment_variables: Variables of the version, as `upsert_environment_variables` takes them.
        deployment_settings: ``description`` and ``labels`` of the deployment.
        ignore_filename: Name of the ignore files; an empty string for none.
        timeout: Seconds to wait for the build; None for no limit.
        quiet: Whether to show no progress.
        stream_logs: Whether to print the lines of the build's log as they come.
        **settings: Other fields of `ubiops.DeploymentVersionCreate`, such as ``maximum_instances`` or ``labels``; for
            newer services also ``environment``, ``environment_name`` with ``environment_tag``,
            ``instance_type_group_name`` and so on.

    Returns:
        The version, ready for requests.

    Raises:
        InvalidPackage: The build would refuse the package; nothing was sent.
        ApiValueError, ApiTypeError: An argument is wrong, or asks for a change that an existing deployment or version
            can't have; nothing was changed.
        BuildFailed: The build failed: ``last`` is the build, ``logs`` are the last lines of its log.
        WaitTimeout: It didn't finish within `timeout`; it goes on at the server.
        ApiException: The API refused a call, or couldn't be reached.

        If it had created the deployment or the version before it failed, a note of the error says so.

    GET, POST and PATCH /projects/{project_name}/deployments/{deployment_name}/versions/{version} and
    POST .../revisions
    """
    check_seconds("timeout", "deploy", timeout)
    _check_settings("deployment_settings", deployment_settings or {}, _OF_DEPLOYMENTS)
    _check_settings("settings", settings, _SETTINGS)
    check_text("instance_type", "deploy", instance_type)
    if instance_type is not None:
        settings["instance_type"] = instance_type
    variables = read_variables("environment_variables", "deploy", environment_variables or {})
    sides = {
        "input": _read_fields("input_fields", input_fields),
        "output": _read_fields("output_fields", output_fields),
    }
    api = core_api(client, "deploy")
    check_text("version", "deploy", version)
    check_text("language", "deploy", language)
    new_version = _version(version=version, language=language, **settings)
    if not (language or "").startswith("r"):
        values = {variable.name: variable.value for variable in variables}
        check_package(
            "deploy",
            directory,
            sides["input"],
            sides["output"],
            values,
            ignore_filename=ignore_filename,
            quiet=quiet,
        )
    new_deployment = _deployment(deployment_name, sides, deployment_settings or {})
    target = _Target(api, project_name, deployment_name, version)
    with _noted(target.created), _zipped(directory, ignore_filename, quiet) as archive:
        current = target.read_version()
        if current is not None and language not in (None, current.language):
            raise invalid(
                "language",
                "deploy",
                f"version {version} has the language {current.language}, which can't change: choose another version",
            )
        deployment = target.provide_deployment(new_deployment, sides, deployment_settings or {})
        if current is None and language is None and not settings.keys() & _ENVIRONMENTS:
            new_version = _version(version=version, **_running_python(deployment), **settings)
        target.provide_version(current, new_version, settings)
        if variables:
            set_variables("environment_variables", "deploy", api, variables, project_name, deployment_name, version)
        if current is not None and target.serves(current, archive):
            return target.read_version() or current
        upload = target.upload(archive, quiet)
        return wait_for_deployment_version(
            api, project_name, deployment_name, version, upload, timeout, quiet, stream_logs
        )


def _deployment(
    name: str, sides: Mapping[str, list[dict[str, Any]] | None], settings: Mapping[str, Any]
) -> DeploymentCreate:
    kinds = {f"{side}_type": "plain" if fields is None else "structured" for side, fields in sides.items()}
    given = {f"{side}_fields": fields for side, fields in sides.items() if fields is not None}
    arguments = {setting: f"deployment_settings[{setting!r}]" for setting in _OF_DEPLOYMENTS}
    return body(
        DeploymentCreate, "deploy", {"name": name, **kinds, **given, **settings}, name="deployment_name", **arguments
    )


def _version(**fields: Any) -> DeploymentVersionCreate:
    return body(DeploymentVersionCreate, "deploy", fields)


def _running_python(deployment: Any) -> dict[str, Any]:
    """The language that runs this Python on the service, or the environment if the service has environments."""
    major, minor = sys.version_info[:2]
    # Only newer services have this attribute of deployments.
    if getattr(deployment, "supports_request_format", None) is None:
        return {"language": f"python{major}.{minor}"}
    return {"language": None, "environment": f"python{major}-{minor}"}


def _check_settings(argument: str, given: Any, known: Iterable[str]) -> None:
    if not isinstance(given, Mapping):
        raise wrong_type(argument, "deploy", "dict", given)
    for name in given:
        if name not in known:
            raise ApiTypeError(f"Got an unexpected keyword argument `{name}` for `deploy`{nearest_hint(name, known)}")


def _read_fields(argument: str, fields: Any) -> list[dict[str, Any]] | None:
    if fields is None:
        return None
    if isinstance(fields, Mapping):
        return [{"name": name, "data_type": data_type} for name, data_type in fields.items()]
    if isinstance(fields, (str, bytes)) or not isinstance(fields, Sequence):
        raise wrong_type(argument, "deploy", "dict or list", fields)
    for index, field in enumerate(fields):
        if not isinstance(field, (Model, Mapping)):
            raise wrong_type(f"{argument}[{index}]", "deploy", "a model or a dict", field)
    return [field.to_dict() if isinstance(field, Model) else dict(field) for field in fields]


@contextmanager
def _noted(created: list[str]) -> Iterator[None]:
    """Add to an error a note of what was created before it."""
    try:
        yield
    except BaseException as error:
        if created and hasattr(error, "add_note"):
            error.add_note(f"deploy() had created {' and '.join(created)}: call it again to continue, or delete them")
        raise


@contextmanager
def _zipped(directory: StrPath, ignore_filename: str, quiet: bool) -> Iterator[PackageZip]:
    """The zip of a folder, while it is needed."""
    folder = PackageFolder(check_folder("directory", "deploy", directory), ignore_filename)
    archive = write_zip(folder, None, function="deploy", quiet=quiet)
    try:
        yield archive
    finally:
        os.unlink(archive)


class _Target:
    """The version to deploy to.

    Attributes:
        created: What was created so far.
    """

    def __init__(self, api: CoreApi, project_name: str, deployment_name: str, version: str) -> None:
        self._api = api
        self.created: list[str] = []
        self._deployment_place = (project_name, deployment_name)
        self._place = (project_name, deployment_name, version)

    def read_version(self) -> models.DeploymentVersionDetail | None:
        """The present version; None if it doesn't exist."""
        try:
            found = self._api.deployment_versions_get(*self._place)
        except NotFoundError:
            return None
        return check_answer("deployment_versions_get", found, "status", "active_revision", "latest_build", *_SETTINGS)

    def provide_deployment(
        self,
        new: DeploymentCreate,
        sides: Mapping[str, list[dict[str, Any]] | None],
        settings: Mapping[str, Any],
    ) -> Any:
        """Create the deployment or update it as requested, and return it."""
        project_name, name = self._deployment_place
        deployment = self._read_deployment()
        if deployment is None:
            try:
                created = self._api.deployments_create(project_name, new)
            except (BadRequestError, ConflictError):
                # Someone else was faster, or something else is wrong.
                deployment = self._read_deployment()
                if deployment is None:
                    raise
            else:
                self.created.append(f"the deployment {name}")
                return created
        changes = _differing(settings, deployment)
        for side, fields in sides.items():
            changes |= _differing_fields(deployment, side, fields)
        if changes:
            self._api.deployments_update(project_name, name, changes)
        return deployment

    def _read_deployment(self) -> models.DeploymentDetail | None:
        try:
            found = self._api.deployments_get(*self._deployment_place)
        except NotFoundError:
            return None
        return check_answer("deployments_get", found, "input_type", "input_fields", "output_type", "output_fields")

    def provide_version(
        self, current: models.DeploymentVersionDetail | None, new: DeploymentVersionCreate, settings: Mapping[str, Any]
    ) -> None:
        """Create the version or update it as requested."""
        if current is None:
            self._api.deployment_versions_create(*self._deployment_place, new)
            self.created.append(f"the version {new.version}")
        elif changes := _differing(settings, current):
            self._api.deployment_versions_update(*self._place, changes)

    def serves(self, current: models.DeploymentVersionDetail, archive: PackageZip) -> bool:
        """Whether a package is the one in service, with no other one being built."""
        if current.status != "available" or not current.active_revision:
            return False
        project_name, deployment_name, version = self._place
        if current.latest_build:
            latest = self._api.builds_get(project_name, current.latest_build, deployment_name, version)
            check_answer("builds_get", latest, "revision", "status")
            if (latest.revision, latest.status) != (current.active_revision, "success"):
                return False
        elif getattr(current, "latest_revision", None) != current.active_revision:
            # Newer services have no builds.
            return False
        try:
            download: Any = self._api.revisions_file_download(
                project_name, deployment_name, current.active_revision, version, _preload_content=False
            )
        except (ForbiddenError, NotFoundError):
            # The token may only upload, or the file is no longer kept.
            return False
        with download as response:
            if response.headers.get("Content-Length") not in (None, str(archive.size)):
                return False
            digest = hashlib.sha256()
            for block in blocks_of(response):
                digest.update(block)
        return digest.hexdigest() == archive.sha256

    def upload(self, archive: PackageZip, quiet: bool) -> str:
        """Upload a package, and return the id of its revision."""
        with Progress(f"Uploading {self._deployment_place[1]}", shown=not quiet):
            answer = self._api.revisions_file_upload(*self._place, file=str(archive))
        revision: str = check_answer("revisions_file_upload", answer, "revision").revision
        return revision


def _differing(settings: Mapping[str, Any], there: Model) -> dict[str, Any]:
    """The settings that differ from those of an existing object."""
    return {
        name: value
        for name, value in settings.items()
        if value is not None and (None if value is NULL else value) != getattr(there, name)
    }


def _differing_fields(
    deployment: models.DeploymentDetail, side: str, fields: list[dict[str, Any]] | None
) -> dict[str, Any]:
    if fields is None:
        return {}
    if getattr(deployment, f"{side}_type") == "plain":
        raise invalid(
            f"{side}_fields",
            "deploy",
            f"the deployment {deployment.name} has plain {side}, which can't be changed: choose another name",
        )
    there = [field.to_dict() for field in getattr(deployment, f"{side}_fields") or []]
    # Fields that are passed without widgets don't change the widgets.
    same = len(there) == len(fields) and all(
        field.items() <= existing.items() for field, existing in zip(fields, there, strict=True)
    )
    return {} if same else {f"{side}_fields": fields}
