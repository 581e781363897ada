"""A storage that misbehaves as it is told to, beside an API that signs its URLs; and the files of a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from test.server import Answer, Behaviour, Recorded, Server

ETAG = '"1"'


class Storage(Server):
    """Keeps files in memory and serves ranges of them; `answers` come first, as in any `Server`."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.etag: str | None = ETAG
        self.default = self._answer

    def _answer(self, request: Recorded) -> Answer:
        name = unquote(request.path[1:])
        if request.method == "PUT":
            self.files[name] = request.body
            return Answer(200)
        if name not in self.files:
            return Answer(404)
        return self.whole(request) if "Range" not in request.headers else self.part(request)

    def content(self, request: Recorded) -> bytes:
        return self.files[unquote(request.path[1:])]

    def whole(self, request: Recorded, **headers: str) -> Answer:
        return Answer(200, self.content(request), {**self._tag(), **headers})

    def part(self, request: Recorded, end: int | None = None, **changes: str) -> Answer:
        """What a ``Range`` asks for, if the file is still the same."""
        if request.headers.get("If-Range") not in (None, self.etag):
            return self.whole(request)
        content = self.content(request)
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        end = len(content) if end is None else end
        headers = {**self._tag(), "Content-Range": f"bytes {start}-{end - 1}/{len(content)}", **changes}
        return Answer(206, content[start:end], headers)

    def cut(self, at: int) -> Behaviour:
        """The answer that would be due, broken off before this byte of the file."""

        def behave(request: Recorded) -> bytes:
            answer = self._answer(request)
            start = len(self.content(request)) - len(answer.body)
            return answer.raw()[: len(answer.raw()) - len(answer.body) + at - start]

        return behave

    def _tag(self) -> dict[str, str]:
        return {} if self.etag is None else {"ETag": self.etag}


class Signer:
    """Answers as the API does for files: each URL that it gives is another."""

    def __init__(self, api: Server, storage: Storage) -> None:
        self.api = api
        self.given = 0
        self.listed: Sequence[tuple[Any, Any]] | None = None
        self.provider = "ubiops"
        self._storage = storage
        api.default = self.answer

    def answer(self, request: Recorded) -> Answer:
        found = re.fullmatch(r"/v2\.1/projects/[^/]+/buckets/[^/]+/files(?:/([^/]+)(/download)?)?", request.path)
        assert found is not None
        if found[1] is None:
            return self._page()
        if request.method == "GET" and found[2] is None:
            return Answer.json({"file": unquote(found[1]), "size": len(self._storage.files[unquote(found[1])])})
        self.given += 1
        url = f"{self._storage.origin}/{found[1]}?signature={self.given}"
        return Answer.json({"url": url, "provider": self.provider})

    def _page(self) -> Answer:
        listed = self.listed
        if listed is None:
            listed = [(name, len(content)) for name, content in sorted(self._storage.files.items())]
        files = [{"file": name, "size": size} for name, size in listed]
        return Answer(200, json.dumps({"files": files, "prefixes": [], "continuation_token": None}).encode())


@pytest.fixture
def storage() -> Iterator[Storage]:
    storage = Storage()
    yield storage
    storage.close()


@pytest.fixture
def signer(server: Server, storage: Storage) -> Signer:
    return Signer(server, storage)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder: Path, *names: str) -> None:
    """Files that hold their own names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def below(folder: Path) -> dict[str, str]:
    """The files below a folder, and what they hold."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
