"""A strict type check of the generator's golden files, in a copy of the package: `tox run -e types` runs it.

The small document that they are made of has forms that the API's own lacks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from codegen.render import MARK

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "test/codegen/golden"
GENERATED = ("ubiops/__init__.py", "ubiops/api", "ubiops/models")


def _left_out(folder: str, names: list[str]) -> list[str]:
    files = [name for name in names if Path(folder, name).suffix in (".py", ".pyi")]
    generated = [name for name in files if Path(folder, name).read_text().startswith(f"# {MARK}")]
    return ["emulator", *generated]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "ubiops")
        shutil.copytree(ROOT / "ubiops", package, ignore=_left_out)
        shutil.copytree(GOLDEN / "ubiops", package, dirs_exist_ok=True)
        # Silent about what they import: utils/ and others use models that the small document doesn't have.
        command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *GENERATED]
        return subprocess.run(command, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
