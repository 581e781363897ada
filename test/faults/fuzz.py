"""What a fuzzer that is guided by coverage (atheris) puts in where answers are read.

It needs atheris, which has wheels for Linux on x86-64 alone. What it finds to lead to new places of the code goes
to ``test/faults/corpus``, which the tests go through without it.
"""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import urllib3

from test.faults.oracle import body_of
from ubiops.connections import _Answer
from ubiops.exceptions import ApiException
from ubiops.files import filename_of
from ubiops.operation import read_body
from ubiops.urls import origin_of, redirect_target, split
from ubiops.utils.streaming import EventParser

__all__ = ["CORPUS", "main", "read"]

CORPUS = Path(__file__).parent / "corpus"
_TYPES = ["DeploymentDetail", "list[DeploymentList]", "object", "str", "dict(str, object)", "PipelineVersionDetail"]
_URL = "https://api.test/v2.1/x"


def read(data: bytes) -> None:
    """Let one of the readers read what comes after the first byte, which chooses it.

    Raises:
        Exception: It isn't read as it should be.
    """
    if data:
        _READERS[data[0] % len(_READERS)](data[1:])


def _body(data: bytes) -> None:
    with suppress(ValueError):
        read_body(data[1:], _TYPES[data[0] % len(_TYPES)] if data else "object")


def _file_name(data: bytes) -> None:
    name = filename_of(data.decode("latin-1"))
    assert name is None or (name not in ("", ".", "..") and not set("/\\\0") & set(name))


def _location(data: bytes) -> None:
    target = redirect_target(_URL, data.decode("latin-1"))
    if target is not None:
        with suppress(ValueError):
            assert origin_of(split(target)[0]).host == urllib3.util.parse_url(target).host


def _events(data: bytes) -> None:
    """Blocks may end anywhere."""
    whole, parts = EventParser(), EventParser()
    results: list[Any] = []
    for parser, blocks in ((whole, [data]), (parts, [data[start : start + 3] for start in range(0, len(data), 3)])):
        texts: list[str] = []
        try:
            for block in blocks:
                texts += parser.feed(block)
            texts += parser.end()
        except ValueError:
            results.append(None)
        else:
            results.append((texts, parser.result))
    assert repr(results[0]) == repr(results[1])


def _error(data: bytes) -> None:
    error: Any = ApiException(500, "no", body=data)
    assert str(error)
    assert repr(error)


class _Socket:
    """What an answer is read from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _answer(data: bytes) -> None:
    answer: Any = _Answer(_Socket(data), method="GET")  # type: ignore[arg-type]
    try:
        answer.begin()
        body = answer.read()
    except (HTTPException, OSError, ValueError):
        return
    assert body == body_of(data)


_READERS = [_body, _file_name, _location, _events, _error, _answer]

_PROGRAM = """
import sys
import atheris
with atheris.instrument_imports(include=["ubiops", "http.client"]):
    from test.faults.fuzz import read
atheris.Setup(sys.argv, read)
atheris.Fuzz()
"""


def main(seconds: int) -> int:
    """Run it for so long, from the corpus on; the exit status, 0 where nothing broke."""
    if find_spec("atheris") is None:
        print("atheris isn't installed: test-requirements.txt says where it can be")
        return 0
    arguments = [f"-max_total_time={seconds}", "-max_len=1024", f"-artifact_prefix={CORPUS}/"]
    command = [sys.executable, "-c", _PROGRAM, *arguments, str(CORPUS)]
    return subprocess.run(command, check=False).returncode
