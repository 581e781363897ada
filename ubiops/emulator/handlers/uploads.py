"""Uploaded zips."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from starlette.datastructures import UploadFile

from ubiops.emulator.errors import invalid
from ubiops.package_format import MAXIMUM_ZIP_SIZE


def keep_zip(file: UploadFile, target: Path, what: str) -> None:
    """Write an uploaded zip to a file.

    Args:
        file: The uploaded file.
        target: Path to write it to.
        what: What it should be a zip of, for the error message.

    Raises:
        ApiError: 400: it isn't a zip, or is too large.
    """
    size = file.file.seek(0, 2)
    if not zipfile.is_zipfile(file.file):
        raise invalid(f"The file is not a zip; upload a zip of {what}")
    if size > MAXIMUM_ZIP_SIZE:
        raise invalid(f"The file is larger than {MAXIMUM_ZIP_SIZE // 2**30} GB")
    file.file.seek(0)
    with target.open("wb") as kept:
        shutil.copyfileobj(file.file, kept, 2**20)
