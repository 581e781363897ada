"""One test for thousands of like values: as tests of their own they took longer than what they check."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def each(name: str | tuple[str, ...], values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Calls the test with every value, where `parametrize` makes a test of each; reports all that failed.

    The fixtures are those of one test: what a call leaves in them, the next one finds.

    Args:
        name: The argument that takes a value, or the arguments that take the items of one.
        values: The values, at least one.
    """
    names = (name,) if isinstance(name, str) else name
    given = [(value,) if isinstance(name, str) else value for value in values]
    assert given

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def whole(**fixtures: Any) -> None:
            failed: list[tuple[Any, BaseException]] = []
            for value in given:
                try:
                    test(**dict(zip(names, value, strict=True)), **fixtures)
                except (Exception, pytest.fail.Exception) as error:
                    failed.append((value, error))
            if failed:
                texts = [f"{_id(value)}: {type(error).__name__}: {error}" for value, error in failed]
                message = f"{len(failed)} of {len(given)} failed; the first is above\n" + "\n".join(texts)
                raise AssertionError(message) from failed[0][1]

        signature = inspect.signature(test)
        fixtures = [parameter for key, parameter in signature.parameters.items() if key not in names]
        whole.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return whole

    return decorate


def _id(value: tuple[Any, ...]) -> str:
    return "-".join(str(getattr(item, "name", item)) for item in value)
