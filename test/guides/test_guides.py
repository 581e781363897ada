"""Every guide runs, from its first block to its last, and prints what it says."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ubiops.emulator import Emulator

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = [DOCS / "README.md", *sorted((DOCS / "guides").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_matches = doctest.OutputChecker().check_output


def blocks(guide: Path) -> Iterator[tuple[str, str, int]]:
    """The language, text and first line number of each block of a guide."""
    text = guide.read_text()
    for found in BLOCK.finditer(text):
        yield found[1], found[2], text.count("\n", 0, found.start(2)) + 1


def run(guide: Path) -> None:
    """Run the ``python`` blocks in one namespace; a ``text`` block is what the one before it printed.

    As in doctests, ``...`` stands for anything, and on a line of its own for no line too.
    """
    namespace: dict[str, Any] = {"__name__": "__guide__"}
    printed = ""
    for language, text, line in blocks(guide):
        if language == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                # Blank lines before it, so that a traceback shows the guide's own line numbers.
                exec(compile("\n" * (line - 1) + text, str(guide), "exec"), namespace)
            printed = output.getvalue()
        elif language == "text":
            options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            matches = _matches(text, printed, options) or _matches(text.replace("\n...\n", "\n"), printed, options)
            assert matches, f"{guide.name}:{line}: it printed\n{printed}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_it_runs_and_prints_what_it_says(
    guide: Path, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UBIOPS_API_HOST", emulator.url)
    monkeypatch.setenv("UBIOPS_API_TOKEN", emulator.token)
    monkeypatch.chdir(tmp_path)
    run(guide)
