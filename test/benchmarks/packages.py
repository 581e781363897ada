"""A package of 1 GiB, zipped, beside zipfile writing the same files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from test.benchmarks.measure import MIB, Figure, in_fresh_process, ratio, resident_growth
from ubiops.utils import list_files, zip_package

_ROUNDS = 3
_SIZE = 1024 * MIB
_NOISE = 32 * MIB


def figures(_: str) -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        package, target = Path(folder, "package"), Path(folder, "package.zip")
        package.mkdir()
        (package / "deployment.py").touch()
        # What compresses to nothing, and what doesn't compress: trained weights are in between.
        (package / "zeros.bin").touch()
        os.truncate(package / "zeros.bin", _SIZE - _NOISE)
        (package / "noise.bin").write_bytes(os.urandom(_NOISE))
        taken = ratio(partial(zip_package, package, target), partial(_reference, package, target), _ROUNDS)
        yield Figure("zip_package of 1 GiB", taken, 1.3, "x zipfile.ZipFile.write")
        growth = in_fresh_process(_growth, package, target)
        yield Figure("zip_package of 1 GiB, growth of memory", growth, 16, "MiB")


def _reference(package: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in list_files(package):
            archive.write(package / name, name)


def _growth(package: Path, target: Path) -> float:
    return resident_growth(partial(zip_package, package, target))
