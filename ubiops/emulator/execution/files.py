"""Files in requests: those that user code reads are fetched before it runs, those that it returns are stored after."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from ubiops.deployment_package import DataError, is_of_files, map_files
from ubiops.emulator.errors import ApiError
from ubiops.emulator.execution.running import RunningRequest
from ubiops.emulator.ids import new_id
from ubiops.emulator.storage.contents import Storage
from ubiops.emulator.storage.queries import check_file_name, find_blob, find_bucket, find_file
from ubiops.emulator.store import Store
from ubiops.emulator.tables import Blob
from ubiops.emulator.variables import effective_variables

SCHEME = "ubiops-file://"

_LONGEST_NAME = 255
_KEYS = {"file", "bucket", "bucket_file"}


def check_references(data: Any, fields: Sequence[dict[str, Any]]) -> None:
    """Check that the file fields of an input have the form of a file's URI or a blob's id.

    Raises:
        DataError: One has another form.
    """

    def check(place: str, value: Any) -> None:
        if not (isinstance(value, str) and (_parts(value) or _is_uuid(value))):
            raise DataError(f"The input field '{place}' must be {SCHEME}bucket/file or the id of a blob, not {value!r}")

    map_files(data, fields, check)


def _parts(uri: str) -> tuple[str, str] | None:
    match = re.fullmatch(f"{SCHEME}([^/]+)/(.+)", uri, re.DOTALL)
    return (match[1], match[2]) if match else None


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


class RequestFiles:
    """The files of one request.

    Args:
        store: The database.
        storage: The contents of files.
        request: The request.
    """

    def __init__(self, store: Store, storage: Storage, request: RunningRequest) -> None:
        deployment = request.version.deployment
        self._store = store
        self._storage = storage
        self._project_id = deployment.project_id
        self._request_id = request.id
        self._user = request.created_by
        self._input_fields = _of_files(deployment.input_fields)
        self._output_fields = _of_files(deployment.output_fields)
        self._types = {field["name"]: field["data_type"] for field in self._output_fields}
        self._directory = storage.work_directory(request.id)
        self._named: set[str] = set()
        self._bucket = "default"
        if self._output_fields:
            with store.session() as session:
                variables = {item.name: item.value for item in effective_variables(session, request.version)}
            self._bucket = variables.get("SYS_DEFAULT_BUCKET") or self._bucket

    async def fetch(self, data: Any) -> Any:
        """Copy the files of an input, and return the input with the local paths in its file fields.

        Raises:
            DataError: A file doesn't exist.
        """
        wanted: list[tuple[str, Path]] = []

        def plan(place: str, value: str) -> str:
            content_id, name = self._find(f"The input field '{place}' can't be read", value)
            target = self._directory / str(len(wanted)) / name
            wanted.append((content_id, target))
            return str(target)

        data = map_files(data, self._input_fields, plan)
        with ExitStack() as held:
            sources = [held.enter_context(self._storage.hold(content_id)) for content_id, _ in wanted]
            for source, (_, target) in zip(sources, wanted, strict=True):
                await asyncio.to_thread(_copy, source, target)
        return data

    def _find(self, refusal: str, value: str) -> tuple[str, str]:
        parts = _parts(value)
        with _explained(refusal), self._store.session() as session:
            if parts is None:
                blob = find_blob(session, self._project_id, value)
                return blob.content_id, _last_part(blob.filename)
            file = find_file(session, find_bucket(session, self._project_id, parts[0]), parts[1])
            return file.id, _last_part(parts[1])

    async def keep(self, result: Any) -> Any:
        """Store the files of an output, and return the output with their URIs (or blob ids) in place of local paths.

        Raises:
            DataError: A path isn't that of a file, or its target doesn't exist.
        """
        returned: dict[str, Any] = {}
        map_files(result, self._output_fields, returned.setdefault)
        kept = {place: await self._keep(place, value) for place, value in returned.items()}
        return map_files(result, self._output_fields, lambda place, _: kept[place])

    async def _keep(self, place: str, value: Any) -> Any:
        if not isinstance(value, (str, dict)):
            # The check of the output reports it.
            return value
        target = {"file": value} if isinstance(value, str) else value
        if "file" not in target or target.keys() - _KEYS or not all(isinstance(text, str) for text in target.values()):
            raise DataError(f"The output field '{place}' must be a path, or a dictionary of file, bucket, bucket_file")
        if target["file"].startswith(SCHEME):
            self._find(f"The output field '{place}' can't be stored", target["file"])
            return target["file"]
        path = Path(target["file"])
        if not path.is_file():
            raise DataError(
                f"The output field '{place}' must be the path of a file; the file {target['file']!r} doesn't exist"
            )
        return await self._keep_file(place, path, target)

    async def _keep_file(self, place: str, path: Path, target: dict[str, str]) -> str:
        bucket_name = target.get("bucket") or self._bucket
        # A name on disk may not be valid UTF-8.
        name = target.get("bucket_file") or self._default_name(place, path.name.encode(errors="replace").decode())
        try:
            content = await self._storage.copy(path)
        except OSError as error:
            raise DataError(f"The output field '{place}' can't be stored: {error}") from error
        with (
            self._storage.unless_failed(content),
            _explained(f"The output field '{place}' can't be stored"),
            self._store.session() as session,
        ):
            if self._types.get(place.rpartition("/")[2]) == "blob":
                blob = Blob(id=new_id(), project_id=self._project_id, created_by=self._user)
                self._storage.put_blob(session, blob, path.name, content)
                return blob.id
            bucket = find_bucket(session, self._project_id, bucket_name)
            self._storage.put(session, bucket, check_file_name(name), content)
        return f"{SCHEME}{bucket_name}/{name}"

    def _default_name(self, place: str, name: str) -> str:
        # If several files have one name, the later ones go to a folder named after their place in the output.
        name = name if name not in self._named else f"{place}/{name}"
        self._named.add(name)
        return f"deployment_requests/{self._request_id}/output/{name}"

    def clean(self) -> None:
        """Delete the local copies."""
        if self._input_fields:
            shutil.rmtree(self._directory, ignore_errors=True)


def _of_files(fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [field for field in fields if is_of_files(field)]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    shutil.copyfile(source, target)


def _last_part(name: str) -> str:
    last = PurePosixPath(name).name
    # Names in a bucket may be too long for a file system; the end is kept, since it has the extension.
    return "file" if last in ("", "..") else last.encode()[-_LONGEST_NAME:].decode(errors="ignore")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise DataError(f"{what}: {error.message}") from error
