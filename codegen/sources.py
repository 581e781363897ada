"""Joins the document's sources, one YAML file for each part of the API, into one OpenAPI document."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from codegen.document import DocumentError

HEAD = "head.yaml"


def join(folder: Path, first_line: str) -> str:
    """Join the sources as text: line breaks and comments stay, except for comments at the beginning of a source.

    Args:
        folder: Contains ``head.yaml``, for the whole API, and files with ``paths`` and ``components``.
        first_line: The first line of the document.

    Returns:
        The document, in the order of the files' names.

    Raises:
        DocumentError: A source contains something else, or there is no head.
    """
    sections: defaultdict[str, list[str]] = defaultdict(list)
    sources = sorted(folder.glob("*.yaml"), key=lambda source: (source.name != HEAD, source.name))
    if not sources or sources[0].name != HEAD:
        raise DocumentError(str(folder), f"has no {HEAD}")
    for source in sources:
        _collect(source, sections)
    return "".join(f"{line}\n" for line in [first_line, *_written(sections)])


def _collect(source: Path, sections: Mapping[str, list[str]]) -> None:
    section = "head"
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{source.name}, line {number}"
        if line in ("paths:", "components:"):
            section = line.removesuffix(":")
        elif section.startswith("components") and (found := re.fullmatch(r" {2}(\w+):", line)):
            section = f"components.{found[1]}"
        elif section == "head" and line.startswith("#"):
            continue  # It is about the source.
        elif section == "head" and source.name != HEAD:
            raise DocumentError(where, f"only paths and components are allowed here, the rest in {HEAD}")
        elif section == "components" or (section != "head" and re.match(r"[^ #]", line)):
            raise DocumentError(where, "only paths and components.<section> are allowed here")
        else:
            sections[section].append(line)


def _written(sections: Mapping[str, Sequence[str]]) -> list[str]:
    lines = [*sections["head"], "paths:", *sections["paths"], "components:"]
    for name, content in sections.items():
        if name.startswith("components."):
            lines += [f"  {name.removeprefix('components.')}:", *content]
    return lines
