"""Virtual environments, one for each content: made with pip, shared, and removed when nothing refers to them."""

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
"""A file that is there when a virtual environment was made to its end; it holds the bytes that it takes."""

_REMOVED = "removed-"
"""What the names of those begin with that are being deleted."""

_NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True)
class Plan:
    """What a virtual environment is made of.

    Attributes:
        interpreter: The interpreter that runs in it.
        folders: The folders with a ``requirements.txt``, each installed on top of those before it.
        secrets: Environment variables that pip sees.
    """

    interpreter: Interpreter
    folders: Sequence[Path]
    secrets: Mapping[str, str]

    def digest(self) -> str:
        """What two plans share where they come to the same."""
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
        """The folder of one."""
        return self._directory / name

    def exists(self, name: str) -> bool:
        """Whether one was made to its end."""
        return (self.path(name) / _COMPLETE).is_file()

    def size(self, name: str) -> int:
        """The bytes that one takes."""
        return int((self.path(name) / _COMPLETE).read_text())

    async def provide(self, plan: Plan, log: LogSink, *, fresh: bool = False) -> str:
        """See to it that there is one as planned; returns its name. It stays until it is given to `release`.

        Args:
            plan: What it is made of.
            log: Takes what pip says.
            fresh: Whether to make another one though there is one already, for newer versions of packages.

        Raises:
            PackageError: It can't be made.
        """
        digest = await asyncio.to_thread(plan.digest)
        async with self._turns[digest]:
            name = None if fresh else self._find(digest)
            if name is not None:
                self._held[name] += 1
                log("info", ["The virtual environment of this content is there already"])
                return name
            # Never at a path that was tried before: pip may go on there, left by an emulator that was killed.
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
        """The newest one of a content."""
        complete = self._directory.glob(f"{digest}-*/{_COMPLETE}")
        newest = max(complete, key=lambda path: path.stat().st_mtime, default=None)
        return newest.parent.name if newest is not None else None

    def release(self, name: str) -> None:
        """Let one go that was provided: it stays only while it is known."""
        self._held[name] -= 1

    def sweep(self, known: set[str]) -> list[Path]:
        """Put those out of the way that aren't among the known ones; returns what is to be deleted."""
        if not self._directory.is_dir():
            return []
        out = []
        for path in list(self._directory.iterdir()):
            if path.name.startswith(_REMOVED):
                out.append(path)
            elif self._held[path.name] <= 0 and not (path.name in known and self.exists(path.name)):
                # At once, so that no build finds one that is half deleted.
                out.append(path.rename(path.with_name(f"{_REMOVED}{new_id()}")))
        return out

    def stop(self) -> None:
        """Forget whose turn it is, once all builds are stopped: a lock belongs to an event loop."""
        self._turns.clear()

    def clear(self) -> None:
        """Delete all."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._held.clear()

    async def _make(self, directory: Path, plan: Plan, log: LogSink) -> None:
        # In place: what is installed knows its path.
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
    """What `pip --python` runs with the other interpreter, without starting pip a first time for that."""
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
        # Its own group, so that it is stopped together with what it started.
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
    """The variables that pip sees, and with it the code of what it builds: its own, and none of the emulator."""
    own = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.upper() in _NETWORK}
    inherited = inherited_environment()
    if not plan.interpreter.is_running:
        inherited.pop("PYTHONHOME", None)
    return {**inherited, **own, **plan.secrets}


def size_of(folder: Path) -> int:
    """The bytes that the files in a folder take."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _add_client(site: Path) -> None:
    """Let this package be installed in a virtual environment, as far as pip and code can see."""
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
    """Add what this package needs, as it is installed here, unless it is there in another version."""
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
