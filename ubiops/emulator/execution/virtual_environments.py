"""Virtual environments, one for each content: created with pip, shared, and removed when nothing refers to them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ubiops
from ubiops.deployment_package import PackageError, inherited_environment
from ubiops.emulator.execution.instance import LogSink
from ubiops.emulator.execution.masks import Masks
from ubiops.emulator.execution.requirements import (
    CLIENT,
    CLIENT_NEEDS,
    asks_for_client,
    stands_alone,
    without_version_of_client,
)
from ubiops.emulator.ids import new_id
from ubiops.emulator.interpreters import Interpreter
from ubiops.package_format import REQUIREMENTS_FILE

_COMPLETE = "complete"
"""A file that marks a virtual environment as complete; it contains the size of that in bytes."""

_REMOVED = "removed-"
"""Prefix of the names of virtual environments that are being deleted."""

_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class Plan:
    """What to install in a virtual environment.

    Attributes:
        interpreter: Its interpreter.
        folders: The folders with a ``requirements.txt``, each installed on top of those before it.
        secrets: Environment variables that pip sees.
    """

    interpreter: Interpreter
    folders: Sequence[Path]
    secrets: Mapping[str, str]

    def digest(self) -> str:
        """A digest that is the same for plans with the same result."""
        digest = hashlib.sha256()

        def add(*parts: bytes) -> None:
            for part in parts:
                digest.update(len(part).to_bytes(8, "big") + part)

        add(os.path.realpath(self.interpreter.path).encode(), self.interpreter.version.encode())
        for folder in self.folders:
            if stands_alone(folder / REQUIREMENTS_FILE):
                add((folder / REQUIREMENTS_FILE).read_bytes())
                continue
            files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".any-")]
            for path in sorted(files):
                add(str(path.relative_to(folder)).encode(errors="surrogateescape"), path.read_bytes())
        for name, value in sorted(self.secrets.items()):
            add(name.encode(), value.encode(errors="surrogatepass"))
        return digest.hexdigest()[:32]


class VirtualEnvironments:
    """The virtual environments of this machine.

    Args:
        directory: Where they are kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._held: Counter[str] = Counter()

    def path(self, name: str) -> Path:
        """The folder of a virtual environment."""
        return self._directory / name

    def exists(self, name: str) -> bool:
        """Whether a virtual environment exists and is complete."""
        return (self.path(name) / _COMPLETE).is_file()

    def size(self, name: str) -> int:
        """The size of a virtual environment in bytes."""
        return int((self.path(name) / _COMPLETE).read_text())

    async def provide(self, plan: Plan, log: LogSink, *, fresh: bool = False) -> str:
        """Find or create the virtual environment of a plan; returns its name. It stays at least until its `release`.

        Args:
            plan: What to install.
            log: Takes the output of pip.
            fresh: Whether to create another one even if it exists, for newer versions of packages.

        Raises:
            PackageError: It can't be created.
        """
        digest = await asyncio.to_thread(plan.digest)
        async with self._turns[digest]:
            name = None if fresh else self._find(digest)
            if name is not None:
                self._held[name] += 1
                log("info", ["The virtual environment of this content exists already"])
                return name
            # Never at a path that was used before: the pip of an emulator that was killed may still be running there.
            name = f"{digest}-{new_id()[:8]}"
            self._held[name] += 1
            try:
                await self._make(self.path(name), plan, log)
            except BaseException:
                self.release(name)
                await asyncio.to_thread(shutil.rmtree, self.path(name), ignore_errors=True)
                raise
        return name

    def _find(self, digest: str) -> str | None:
        """The newest virtual environment of a content."""
        complete = self._directory.glob(f"{digest}-*/{_COMPLETE}")
        newest = max(complete, key=lambda path: path.stat().st_mtime, default=None)
        return newest.parent.name if newest is not None else None

    def release(self, name: str) -> None:
        """Release a virtual environment: from now on, it stays only while something refers to it."""
        self._held[name] -= 1

    def sweep(self, known: set[str]) -> list[Path]:
        """Rename the virtual environments that aren't among the known ones; returns the folders to delete."""
        if not self._directory.is_dir():
            return []
        out = []
        for path in list(self._directory.iterdir()):
            if path.name.startswith(_REMOVED):
                out.append(path)
            elif self._held[path.name] <= 0 and not (path.name in known and self.exists(path.name)):
                # In one step, so that no build finds one that is half deleted.
                out.append(path.rename(path.with_name(f"{_REMOVED}{new_id()}")))
        return out

    def stop(self) -> None:
        """Drop the locks, once all builds are stopped: a lock belongs to an event loop."""
        self._turns.clear()

    def clear(self) -> None:
        """Delete all."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._held.clear()

    async def _make(self, directory: Path, plan: Plan, log: LogSink) -> None:
        # In its final place, since installed packages contain its path.
        self._directory.mkdir(exist_ok=True)
        await _run([plan.interpreter.path, "-m", "venv", "--without-pip", str(directory)], plan, log)
        site = directory / "lib" / f"python{plan.interpreter.version}" / "site-packages"
        await asyncio.to_thread(_add_client, site)
        constraints = directory / "constraints.txt"
        constraints.write_text(f"{CLIENT}=={ubiops.__version__}\n")
        pip = [str(directory / "bin" / "python"), _pip(), "install", "--quiet"]
        for folder in plan.folders:
            log("info", ["Installing requirements.txt"])
            file = without_version_of_client(folder)
            options = ["--disable-pip-version-check", "--no-input", "--constraint", str(constraints)]
            await _run([*pip, *options, "--requirement", file], plan, log, folder)
        if any(map(asks_for_client, plan.folders)) or await asyncio.to_thread(_is_asked_for_client, site):
            await asyncio.to_thread(_add_what_client_needs, site)
        size = directory / "size"
        size.write_text(str(await asyncio.to_thread(size_of, directory)))
        size.rename(directory / _COMPLETE)


def _pip() -> str:
    """The pip that `pip --python` would run with the other interpreter; running it directly saves one start of pip."""
    found = find_spec("pip")
    if found is None or found.origin is None:
        raise PackageError("requirements.txt can't be installed: pip is not installed where the emulator runs")
    return str(Path(found.origin).with_name("__pip-runner__.py"))


async def _run(command: list[str], plan: Plan, log: LogSink, folder: Path | None = None) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=_variables(plan),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Its own group, so that it is stopped together with what it starts.
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    lines = list(map(Masks(plan.secrets.values()), output.decode(errors="replace").splitlines()))
    log("info" if process.returncode == 0 else "error", lines)
    if process.returncode != 0:
        told = [line for line in lines if line.strip()] or ["pip failed"]
        errors = [line for line in told if line.startswith("ERROR")]
        raise PackageError(f"requirements.txt can't be installed: {(errors or told)[-1]}")


def _variables(plan: Plan) -> dict[str, str]:
    """The variables for pip and the code that it runs in builds: those of the plan, but none of the emulator's."""
    own = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.upper() in _NETWORK}
    inherited = inherited_environment()
    if not plan.interpreter.is_running:
        inherited.pop("PYTHONHOME", None)
    return {**inherited, **own, **plan.secrets}


def size_of(folder: Path) -> int:
    """The total size of the files in a folder in bytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _add_client(site: Path) -> None:
    """Make this package appear installed in a virtual environment, to pip as to code."""
    source = Path(ubiops.__file__).resolve().parent
    if source.is_dir():
        (site / CLIENT).symlink_to(source)
    else:
        # It runs from a zip.
        (site / f"{CLIENT}.pth").write_text(f"{source.parent}\n")
    information = site / f"{CLIENT}-{ubiops.__version__}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {CLIENT}\nVersion: {ubiops.__version__}\n")
    (information / "INSTALLER").write_text("ubiops.emulator\n")


def _add_what_client_needs(site: Path) -> None:
    """Copy what this package needs from here, unless a version of it is installed."""
    there = {canonicalize_name(item.metadata["Name"]) for item in metadata.distributions(path=[str(site)])}
    for needed in CLIENT_NEEDS:
        if needed not in there:
            _copy_distribution(needed, site)


def _is_asked_for_client(site: Path) -> bool:
    """Whether something that is installed requires this package."""
    for item in metadata.distributions(path=[str(site)]):
        for requirement in item.requires or ():
            if canonicalize_name(Requirement(requirement).name) == CLIENT:
                return True
    return False


def _copy_distribution(name: str, site: Path) -> None:
    found = metadata.distribution(name)
    for file in found.files or ():
        source = Path(str(found.locate_file(file)))
        if ".." not in file.parts and source.is_file() and source.suffix != ".pyc":
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, site / file)
