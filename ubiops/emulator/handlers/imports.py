"""Imports: the contents of a zip become part of a project, once confirmed."""

from __future__ import annotations

import asyncio
import http.client
import logging
import shutil
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import select
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse

from ubiops.emulator.bundle import BundleError, Contents, extract_package, read_bundle
from ubiops.emulator.context import Context
from ubiops.emulator.errors import ApiError, invalid
from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.execution.packages import whole
from ubiops.emulator.execution.post import is_loopback
from ubiops.emulator.handlers.deployments import deployments_create
from ubiops.emulator.handlers.environment_tags import build_tag, environment_tags_create
from ubiops.emulator.handlers.environments import environments_create
from ubiops.emulator.handlers.exports import (
    DEPLOYMENT_SETTINGS,
    ENVIRONMENT_SETTINGS,
    OBJECT_SETTINGS,
    PIPELINE_VERSION_SETTINGS,
    SERVICE_SETTINGS,
    VERSION_SETTINGS,
    change,
    delete,
    detail,
    download,
    fail,
    find_transfer,
    list_transfers,
    record_transfer,
    run_export,
    view,
)
from ubiops.emulator.handlers.find import (
    find_deployment,
    find_pipeline,
    find_pipeline_version_of,
    find_project,
    find_version_of,
)
from ubiops.emulator.handlers.pipeline_versions import pipeline_versions_create
from ubiops.emulator.handlers.pipelines import pipelines_create
from ubiops.emulator.handlers.revisions import create_revision
from ubiops.emulator.handlers.services import services_create
from ubiops.emulator.handlers.variables import create_variable
from ubiops.emulator.handlers.versions import deployment_versions_create
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables import Transfer
from ubiops.emulator.web.document import load_document

_logger = logging.getLogger(__name__)

_CHUNK = 2**20
_LARGEST_FILE = 8 * 2**30
_LINK_TIMEOUT = 30
_LABEL = "import"


async def imports_create(
    context: Context,
    project_name: str,
    file: UploadFile | str | None,
    import_link: str | None,
    export_id: str | None,
    skip_confirmation: str | None,
) -> dict[str, Any]:
    find_project(context, project_name)
    if sum(1 for source in (file, import_link, export_id) if source) != 1:
        raise invalid("Pass exactly one of file, import_link and export_id")
    skip = _read_boolean(skip_confirmation)
    id = new_id()
    target = context.engine.packages.archive(id)
    if export_id:
        export = find_transfer(context, project_name, "export", export_id)
        if export.status != "completed":
            raise invalid(f"export_id: the export is {export.status}; only a completed one can be imported")
        context.session.commit()
        with whole(target):
            await asyncio.to_thread(shutil.copyfile, context.engine.packages.archive(export.id), target)
    elif isinstance(file, UploadFile):
        context.session.commit()
        with whole(target):
            await asyncio.to_thread(_keep, file.file, target)
    elif import_link:
        context.session.commit()
        await asyncio.to_thread(_check_link, import_link)
    else:
        raise invalid("file: it must be an uploaded file, not a text")
    transfer = Transfer(
        id=id,
        kind="import",
        project=find_project(context, project_name),
        created_by=context.user,
        size=None if import_link else target.stat().st_size,
        link=import_link or None,
        contents={},
        skip_confirmation=skip,
    )
    context.session.add(transfer)
    context.session.flush()
    record_transfer(context, transfer, "create", "Created")
    context.engine.spawn(run_import(context.engine, id))
    return view(transfer)


def imports_list(context: Context, project_name: str, status: str | None) -> list[dict[str, Any]]:
    return list_transfers(context, project_name, "import", status)


def imports_get(context: Context, project_name: str, import_id: str) -> dict[str, Any]:
    return detail(find_transfer(context, project_name, "import", import_id))


def imports_update(context: Context, project_name: str, import_id: str, data: dict[str, Any]) -> dict[str, Any]:
    transfer = find_transfer(context, project_name, "import", import_id)
    if transfer.status != "confirmation":
        raise invalid(f"The import is {transfer.status}; only one whose status is confirmation can be confirmed")
    contents = _chosen(transfer.contents, data)
    _check_values(contents)
    transfer.contents = contents
    transfer.status = "confirmation_pending"
    record_transfer(context, transfer, "update", "Confirmed")
    context.engine.spawn(run_import(context.engine, transfer.id))
    return detail(transfer)


def imports_download(context: Context, project_name: str, import_id: str) -> FileResponse:
    return download(context, find_transfer(context, project_name, "import", import_id))


def imports_delete(context: Context, project_name: str, import_id: str) -> None:
    delete(context, find_transfer(context, project_name, "import", import_id))


# Where the zip comes from


def _read_boolean(text: str | None) -> bool:
    if (text or "false").lower() not in ("true", "false"):
        raise invalid(f"skip_confirmation: it must be true or false, not '{text}'")
    return (text or "").lower() == "true"


def _keep(source: BinaryIO, target: Path) -> None:
    source.seek(0)
    with target.open("wb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)


def _check_link(link: str) -> None:
    try:
        parts = urllib.parse.urlsplit(link)
        addresses = {info[4][0] for info in socket.getaddrinfo(parts.hostname, parts.port or 80)}
    except (OSError, ValueError) as error:
        raise invalid(f"import_link: '{link}' is not a link that can be followed: {error}") from error
    is_near = all(is_loopback(str(address)) for address in addresses)
    if parts.scheme not in ("http", "https") or not is_near:
        raise invalid("import_link: the emulator follows links to this machine only, such as those of its own buckets")


class _Near(http.client.HTTPConnection):
    """A connection to this machine, which checks the address: a name may resolve differently when looked up again."""

    def connect(self) -> None:
        super().connect()
        if not is_loopback(self.sock.getpeername()[0]):
            self.close()
            raise OSError("the link leads off this machine")


class _NearTls(_Near, http.client.HTTPSConnection):
    pass


class _NearHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Near, req)


class _NearTlsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_NearTls, req)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        """Follow no redirect, for it could lead off this machine."""


async def _fetch(link: str, target: Path) -> None:
    """Download the file behind a link.

    Raises:
        BundleError: It can't be fetched.
    """
    abandoned = threading.Event()
    try:
        await asyncio.to_thread(_read_link, link, target, abandoned)
    finally:
        # A thread goes on when its task is cancelled, and the emulator couldn't stop while data arrives.
        abandoned.set()


def _read_link(link: str, target: Path, abandoned: threading.Event) -> None:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), _NearHandler(), _NearTlsHandler(), _NoRedirects()
    )
    try:
        with opener.open(link, timeout=_LINK_TIMEOUT) as response, whole(target), target.open("wb") as copy:
            while not abandoned.is_set() and (chunk := response.read1(_CHUNK)):
                copy.write(chunk)
                if copy.tell() > _LARGEST_FILE:
                    raise BundleError(f"The file behind the link is larger than {_LARGEST_FILE // 2**30} GB")
    except OSError as error:
        raise BundleError(f"The file behind the link can't be fetched: {error}") from error
    except (http.client.HTTPException, ValueError):
        # Without the error's text, which contains the link: anyone who has the link can read the file.
        raise BundleError("The file behind the link can't be fetched: the link or its answer is not valid") from None


# What to import of it


def _chosen(contents: Contents, data: dict[str, Any]) -> Contents:
    """The contents that a confirmation names, with its changes; everything else is left out."""
    chosen: Contents = {key: _merged(contents, data, key) for key in ("services", "environment_variables")}
    chosen["environments"] = _merged(contents, data, "environments")
    for name, item in chosen["environments"].items():
        item["tags"] = _merged(contents["environments"][name], data["environments"][name], "tags")
    for kind in ("deployments", "pipelines"):
        chosen[kind] = _merged(contents, data, kind)
        for name, item in chosen[kind].items():
            found, given = contents[kind][name], data[kind][name]
            item["versions"] = _merged(found, given, "versions")
            if kind == "deployments":
                item["environment_variables"] = _merged(found, given, "environment_variables")
                for version, settings in item["versions"].items():
                    settings["environment_variables"] = _merged(
                        found["versions"][version], given["versions"][version], "environment_variables"
                    )
    return chosen


def _merged(found: dict[str, Any], given: dict[str, Any], key: str) -> dict[str, Any]:
    items = given.get(key) or {}
    if not isinstance(items, dict) or not all(isinstance(item, dict) for item in items.values()):
        raise invalid(f"{key}: it must be a dictionary of dictionaries")
    known = found.get(key, {})
    # Variables may be added freely: they need nothing from the file.
    unknown = [name for name in items if name not in known and key != "environment_variables"]
    if unknown:
        raise invalid(f"{key}: the import has no '{unknown[0]}'")
    return {name: {**known.get(name, {}), **item} for name, item in items.items()}


def _check_values(contents: Contents) -> None:
    owners = [contents]
    for deployment in contents["deployments"].values():
        owners += [deployment, *deployment["versions"].values()]
    for owner in owners:
        for name, variable in owner.get("environment_variables", {}).items():
            if variable.get("value") is None:
                raise invalid(f"environment_variables: '{name}' has no value in the file; pass one when you confirm")


# Creating what is imported


async def run_import(engine: Engine, id: str) -> None:
    """Advance an import until it has to be confirmed, or has ended."""
    try:
        await _advance(engine, id)
    except (ApiError, BundleError) as error:
        fail(engine, id, str(error))
    except CycleError:
        fail(engine, id, "The pipelines contain each other, or the environments are built on each other")
    except Exception:
        _logger.exception("The import %s failed inside the emulator", id)
        fail(engine, id, "The emulator failed to import the file; its log says why")


async def _advance(engine: Engine, id: str) -> None:
    with engine.store.session() as session:
        transfer = session.scalar(select(Transfer).filter_by(id=id))
        if transfer is None:
            return
        status, link, skip = transfer.status, transfer.link, transfer.skip_confirmation
        contents: Contents = transfer.contents
    path = engine.packages.archive(id)
    if status in ("pending", "scanning"):
        change(engine, id, status="scanning")
        if link is not None:
            await _fetch(link, path)
        contents = await asyncio.to_thread(read_bundle, path)
        status = "processing" if skip else "confirmation"
        # The link isn't needed any more, and anyone who has it can read the file.
        if not change(engine, id, contents=contents, size=path.stat().st_size, status=status, link=None):
            path.unlink()
            return
    if status != "confirmation":
        change(engine, id, status="processing")
        _check_values(contents)
        await _bring_in(engine, id, contents)


async def _bring_in(engine: Engine, id: str, contents: Contents) -> None:
    parts = [deployment["versions"] for deployment in contents["deployments"].values()]
    parts += [environment["tags"] for environment in contents.get("environments", {}).values()]
    zips = [settings["zip"] for part in parts for settings in part.values() if settings.get("zip")]
    revisions = {name: new_id() for name in zips}
    archive = engine.packages.archive
    try:
        for name, revision_id in revisions.items():
            await asyncio.to_thread(extract_package, archive(id), name, archive(revision_id))
        with engine.store.session() as session:
            transfer = session.scalar(select(Transfer).filter_by(id=id))
            if transfer is not None:
                _Creation(Context(session, engine, transfer.created_by), transfer, revisions).run()
                transfer.status = "completed"
    except BaseException:
        engine.packages.remove(revisions.values())
        raise
    engine.targets.forget()


class _Creation:
    """Creates the contents of an import by the functions that serve users."""

    def __init__(self, context: Context, transfer: Transfer, revisions: dict[str, str]) -> None:
        self._context = context
        self._project = transfer.project.name
        self._contents = transfer.contents
        self._label = {_LABEL: transfer.id}
        self._revisions = revisions

    def run(self) -> None:
        """Create everything."""
        self._create_variables("project", {}, self._contents)
        # Older imports have no environments and no services.
        self._create_environments(self._contents.get("environments", {}))
        for name, item in self._contents["deployments"].items():
            self._create_deployment(name, item)
        for name, item in self._contents["pipelines"].items():
            self._call("pipelines_create", pipelines_create, {}, self._body("name", name, item, OBJECT_SETTINGS))
        self._create_pipeline_versions()
        for name, item in self._contents.get("services", {}).items():
            self._call("services_create", services_create, {}, self._body("name", name, item, SERVICE_SETTINGS))

    def _call(self, operation: str, create: Callable[..., Any], place: dict[str, str], body: dict[str, Any]) -> None:
        schema = load_document().operations[operation].body
        assert schema is not None
        try:
            schema.check(body)
            create(self._context, project_name=self._project, **place, data=body)
        except ApiError as error:
            what = "/".join([*place.values(), str(body.get("version", body.get("name")))])
            raise ApiError(error.status, f"{what}: {error.message}") from error

    def _body(self, key: str, name: str, item: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
        body = {setting: item[setting] for setting in settings if item.get(setting) is not None}
        labels = body.get("labels", {})
        return {**body, key: name, "labels": {**labels, **self._label} if isinstance(labels, dict) else labels}

    def _create_variables(self, kind: str, place: dict[str, str], owner: dict[str, Any]) -> None:
        for name, variable in owner.get("environment_variables", {}).items():
            body = {"name": name, "value": variable["value"], "secret": variable.get("secret", False)}
            self._call(f"{kind}_environment_variables_create", create_variable, place, body)

    def _create_environments(self, environments: dict[str, Any]) -> None:
        bases = {name: {item.get("base_environment")} & environments.keys() for name, item in environments.items()}
        for name in TopologicalSorter(bases).static_order():
            body = self._body("name", name, environments[name], ENVIRONMENT_SETTINGS)
            self._call("environments_create", environments_create, {}, body)
        tags = {(name, tag): settings for name, item in environments.items() for tag, settings in item["tags"].items()}
        below = {place: {_base(settings)} & tags.keys() for place, settings in tags.items()}
        for name, tag in TopologicalSorter(below).static_order():
            self._create_tag(name, tag, tags[name, tag])

    def _create_tag(self, environment: str, tag: str, settings: dict[str, Any]) -> None:
        place = {"environment_name": environment}
        body = {"name": tag, "supports_request_format": settings.get("supports_request_format", True)}
        self._call("environment_tags_create", environment_tags_create, place, body)
        if settings.get("zip"):
            kept = self._revisions[settings["zip"]]
            build_tag(self._context, self._project, environment, tag, _base(settings), kept)

    def _create_deployment(self, name: str, item: dict[str, Any]) -> None:
        self._call("deployments_create", deployments_create, {}, self._body("name", name, item, DEPLOYMENT_SETTINGS))
        self._create_variables("deployment", {"deployment_name": name}, item)
        deployment = find_deployment(self._context, self._project, name)
        for version, settings in item["versions"].items():
            body = self._body("version", version, settings, VERSION_SETTINGS) | _environment(settings)
            place = {"deployment_name": name}
            self._call("deployment_versions_create", deployment_versions_create, place, body)
            place = {"deployment_name": name, "version": version}
            self._create_variables("deployment_version", place, settings)
            if settings.get("zip"):
                created = find_version_of(self._context, deployment, version)
                create_revision(self._context, created, self._revisions[settings["zip"]])
        if item.get("default_version") in item["versions"]:
            default = find_version_of(self._context, deployment, item["default_version"])
            deployment.default_version_id = default.id

    def _create_pipeline_versions(self) -> None:
        pipelines = self._contents["pipelines"]
        order = TopologicalSorter({name: _subpipelines(item) & pipelines.keys() for name, item in pipelines.items()})
        for name in order.static_order():
            pipeline = find_pipeline(self._context, self._project, name)
            for version, settings in pipelines[name]["versions"].items():
                body = self._body("version", version, settings, PIPELINE_VERSION_SETTINGS)
                body["objects"] = [_object(item) for item in body.get("objects", [])]
                self._call("pipeline_versions_create", pipeline_versions_create, {"pipeline_name": name}, body)
            if pipelines[name].get("default_version") in pipelines[name]["versions"]:
                default = find_pipeline_version_of(self._context, pipeline, pipelines[name]["default_version"])
                pipeline.default_version_id = default.id


def _base(settings: dict[str, Any]) -> tuple[Any, Any]:
    """The environment and the tag that a tag is built on."""
    return settings.get("base_environment_name"), settings.get("base_environment_tag")


def _environment(settings: dict[str, Any]) -> dict[str, Any]:
    """The environment in the settings of a version, in the form of a body that creates the version."""
    if settings.get("environment_tag"):
        return {key: settings.get(key) for key in ("environment_name", "environment_tag")}
    name = settings.get("environment_name", settings.get("environment"))
    return {"environment": name} if name else {}


def _subpipelines(pipeline: dict[str, Any]) -> set[str]:
    """The pipelines that the versions of a pipeline contain."""
    return {
        item["reference_name"]
        for settings in pipeline["versions"].values()
        for item in settings.get("objects") or []
        if isinstance(item, dict) and item.get("reference_type") == "pipeline"
    }


def _object(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    # The form of files, where an empty version is the default one.
    version = item.get("reference_version")
    body = {key: value for key, value in item.items() if key != "reference_version"}
    return {**body, "version": version} if version else body


def resume_transfers(engine: Engine) -> None:
    """Continue the exports and imports that an earlier process left unfinished."""
    unfinished = Transfer.status.in_(["pending", "scanning", "confirmation_pending", "processing"])
    with engine.store.session() as session:
        for transfer in session.scalars(select(Transfer).where(unfinished)):
            run = run_export if transfer.kind == "export" else run_import
            engine.spawn(run(engine, transfer.id))
