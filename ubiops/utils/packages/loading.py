"""Loads a deployment package as its build does: in a separate process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ubiops.deployment_package import inherited_environment
from ubiops.exceptions import ApiFileError
from ubiops.utils.exceptions import InvalidPackage
from ubiops.utils.packages.folder import PackageFolder

__all__ = ["load_apart"]

_LOADER = """
import sys
# Nothing of the package is imported early; the folder of ubiops comes last, so that it hides nothing.
sys.path = [folder for folder in sys.path if folder]
import json, traceback
from pathlib import Path

start = json.load(sys.stdin)
sys.path.append(start["library"])
from ubiops.deployment_package import PackageError, load

try:
    deployment = load(Path(start["root"]), start["context"])
except PackageError as error:
    if error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    answer = {"error": str(error)}
else:
    answer = {"methods": [deployment.has_request_method, deployment.has_requests_method]}
Path(start["answer"]).write_text(json.dumps(answer))
"""
_LAST_LINES = 20


def load_apart(package: PackageFolder, context: Mapping[str, Any], timeout: float | None) -> tuple[bool, bool]:
    """Import a package and instantiate its ``Deployment``, in a new process, on a copy of its files.

    Args:
        package: The files.
        context: The ``context`` of ``__init__``, with the variables of the process.
        timeout: Seconds that it may take; None for no limit.

    Returns:
        Whether it has ``request``, and whether it has ``requests``.

    Raises:
        InvalidPackage: It can't be loaded; the problem includes the last lines of its output.
        ApiFileError: The copy can't be written.
    """
    with tempfile.TemporaryDirectory(prefix="ubiops-", ignore_cleanup_errors=True) as folder:
        root, answer, written = Path(folder, "package"), Path(folder, "answer"), Path(folder, "output")
        try:
            _copy(package, root)
        except OSError as error:
            raise ApiFileError(f"The package can't be copied to be loaded: {error}") from error
        library = str(Path(__file__).parents[3])
        start = {"root": str(root), "context": context, "library": library, "answer": str(answer)}
        # A file: processes that the package leaves behind would keep a pipe open.
        with written.open("wb") as output:
            ending = _run(json.dumps(start), root, context["environment_variables"], output, timeout)
        found: dict[str, Any] = json.loads(answer.read_text()) if answer.exists() else {"error": ending}
        if "error" in found:
            lines = written.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
            raise InvalidPackage(["\n".join([found["error"], *(f"  {line}" for line in lines)])])
    has_request_method, has_requests_method = found["methods"]
    return has_request_method, has_requests_method


def _copy(package: PackageFolder, root: Path) -> None:
    for name in package.files:
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package.path(name), target)


def _run(start: str, root: Path, variables: Mapping[str, str], output: Any, timeout: float | None) -> str:
    """Run the loader until it ends, and return why it wrote no answer."""
    process = subprocess.Popen(
        [sys.executable, "-X", "utf8", "-c", _LOADER],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=root,
        env={**inherited_environment(), **variables},
        text=True,
        # Its own group, so that it is killed together with what it starts.
        start_new_session=True,
    )
    try:
        process.communicate(start, timeout)
    except subprocess.TimeoutExpired:
        return f"The package wasn't loaded within {timeout:g} seconds"
    finally:
        _kill(process)
    return f"The process that loads the package stopped unexpectedly (exit code {process.returncode})"


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
