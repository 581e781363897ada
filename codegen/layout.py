"""The layout of generated code and prose: where lines break."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

CODE_WIDTH = 120
PROSE_WIDTH = 110


@dataclass(frozen=True)
class Code:
    """Code between brackets: on one line if it fits, else indented, else one item per line, as ruff formats it."""

    head: str
    items: Sequence[str | Code]
    tail: str

    def lines(self, indent: int, after: str = "") -> Iterator[str]:
        margin, inner = " " * indent, " " * (indent + 4)
        items = ", ".join(map(flat, self.items))
        if len(line := f"{margin}{self.head}{items}{self.tail}{after}") <= CODE_WIDTH:
            yield line
            return
        yield margin + self.head
        if len(line := inner + items) <= CODE_WIDTH:
            yield line
        else:
            for item in self.items:
                yield from [f"{inner}{item},"] if isinstance(item, str) else item.lines(indent + 4, ",")
        yield margin + self.tail + after


def flat(code: str | Code) -> str:
    """Code on one line."""
    return code if isinstance(code, str) else f"{code.head}{', '.join(map(flat, code.items))}{code.tail}"


def broken(head: str, items: Sequence[str | Code], tail: str, indent: int = 0) -> str:
    """Code between brackets, on as many lines as it needs; the first one without its indent."""
    return "\n".join(Code(head, items, tail).lines(indent)).lstrip()


def constant_tuple(name: str, items: Sequence[str]) -> str:
    """A constant that is a tuple: on one line if it fits, else one item per line."""
    line = flat(tuple_of(items, f"{name} = "))
    return line if len(line) <= CODE_WIDTH else "\n".join([f"{name} = (", *[f"    {item}," for item in items], ")"])


def tuple_of(items: Sequence[str], head: str = "") -> Code:
    """A tuple; with one item, the comma that makes it one."""
    return Code(f"{head}(", items if len(items) != 1 else [f"{items[0]},"], ")")


def literal(value: Any, head: str = "") -> str | Code:
    """A JSON value as Python writes it."""
    if isinstance(value, dict):
        return Code(f"{head}{{", [literal(item, f"{scalar(key)}: ") for key, item in value.items()], "}")
    if isinstance(value, list):
        return Code(f"{head}[", [literal(item) for item in value], "]")
    return head + scalar(value)


def scalar(value: Any) -> str:
    """A string, number, boolean or None as Python writes it."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and '"' not in value else repr(value)


def prose(text: str, indent: int, hanging: int = 0) -> str:
    """Text of a docstring, on as many lines as it needs; the first one without its indent.

    Args:
        text: One paragraph.
        indent: Columns before the first line.
        hanging: Additional columns before the others.
    """
    lines = textwrap.wrap(
        text.replace("\\", "\\\\").replace('"""', r"\"\"\""),
        PROSE_WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).lstrip()


def route(method: str, path: str, indent: int) -> str:
    """The HTTP method and path of a method, for its docstring; a path that is too long continues on the next line."""
    line = f"{method} {path}"
    if indent + len(line) <= CODE_WIDTH:
        return line
    cut = line.rindex("/", 0, CODE_WIDTH - indent)
    return f"{line[:cut]}\n{' ' * (indent + 4)}{line[cut:]}"


def cell(text: str) -> str:
    """Text in a table of Markdown."""
    return text.replace("|", "\\|")


def sentence(parts: Iterable[str]) -> str:
    """The non-empty parts, as sentences."""
    return " ".join(part if part.endswith(".") else f"{part}." for part in parts if part)
