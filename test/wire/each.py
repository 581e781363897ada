"""Tests of every operation and of every schema, each as one test."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from test.each import each
from test.wire.document import Case, schemas

Test = Callable[..., None]


def each_case(given: list[Case]) -> Callable[[Test], Test]:
    return lambda test: each("case", given)(_renewing(test))


def each_schema(test: Test) -> Test:
    return each("name", sorted(schemas()))(_renewing(test))


def _renewing(test: Test) -> Test:
    """With a server and a folder for downloads that know nothing of the call before."""

    @functools.wraps(test)
    def renewing(**arguments: Any) -> None:
        if "wire" in arguments:
            arguments["wire"].renew()
        for file in arguments["downloads"].iterdir() if "downloads" in arguments else ():
            file.unlink()
        test(**arguments)

    return renewing
