"""Builds of environments, and the runtimes that they provide for code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, event, select
from sqlalchemy.orm import Session

import ubiops
from ubiops.deployment_package import PackageError
from ubiops.emulator.dates import now
from ubiops.emulator.environments import chain, environment_of, find_tag, secrets_of, tag_of
from ubiops.emulator.execution.instance import LogSink
from ubiops.emulator.execution.packages import Packages
from ubiops.emulator.execution.requirements import check_installed
from ubiops.emulator.execution.virtual_environments import Plan, VirtualEnvironments, size_of
from ubiops.emulator.ids import new_id
from ubiops.emulator.interpreters import Interpreter, find_interpreter
from ubiops.emulator.store import Store
from ubiops.emulator.tables import (
    Build,
    Environment,
    EnvironmentBuild,
    EnvironmentTag,
    LogLine,
    Revision,
    Version,
)
from ubiops.package_format import REQUIREMENTS_FILE, SETTINGS_FILE, read_text, read_variables

_logger = logging.getLogger(__name__)

REBUILD = "Environment revision rebuild"
"""The trigger of a build that reuses nothing of earlier ones."""

RUNNING = ("queued", "processing")
"""The status of a build that hasn't ended."""

FOLDER = "environment_package"
"""The folder of a zip that contains the dependency files, if it has several."""

_PYTHON_FILES = (REQUIREMENTS_FILE, SETTINGS_FILE)
_R_FILES = ("install_packages.R", "renv.lock")
_LONGEST_ERROR = 1024
_LARGEST_FILE = 2**20
"""The most bytes of a dependency file that are stored for the API."""


@dataclass(frozen=True)
class Runtime:
    """What code runs in.

    Attributes:
        interpreter: Path of the Python.
        library: The folder or zip from which it imports ubiops.
        variables: Environment variables that it sets.
    """

    interpreter: str
    library: str
    variables: dict[str, str]


@dataclass(frozen=True)
class _Job:
    """The input of a build; ``python`` is the version that the lowest environment stands for, empty if one in between
    isn't built.
    """

    tag_id: str
    bases: list[str]
    base_name: str
    python: str
    variables: dict[str, str]
    secrets: dict[str, str]
    fresh: bool


@dataclass(frozen=True)
class _Built:
    python: str
    directory: str | None
    variables: dict[str, str]
    files: list[dict[str, Any]]
    size: int


class Environments:
    """Builds environments.

    Args:
        store: The database.
        packages: The zips on disk.
        directory: Directory of the virtual environments.
        install: Whether to make virtual environments with pip; if not, all requirements must be installed already.
        spawn: Runs a coroutine until it is done, or the emulator stops.
        changed: Called with the versions that have to pick up what was built.
    """

    def __init__(
        self,
        store: Store,
        packages: Packages,
        directory: Path,
        *,
        install: bool,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        changed: Callable[[Iterable[Version]], None],
    ) -> None:
        self._store = store
        self._packages = packages
        self._virtual = VirtualEnvironments(directory / "environments")
        self._library = _Library(directory / "library")
        self._install = install
        self._spawn = spawn
        self._changed = changed
        self._builds: dict[str, asyncio.Task[None]] = {}

    # Builds

    def start(self, build_id: str) -> None:
        """Start a stored build, once the current transaction is committed."""
        task = self._builds[build_id] = self._spawn(self._run(build_id))
        task.add_done_callback(lambda _: self._builds.pop(build_id, None))

    def cancel(self, build_id: str) -> None:
        """Stop a build whose status is already cancelled, once that is committed."""
        task = self._builds.get(build_id)
        if task is not None:
            asyncio.get_running_loop().call_soon(task.cancel)

    async def _run(self, build_id: str) -> None:
        # The failure is stored already.
        with contextlib.suppress(PackageError):
            await self._build(build_id)

    async def _build(self, build_id: str, root: Path | None = None, place: Mapping[str, str] | None = None) -> None:
        """Run a build.

        Args:
            build_id: Its id.
            root: The folder of the dependency files; None for the zip of the tag.
            place: More columns for the lines of its log, where it is part of another build.

        Raises:
            PackageError: It failed.
        """
        await self._wait_for_bases(build_id)
        job = self._begin(build_id)
        if job is None:
            return
        log = self._log_of(job.tag_id, build_id, place or {})
        if not place:
            log("info", ["Build started"])
        held: list[str] = []
        try:
            built = await self._make(job, root, log, held)
        except PackageError as error:
            if not place:
                log("error", [f"Build failed: {error}"])
            self._end(build_id, "failed", str(error))
            raise
        except Exception as error:
            _logger.exception("Build %s failed inside the emulator", build_id)
            message = "The emulator failed to build the environment; its log says why"
            self._end(build_id, "failed", message)
            raise PackageError(message) from error
        else:
            if not place:
                log("info", ["Build finished"])
            self._complete(build_id, built)
        finally:
            for name in held:
                self._virtual.release(name)

    async def _wait_for_bases(self, build_id: str) -> None:
        with self._store.session() as session:
            build = _find_build(session, build_id)
            bases = [] if build is None else [tag.id for tag in chain(session, build.tag)[:-1]]
        for tag_id in bases:
            await self.settled(tag_id)

    async def settled(self, tag_id: str | None) -> None:
        """Wait until no build of a tag is running."""
        with self._store.session() as session:
            query = select(EnvironmentBuild.id).where(EnvironmentBuild.tag_id == tag_id)
            running = [self._builds[id] for id in session.scalars(query) if id in self._builds]
        if running:
            await asyncio.wait(running)

    def _begin(self, build_id: str) -> _Job | None:
        with self._store.session() as session:
            build = _find_build(session, build_id)
            if build is None or build.status not in RUNNING:
                return None
            tag = build.tag
            build.status, tag.status = "processing", "building"
            tags = chain(session, tag)
            bottom = tags[0].environment
            below = find_tag(session, tag.base_tag_id)
            under = _active_build(session, below) if below is not None else None
            return _Job(
                tag.id,
                [base.id for base in tags[1:-1]],
                bottom.name,
                (bottom.python or "") if all(map(_is_available, tags[:-1])) else "",
                dict(under.variables) if under is not None else {},
                secrets_of(session, tag),
                build.trigger == REBUILD,
            )

    async def _make(self, job: _Job, root: Path | None, log: LogSink, held: list[str]) -> _Built:
        if not job.python:
            raise PackageError("The environment that it is built on was deleted, or has no successful build")
        folder, files, variables = await asyncio.to_thread(self._read, job, root)
        interpreter = self._interpreter(job.python, job.base_name, log)
        folders = [_find_root(self._packages.unpacked(id)) for id in job.bases] + [folder]
        folders = [one for one in folders if (one / REQUIREMENTS_FILE).is_file()]
        if not folders or not self._install:
            await check_installed(folder, interpreter, log)
            return _Built(job.python, None, variables, files, await asyncio.to_thread(size_of, folder))
        name = await self._virtual.provide(Plan(interpreter, folders, job.secrets), log, fresh=job.fresh)
        held.append(name)
        return _Built(job.python, name, variables, files, self._virtual.size(name))

    def _read(self, job: _Job, root: Path | None) -> tuple[Path, list[dict[str, Any]], dict[str, str]]:
        """The folder of the dependency files, their texts, and the variables that they set."""
        if root is None:
            self._packages.unpack(job.tag_id)
            root = _find_root(self._packages.unpacked(job.tag_id))
        files = [_read_file(root / name) for name in _PYTHON_FILES if (root / name).is_file()]
        return root, files, {**job.variables, **read_variables(root)}

    def _interpreter(self, python: str, environment: str, log: LogSink) -> Interpreter:
        interpreter = find_interpreter(python)
        if interpreter.version != python:
            used = f"Python {interpreter.version} is used"
            log("info", [f"{environment} stands for Python {python}, and this machine has no suitable one: {used}"])
        return interpreter

    def _complete(self, build_id: str, built: _Built) -> None:
        with self._store.session() as session:
            build = _find_build(session, build_id)
            if build is None or build.status not in RUNNING:
                return
            build.status, build.python, build.directory = "success", built.python, built.directory
            build.variables, build.dependency_files, build.size = built.variables, built.files, built.size
            tag = build.tag
            tag.status, tag.active_build_id = "available", build.id
            environment = tag.environment
            environment.active_tag_id, environment.last_updated = tag.id, now()
            if tag.revision_id is None:
                users = select(Version).where(Version.environment_id == environment.id)
                versions = session.scalars(users).all()
                self._changed(one for one in versions if one.environment_tag_id in (None, tag.id))

    def _end(self, build_id: str, status: str, message: str) -> None:
        with self._store.session() as session:
            build = _find_build(session, build_id)
            if build is not None and build.status in RUNNING:
                end_build(build, status, message)

    def _log_of(self, tag_id: str, build_id: str, place: Mapping[str, str]) -> LogSink:
        def write(level: str, lines: list[str]) -> None:
            with self._store.session() as session:
                tag = find_tag(session, tag_id)
                if tag is None:
                    return
                session.add_all(
                    LogLine(
                        project_id=tag.environment.project_id,
                        environment_tag_id=tag_id,
                        environment_build_id=build_id,
                        level=level,
                        system=True,
                        log=line,
                        **place,
                    )
                    for line in lines
                )

        return write

    # Environments of versions

    async def provide(self, version_id: str, revision_id: str, root: Path, build_id: str, log: LogSink) -> None:
        """Provide what the package of a revision runs in.

        If it has dependency files, an implicit environment is built from them, based on the environment of its version.

        Args:
            version_id: The version.
            revision_id: The revision.
            root: The folder of its package.
            build_id: The build of the revision, to whose log this writes.
            log: Takes lines for that log.

        Raises:
            PackageError: There is nothing that it could run in.
        """
        with self._store.session() as session:
            version = _get_version(session, version_id)
            latest = version.environment_tag_id or latest_tag_id(session, environment_of(session, version))
        await self.settled(latest)
        files = [name for name in _PYTHON_FILES if (root / name).is_file()]
        with self._store.session() as session:
            version = _get_version(session, version_id)
            base = tag_of(session, version)
            environment = environment_of(session, version)
            if base is None or not _is_available(base):
                raise PackageError(f"The environment {environment.name} has no successful build to run in")
            if not files:
                bottom = chain(session, base)[0].environment
                self._interpreter(bottom.python or "", bottom.name, log)
                return
            tag = _implicit_tag(session, version, base, revision_id)
            build = add_build(session, tag, "Deployment file upload")
            new_tag, new_build = tag.id, build.id
        with zipfile.ZipFile(self._packages.archive(new_tag), "w", zipfile.ZIP_DEFLATED) as archive:
            for name in files:
                archive.write(root / name, name)
        await self._build(new_build, root, {"version_id": version_id, "build_id": build_id})
        with self._store.session() as session:
            revision = session.scalar(select(Revision).where(Revision.id == revision_id))
            if revision is not None:
                revision.environment_tag_id = new_tag

    def is_missing(self, session: Session, revision_id: str, root: Path) -> bool:
        """Whether the package of a revision, in a folder, has requirements that are not yet installed for it."""
        own = select(Revision.environment_tag_id).where(Revision.id == revision_id)
        return self._install and (root / REQUIREMENTS_FILE).is_file() and session.scalar(own) is None

    def runtime(self, session: Session, version: Version, revision_id: str) -> Runtime:
        """What the package of a revision runs in.

        Raises:
            PackageError: There is nothing that it could run in.
        """
        own = session.scalar(select(Revision.environment_tag_id).where(Revision.id == revision_id))
        tag = find_tag(session, own) or tag_of(session, version)
        build = _active_build(session, tag) if tag is not None else None
        if tag is None or not (tag.environment.is_system or build is not None):
            name = environment_of(session, version).name
            raise PackageError(f"The environment {name} has no successful build to run in")
        python = (build.python if build is not None else tag.environment.python) or ""
        interpreter = find_interpreter(python)
        variables = dict(build.variables) if build is not None else {}
        if build is None or build.directory is None:
            return Runtime(interpreter.path, self._library.path(interpreter), variables)
        directory = self._virtual.path(build.directory)
        if not self._virtual.exists(build.directory):
            raise PackageError(f"The virtual environment of {tag.environment.name} is missing: build it again")
        commands = directory / "bin"
        search = os.pathsep.join(filter(None, [str(commands), os.environ.get("PATH")]))
        variables |= {"VIRTUAL_ENV": str(directory), "PATH": search}
        return Runtime(str(commands / "python"), self._library.path(None), variables)

    # Cleaning up

    def collect(self) -> None:
        """Delete the virtual environments that nothing refers to."""
        with self._store.session() as session:
            known = set(session.scalars(_directories_in_use()))
        removed = self._virtual.sweep(known)
        if removed:
            self._spawn(_delete(removed))

    def forget(self, session: Session, tags: Select[EnvironmentTag]) -> None:
        """Stop the builds of tags that are being deleted, and delete their files."""
        ids = [tag.id for tag in session.scalars(tags)]
        running = EnvironmentBuild.status.in_(RUNNING)
        for build_id in session.scalars(select(EnvironmentBuild.id).where(EnvironmentBuild.tag_id.in_(ids), running)):
            self.cancel(build_id)
        self._packages.remove_later(session, ids)
        self.collect_later(session)

    def collect_later(self, session: Session) -> None:
        """Do so once the current transaction is committed."""
        loop = asyncio.get_running_loop()
        event.listen(session, "after_commit", lambda _: loop.call_soon(self.collect), once=True)

    def recover(self, session: Session) -> None:
        """Resume what an earlier process left unfinished."""
        for build in session.scalars(select(EnvironmentBuild).where(EnvironmentBuild.status.in_(RUNNING))):
            if build.tag.revision_id is None:
                self.start(build.id)
            else:
                # The build of its deployment revision starts over, and starts another one of these.
                end_build(build, "failed", "The emulator was stopped")

    def stop(self) -> None:
        """Forget the builds, which are all stopped."""
        self._builds.clear()
        self._virtual.stop()

    def clear(self) -> None:
        """Delete all virtual environments."""
        self._virtual.clear()


class _Library:
    """Where other interpreters than the emulator's find this package, but nothing that is installed next to it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made = False

    def path(self, interpreter: Interpreter | None) -> str:
        source = Path(ubiops.__file__).resolve().parent
        if (interpreter is not None and interpreter.is_running) or not source.is_dir():
            return str(source.parent)
        if not self._made:
            self._directory.mkdir(exist_ok=True)
            link = self._directory / source.name
            link.unlink(missing_ok=True)
            link.symlink_to(source)
            self._made = True
        return str(self._directory)


def add_build(session: Session, tag: EnvironmentTag, trigger: str) -> EnvironmentBuild:
    """Create a build of a tag; it has to be started."""
    build = EnvironmentBuild(id=new_id(), tag=tag, trigger=trigger)
    session.add(build)
    tag.latest_build_id, tag.status = build.id, "queued"
    session.flush()
    return build


def end_build(build: EnvironmentBuild, status: str, message: str | None) -> None:
    """Store that a build didn't succeed; the result of an earlier build of its tag stays in use."""
    build.status = status
    build.error_message = message[:_LONGEST_ERROR] if message is not None else None
    build.tag.status = status if build.tag.active_build_id is None else "available"


def next_name(session: Session, environment: Environment) -> str:
    """A name for the next tag of an environment whose tags are numbered."""
    names = set(session.scalars(select(EnvironmentTag.name).where(EnvironmentTag.environment_id == environment.id)))
    return next(name for number in range(len(names) + 1, 2 * len(names) + 2) if (name := f"v{number}") not in names)


def latest_tag_id(session: Session, environment: Environment) -> str | None:
    """The tag of an environment that got its file last."""
    query = select(EnvironmentTag.id).where(EnvironmentTag.environment_id == environment.id)
    return session.scalar(query.where(EnvironmentTag.has_file).order_by(EnvironmentTag.number.desc()).limit(1))


def _get_version(session: Session, version_id: str) -> Version:
    version = session.get(Version, version_id)
    if version is None:
        raise PackageError("The version was deleted")
    return version


def _find_build(session: Session, build_id: str) -> EnvironmentBuild | None:
    return session.scalar(select(EnvironmentBuild).where(EnvironmentBuild.id == build_id))


def _active_build(session: Session, tag: EnvironmentTag) -> EnvironmentBuild | None:
    return _find_build(session, tag.active_build_id) if tag.active_build_id is not None else None


def _is_available(tag: EnvironmentTag) -> bool:
    return tag.environment.is_system or tag.active_build_id is not None


def _implicit_tag(session: Session, version: Version, base: EnvironmentTag, revision_id: str) -> EnvironmentTag:
    environment = session.scalar(select(Environment).where(Environment.version_id == version.id))
    if environment is None:
        environment = Environment(
            project_id=version.deployment.project_id,
            name=f"implicit-{version.id}",
            display_name=f"{version.deployment.name} {version.name}",
            version_id=version.id,
            hidden=True,
        )
        session.add(environment)
    environment.base_id = base.environment_id
    session.flush()
    revision = session.scalars(select(Revision).where(Revision.id == revision_id)).one()
    tag = EnvironmentTag(
        id=new_id(),
        environment=environment,
        name=next_name(session, environment),
        base_tag_id=base.id,
        revision_id=revision_id,
        created_by=revision.created_by,
        has_file=True,
    )
    session.add(tag)
    return tag


def _directories_in_use() -> Any:
    in_use = select(Version.active_revision_id).union(
        select(Build.revision_id).where(Build.status.in_(["queued", "building", "validating"]))
    )
    of_revisions = select(Revision.environment_tag_id).where(Revision.id.in_(in_use))
    return (
        select(EnvironmentBuild.directory)
        .join(EnvironmentTag, EnvironmentTag.active_build_id == EnvironmentBuild.id)
        .where(EnvironmentBuild.directory.is_not(None))
        .where(EnvironmentTag.revision_id.is_(None) | EnvironmentTag.id.in_(of_revisions))
    )


def _find_root(directory: Path) -> Path:
    """The folder of an unpacked zip that contains the dependency files: its top, or its only folder."""
    if _holds_files(directory):
        return directory
    folders = sorted(path for path in directory.iterdir() if path.is_dir() and path.name != "__MACOSX")
    if len(folders) > 1:
        folders = [path for path in folders if path.name == FOLDER]
    if not folders or not _holds_files(folders[0]):
        raise PackageError(f"The zip has neither {' nor '.join(_PYTHON_FILES)}, at its top or in its one folder")
    return folders[0]


def _holds_files(folder: Path) -> bool:
    if any((folder / name).is_file() for name in _PYTHON_FILES):
        return True
    if any((folder / name).is_file() for name in _R_FILES):
        raise PackageError("The emulator runs Python, not R: the zip must contain requirements.txt or ubiops.yaml")
    return False


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return {"name": path.name, "content": read_text(path)[:_LARGEST_FILE]}
    except UnicodeDecodeError as error:
        raise PackageError(f"{path.name} can't be read: {error}") from error


async def _delete(directories: list[Path]) -> None:
    for directory in directories:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
