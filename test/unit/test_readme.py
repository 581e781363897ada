"""The README's claims are shown by tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_readme_names_is_there() -> None:
    named = re.findall(r"\[(test_\w+)\]\((test/[\w/.]+)\)", (ROOT / "README.md").read_text())
    assert named
    for name, path in named:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{name} is not in {path}"


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing
