"""The generated reference: its links lead somewhere, its examples make requests."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import ubiops
from test.codegen.document import OPERATIONS, SCHEMAS
from test.document import ROOT
from test.each import each

CALLS = dict(re.findall(r"```python\napi\.(\w+)(\((?:(?!```)[\s\S])*\))\n```", (ROOT / "docs/CoreApi.md").read_text()))


@each("name", CALLS)
def test_an_example_makes_a_request(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("path/to").mkdir(parents=True, exist_ok=True)
    Path("path/to/file").touch()
    arguments = eval(f"dict{CALLS[name]}", {"ubiops": ubiops})
    bound = inspect.signature(getattr(ubiops.CoreApi, name)).bind(None, **arguments)
    bound.apply_defaults()
    _, *values, _ = bound.arguments.values()
    request = getattr(ubiops.CoreApi, name).operation.request(values)
    assert re.fullmatch(r"/[^{}]+", request.path)


def test_there_is_an_example_for_every_method() -> None:
    assert set(CALLS) == set(OPERATIONS)


@each("page", ["CoreApi.md", *(f"models/{name}.md" for name in SCHEMAS)])
def test_the_links_lead_somewhere(page: str) -> None:
    path = ROOT / "docs" / page
    text = path.read_text()
    for target in re.findall(r"\]\((.*?)\)", text):
        if target.startswith("#"):
            assert f"\n### {target[1:]}\n" in text
        else:
            assert (path.parent / target).is_file()
