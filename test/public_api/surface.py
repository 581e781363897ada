"""The public API as a stub that Griffe writes and reads: the released one is kept beside this module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import griffe

import ubiops
import ubiops.utils

ROOT = Path(__file__).parents[2]
RELEASED = Path(__file__).with_name("released.pyi")
_OF_MODELS = {"openapi_types", "attribute_map", "discriminator", "to_dict", "to_str"}


def current() -> str:
    """The names that `ubiops` and `ubiops.utils` export, with the signatures of their public members."""
    package = griffe.load("ubiops", search_paths=[ROOT])
    lines = ["# Recorded by `python -m test.public_api record`: the public API of the last release."]
    for prefix, module in (("", ubiops), ("utils_", ubiops.utils)):
        modules: dict[str, str] = module._MODULES
        for name in sorted(modules):
            found = package[f"{modules[name]}.{name}".removeprefix("ubiops.")]
            lines += _lines(found, f"{prefix}{name}", "")
    return "\n".join(lines) + "\n"


def _lines(found: griffe.Object | griffe.Alias, name: str, indent: str) -> Iterator[str]:
    if isinstance(found, griffe.Alias):
        found = found.final_target
    if isinstance(found, griffe.Function):
        for decorator in found.decorators:
            if str(decorator.value) in ("staticmethod", "classmethod"):
                yield f"{indent}@{decorator.value}"
        yield f"{indent}def {name}({', '.join(_parameters(found))}): ..."
    elif isinstance(found, griffe.Class):
        yield f"{indent}class {name}:"
        yield f"{indent}    ..."
        for key, member in found.all_members.items():
            if _is_public(found, key, member):
                yield from _lines(member, key, f"{indent}    ")
    elif isinstance(found, griffe.Attribute):
        twin = re.fullmatch(r"twin_of\(\s*(\w+)\s*\)", str(found.value))
        if twin and found.parent is not None:
            yield from _lines(found.parent[twin[1]], name, indent)
        else:
            yield f"{indent}{name} = ..."


def _is_public(owner: griffe.Class, name: str, member: griffe.Object | griffe.Alias) -> bool:
    if name.startswith("_") and name != "__init__":
        return False
    if name in owner.members:
        return True
    # What an exported base has is recorded there; the base of all models is the runtime's, but for what programs use.
    base = member.final_target.parent if isinstance(member, griffe.Alias) else member.parent
    if base is None or base.parent is None or ubiops._MODULES.get(base.name) == base.parent.path:
        return False
    return base.name != "Model" or name in _OF_MODELS


def _parameters(function: griffe.Function) -> Iterator[str]:
    """Names, kinds and which are optional: annotations may become more exact without a break."""
    separated = False
    previous = None
    for parameter in function.parameters:
        if parameter.name == "local_vars_configuration":
            # Passed by name alone, since newer fields come before it.
            continue
        kind = parameter.kind
        if previous is griffe.ParameterKind.positional_only and kind is not previous:
            yield "/"
        if kind is griffe.ParameterKind.var_positional:
            separated = True
            yield f"*{parameter.name}"
        elif kind is griffe.ParameterKind.var_keyword:
            yield f"**{parameter.name}"
        else:
            if kind is griffe.ParameterKind.keyword_only and not separated:
                separated = True
                yield "*"
            yield f"{parameter.name}=..." if parameter.default is not None else parameter.name
        previous = kind


def breakages(old: str, new: str) -> dict[str, str]:
    """What a program written for `old` may miss in `new`: an explanation by the path of the name."""
    before, after = (griffe.visit("api", filepath=Path("api.pyi"), code=code) for code in (old, new))
    found: dict[str, str] = {}
    for breakage in griffe.find_breaking_changes(before, after):
        path = breakage.obj.path.removeprefix("api.").replace("utils_", "utils.", 1)
        found[path] = breakage.explain(griffe.ExplanationStyle.ONE_LINE)  # type: ignore[arg-type]
    return found
