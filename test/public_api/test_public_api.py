"""The check of `python -m test.public_api` finds what breaks programs, and nothing else."""

from __future__ import annotations

import pytest

from test.public_api.surface import breakages


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        ("def call(a): ...", "", "call"),
        ("def call(a): ...", "def call(b): ...", "call"),
        ("def call(a, b): ...", "def call(b, a): ...", "call"),
        ("def call(a): ...", "def call(a, b): ...", "call"),
        ("def call(a=...): ...", "def call(a): ...", "call"),
        ("class X:\n    def call(self): ...", "class X:\n    ...", "X.call"),
        ("class X:\n    value = ...", "class X:\n    ...", "X.value"),
        ("def utils_call(a): ...", "", "utils.call"),
    ],
)
def test_a_break_is_found(old: str, new: str, broken: str) -> None:
    assert list(breakages(old, new)) == [broken]


@pytest.mark.parametrize("new", ["def call(a, b=...): ...", "def call(a): ...\ndef other(): ..."])
def test_what_is_added_breaks_nothing(new: str) -> None:
    assert breakages("def call(a): ...", new) == {}
