"""Runs the example notebook. ``python -m test.guides.notebook`` keeps in the file what it shows then."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

import ubiops

ROOT = Path(ubiops.__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "notebook" / "ubiops.ipynb"


class _ThisInterpreter(KernelSpecManager):
    """Knows one kernel: this interpreter, whatever is installed on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> Any:
        return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])


def read() -> Any:
    """The notebook, as it is in the file."""
    return nbformat.read(NOTEBOOK, as_version=4)


def execute(number: int | None = None, **settings: str) -> Any:
    """Run the notebook; returns it with what it shows now.

    Args:
        number: How many of its cells to run, from the first one; None for all.
        **settings: Environment variables of its process.
    """
    notebook = read()
    notebook.cells = notebook.cells[:number]
    client: Any = NotebookClient(
        notebook,
        AsyncKernelManager(kernel_spec_manager=_ThisInterpreter()),
        timeout=120,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    # A backend of matplotlib's, and a profile of the user's, would change what it shows.
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    with tempfile.TemporaryDirectory() as profile:
        # A progress bar that is over would leave an empty output.
        environment |= {"PYTHONPATH": str(ROOT), "IPYTHONDIR": profile, "UBIOPS_PROGRESS": "0", **settings}
        client.execute(env=environment, cleanup_kc=True)
    notebook.metadata.language_info = {"name": "python"}
    return notebook


if __name__ == "__main__":
    nbformat.write(execute(), NOTEBOOK)
