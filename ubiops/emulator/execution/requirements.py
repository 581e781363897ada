"""The Python packages that a package asks for."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ubiops.deployment_package import PackageError
from ubiops.emulator.execution.instance import LogSink
from ubiops.package_format import REQUIREMENTS_FILE, read_text, requirement_lines

_PROVIDED = "ubiops"
"""What instances find even where it runs from its sources."""


class Requirements:
    """Provides for the ``requirements.txt`` of packages.

    Args:
        directory: Where installed packages are kept, for each content of a ``requirements.txt`` once.
        install: Whether they are installed with pip; else they must be there already, in the emulator's environment.
    """

    def __init__(self, directory: Path, *, install: bool) -> None:
        self._directory = directory
        self._install = install

    async def provide(self, root: Path, log: LogSink) -> None:
        """See to it that a package finds what it requires.

        Args:
            root: Directory of the package.
            log: Takes what is worth knowing.

        Raises:
            PackageError: Something is missing, or can't be installed.
        """
        if not (root / REQUIREMENTS_FILE).is_file():
            return
        if not self._install:
            _check(root / REQUIREMENTS_FILE, log)
        elif not self._target(root).is_dir():
            await self._pip(root, log)

    def path(self, root: Path) -> Path | None:
        """The directory of what was installed for a package, if anything was."""
        if not self._install or not (root / REQUIREMENTS_FILE).is_file():
            return None
        return self._target(root)

    def _target(self, root: Path) -> Path:
        platform = f"{sysconfig.get_platform()} {sys.version}".encode()
        return self._directory / hashlib.sha256((root / REQUIREMENTS_FILE).read_bytes() + platform).hexdigest()[:32]

    async def _pip(self, root: Path, log: LogSink) -> None:
        self._directory.mkdir(exist_ok=True)
        # Moved into place when it is complete, so that no build finds half of it.
        target = Path(tempfile.mkdtemp(dir=self._directory))
        try:
            log("info", ["Installing requirements.txt"])
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
                *("--target", str(target), "--requirement", REQUIREMENTS_FILE),
                cwd=root,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await process.communicate()
            lines = output.decode(errors="replace").splitlines()
            log("info" if process.returncode == 0 else "error", lines)
            if process.returncode != 0:
                raise PackageError(f"requirements.txt can't be installed: {lines[-1] if lines else 'pip failed'}")
            if not self._target(root).is_dir():
                target.rename(self._target(root))
        finally:
            shutil.rmtree(target, ignore_errors=True)


def _check(file: Path, log: LogSink) -> None:
    missing = []
    for requirement in _read(file):
        if requirement.name == _PROVIDED:
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            log("info", [f"requirements.txt asks for {requirement}, and {requirement.name} {version} is used"])
    if missing:
        raise PackageError(
            f"requirements.txt asks for {', '.join(missing)}, not installed here: install it into the environment of "
            "the emulator, or start the emulator with --install-requirements"
        )


def _read(file: Path) -> list[Requirement]:
    """The requirements that hold for this Python; options, paths and links are pip's alone to understand."""
    try:
        text = read_text(file)
    except UnicodeDecodeError as error:
        raise PackageError(f"{REQUIREMENTS_FILE} can't be read: {error}") from error
    requirements = []
    for _, line in requirement_lines(text):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            requirements.append(requirement)
    return requirements
