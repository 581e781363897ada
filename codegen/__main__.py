"""`python -m codegen`: write the generated files, or check that they are up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from codegen.document import DocumentError, read, to_json
from codegen.render import MARK, render
from codegen.sources import join

SOURCES = "codegen/document"
DOCUMENT = "ubiops/openapi.yaml"
JSON = "ubiops/openapi.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The command line's arguments; by default those of the process.

    Returns:
        The exit status: 0 if all is well, 1 if files differ, 2 if the document can't be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m codegen", description=f"Make {DOCUMENT} and the client from {SOURCES}."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; name the files that differ and exit with 1"
    )
    parser.add_argument(
        "--root", type=Path, default=Path(), help="folder with codegen/, ubiops/ and docs/ (default: this one)"
    )
    options = parser.parse_args(arguments)
    try:
        document = join(options.root / SOURCES, f"# {MARK} from {SOURCES}: edit that.")
        files = {DOCUMENT: document, JSON: to_json(document), **render(read(document))}
    except (DocumentError, OSError) as error:
        print(f"{SOURCES}: {error}", file=sys.stderr)
        return 2
    changes = [*_different(options.root, files), *_stale(options.root, files)]
    if not options.check:
        for name in changes:
            _apply(options.root / name, files.get(name))
    for name in changes:
        print(f"{'differs' if options.check else 'written' if name in files else 'removed'}: {name}")
    return 1 if options.check and changes else 0


def _different(root: Path, files: Mapping[str, str]) -> Iterator[str]:
    for name, content in files.items():
        path = root / name
        if not path.is_file() or path.read_bytes() != content.encode():
            yield name


def _stale(root: Path, files: Mapping[str, str]) -> Iterator[str]:
    """The files that an earlier run generated and this one doesn't."""
    for folder in ("ubiops", "docs"):
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix in (".py", ".pyi", ".md") and name not in files and MARK in _first_line(path):
                yield name


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline()


def _apply(path: Path, content: str | None) -> None:
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())


if __name__ == "__main__":
    sys.exit(main())
