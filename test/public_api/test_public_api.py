"""What was released stays: a change that breaks it must be named in the changelog."""

from __future__ import annotations

import re

import pytest

from test.public_api.surface import RELEASED, ROOT, breakages, current


def _unreleased() -> str:
    sections = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    return sections[1]


def test_nothing_that_was_released_is_broken_without_a_word_in_the_changelog() -> None:
    named = set(re.findall(r"`([\w.]+)`", _unreleased()))
    untold = {path: why for path, why in breakages(RELEASED.read_text(), current()).items() if path not in named}
    assert not untold, "name these in CHANGELOG.md in backticks, or keep them: " + "; ".join(untold.values())


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
