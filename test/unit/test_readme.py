"""What the README and the pages for people link to is there, tests that show a claim included."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES += [path for path in sorted((ROOT / "docs").rglob("*.md")) if "models" not in path.parts]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)\s]*)?\)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_every_line_of_the_upgrade_notes_names_a_test_that_is_there() -> None:
    page = ROOT / "docs" / "upgrading.md"
    lines = [line for line in page.read_text().splitlines() if re.match(r"\| (?!---|here \|)", line)]
    assert len(lines) > 15
    for line in lines:
        named = re.findall(r"\[(test_\w+)\]\((\.\./test/[\w/.]+)\)", line)
        assert named, f"no test is named in: {line}"
        for name, path in named:
            assert f"def {name}(" in (page.parent / path).read_text(), f"{name} is not in {path}"


def test_the_architecture_names_every_module_of_the_client_and_the_helpers() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = re.findall(r"`((?:ubiops|codegen|docs|test|examples)/[\w./]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
    modules = [module for folder in ("ubiops", "ubiops/utils") for module in pkgutil.iter_modules([str(ROOT / folder)])]
    unnamed = [module.name for module in modules if f"{module.name}{'/' if module.ispkg else '.py'}" not in text]
    assert unnamed == []
