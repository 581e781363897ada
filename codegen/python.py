"""What the document says, as Python: types, declarations, signatures, imports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby

from codegen.document import Argument, Document, Field, Operation, Schema
from codegen.layout import CODE_WIDTH, Group, broken, flat, literal, scalar, tuple_of

SIMPLE_TYPES = {"object": "Any", "date": "datetime.date", "datetime": "datetime.datetime", "file": "RawResponse"}

# Where the names in annotations come from; "" for a module.
SOURCES = {
    "datetime": "",
    "Mapping": "collections.abc",
    "Sequence": "collections.abc",
    "Any": "typing",
    "Unpack": "typing_extensions",
    "Configuration": "ubiops.configuration",
    "FileLike": "ubiops.files",
    "CallOptions": "ubiops.operation",
    "Null": "ubiops.schema",
    "RawResponse": "ubiops.rest",
}


# Types


def annotation(type: str) -> str:
    """The type of a value that a response holds."""
    if type.startswith("list["):
        return f"list[{annotation(type[5:-1])}]"
    if type.startswith("dict("):
        return f"dict[str, {annotation(type[10:-1])}]"
    return SIMPLE_TYPES.get(type, type)


def input_annotation(type: str) -> str:
    """The type of what a caller may give."""
    if type in ("date", "datetime"):
        return f"{annotation(type)} | str"
    if type == "file":
        return "FileLike"
    if type[0].isupper():
        return f"{type} | dict[str, Any]"
    if type.startswith("list[") and type[5].isupper():
        return f"Sequence[{input_annotation(type[5:-1])}]"
    return annotation(type)


def argument_annotation(argument: Argument) -> str:
    """The type of an argument."""
    if argument.text and argument.type != "object":
        return "list[Any] | dict[str, Any] | str"
    return _or_none(input_annotation(argument.type), not argument.required)


def keyword_annotation(field: Field) -> str:
    """The type of a field in its model's constructor."""
    type = input_annotation(field.type)
    return _or_none(f"{type} | Null" if field.nullable and type != "Any" else type, True)


def attribute_annotation(field: Field, schema: Schema) -> str:
    """The type of a model's attribute: what reading it gives or, where no server sends it, what it may be set to."""
    if schema.received or re.search(r"\b[A-Z]", field.type):
        # A dict that is set becomes the model that it stands for.
        return _or_none(annotation(field.type), not field.required)
    return keyword_annotation(field).removesuffix(" | None" if field.required else "")


def return_annotation(operation: Operation) -> str:
    """The type of what a method returns."""
    return annotation(operation.returns) if operation.returns else "None"


def _or_none(type: str, optional: bool) -> str:
    return f"{type} | None" if optional and type != "Any" else type


# Models


def class_head(schema: Schema) -> str:
    """The first line of a model's class."""
    bases: list[str | Group] = ["Model"]
    bases += ["body=True"] if not schema.received else []
    bases += [tuple_of(list(map(scalar, schema.read_only)), "read_only=")] if schema.read_only else []
    return broken(f"class {schema.name}(", bases, "):")


def declared_field(field: Field, schema: Schema) -> str:
    """The declaration of a field."""
    items = [scalar(field.type)]
    items += ["required=True"] if field.required else []
    items += ["nullable=True"] if field.nullable else []
    items += [f"default={_default(field, schema)}"] if _default(field, schema) != "None" else []
    head = f"{field.name}: {attribute_annotation(field, schema)} = field("
    return broken(head, [*items, *_constraints(field)], ")", 4)


def constructor(schema: Schema) -> str:
    """The head of a model's constructor, for type checkers."""
    parameters = [_keyword(field, schema) for field in schema.fields]
    parameters += ["local_vars_configuration: Configuration | None = None", "**unknown: Any"]
    return broken("def __init__(", ["self", *parameters], ") -> None: ...", 8)


def _keyword(field: Field, schema: Schema) -> str:
    return f"{field.name}: {keyword_annotation(field)} = {_default(field, schema)}"


def _default(field: Field, schema: Schema) -> str:
    """What stands for a field that is left out; an update sends no defaults."""
    return "None" if schema.updates else flat(literal(field.default))


def _with_default(type: str) -> str:
    return f"{type} = None"


def _constraints(field: Field) -> list[str | Group]:
    return [
        tuple_of(list(map(scalar, value)), f"{key}=") if isinstance(value, list) else f"{key}={scalar(value)}"
        for key, value in field.constraints
    ]


# Operations


def constant(operation: Operation) -> str:
    """The name of a method's declaration."""
    return f"_{operation.name.upper()}"


def declared_operation(operation: Operation) -> str:
    """The declaration of an operation."""
    items = [scalar(operation.name), scalar(operation.method), scalar(operation.path)]
    items += [_declared_argument(argument) for argument in operation.arguments]
    items += [f"returns={scalar(operation.returns)}"] if operation.returns else []
    items += [f"content_type={scalar(operation.content_type)}"] if operation.content_type else []
    if operation.server_timeout:
        name, default = operation.server_timeout
        items.append(f"server_timeout=({scalar(name)}, {default})")
    return broken(f"{constant(operation)}: Operation[{return_annotation(operation)}] = Operation(", items, ")")


def _declared_argument(argument: Argument) -> str:
    items = [scalar(argument.name), scalar(argument.type)]
    items += ["required=True"] if argument.required and argument.kind != "Path" else []
    items += [f"wire_name={scalar(argument.wire_name)}"] if argument.wire_name != argument.name else []
    items += ["text=True"] if argument.text else []
    return flat(Group(f"{argument.kind}(", [*items, *_constraints(argument.value)], ")"))


def method_head(operation: Operation, with_http_info: bool = False) -> str:
    """The head of a method."""
    name, result = operation.name, return_annotation(operation)
    if with_http_info:
        name, result = f"{name}_with_http_info", f"tuple[{result}, int, Mapping[str, str]]"
    types = [argument_annotation(argument) for argument in operation.arguments]
    parameters = [
        f"{argument.name}: {type if argument.required else _with_default(type)}"
        for argument, type in zip(operation.arguments, types, strict=True)
    ]
    return broken(f"def {name}(", ["self", *parameters, "**options: Unpack[CallOptions]"], f") -> {result}:", 4)


def method_call(operation: Operation, function: str) -> str:
    """The call that a method consists of."""
    arguments = tuple_of([argument.name for argument in operation.arguments])
    return broken(f"return {constant(operation)}.{function}(", ["self.api_client", arguments, "options"], ")", 8)


def signature(operation: Operation) -> str:
    """A method's names, in order, for the reference."""
    names = [argument.name if argument.required else f"{argument.name}=None" for argument in operation.arguments]
    return broken(f"api.{operation.name}(", [*names, "**options"], f") -> {return_annotation(operation)}")


def example_call(operation: Operation) -> str:
    """A call with the document's examples; an ellipsis stands for a required value that lacks one."""
    arguments = [
        _example_argument(argument)
        for argument in operation.arguments
        if argument.required or argument.value.example is not None
    ]
    return broken(f"api.{operation.name}(", arguments, ")")


def _example_argument(argument: Argument) -> str | Group:
    example = argument.value.example
    if argument.kind == "File":
        return f'{argument.name}="path/to/{argument.name}"'
    if example is None:
        return f"{argument.name}=..."
    if argument.type[0].isupper() and isinstance(example, dict):
        fields = [
            literal(value, f"{name}=") if value is not None else f"{name}=ubiops.NULL"
            for name, value in example.items()
        ]
        return Group(f"{argument.name}=ubiops.{argument.type}(", fields, ")")
    return literal(example, f"{argument.name}=")


# Imports


def operation_imports(document: Document) -> str:
    """The import of the declarations' parts."""
    kinds = {argument.kind for operation in document.operations for argument in operation.arguments}
    return _import("ubiops.operation", {"Operation", *kinds})


def method_imports(document: Document) -> str:
    """The imports of all types in the methods' signatures."""
    types = [argument_annotation(argument) for operation in document.operations for argument in operation.arguments]
    types += [return_annotation(operation) for operation in document.operations]
    sources = {**SOURCES, **dict.fromkeys([schema.name for schema in document.schemas], "ubiops.models")}
    return _imports({*names_in(types), "CallOptions", "Mapping", "Unpack"}, sources)


def model_imports(schema: Schema, document: Document) -> str:
    """The imports of all types in a model."""
    types = [keyword_annotation(field) for field in schema.fields]
    types += [attribute_annotation(field, schema) for field in schema.fields]
    others = {other.name: f"ubiops.models.{other.module}" for other in document.schemas if other != schema}
    return _imports({*names_in(types), "Any", "Configuration"}, {**SOURCES, **others})


def lazy_imports(modules: Mapping[str, str], submodules: Iterable[str]) -> str:
    """The imports that type checkers see of what is imported on first use."""
    lines = [f"from ubiops import {name} as {name}" for name in submodules]
    return "\n".join([*lines, _imports(set(modules), modules)])


def sorted_names(names: Iterable[str]) -> list[str]:
    """Names in the order of ``__all__``: constants, classes, others."""
    return sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def names_in(types: Iterable[str]) -> set[str]:
    """The names that stand in types."""
    return {name for type in types for name in re.findall(r"\w+", type)}


def _imports(names: set[str], sources: Mapping[str, str]) -> str:
    """The imports that bring the names, grouped and sorted as ruff does it."""
    used: dict[str, set[str]] = {}
    for name in names & set(sources):
        used.setdefault(sources[name], set()).add(name)
    blocks = groupby(sorted(used, key=_rank), key=lambda module: _rank(module)[0])
    return "\n\n".join("\n".join(_import(module, used[module]) for module in modules) for _, modules in blocks)


def _rank(module: str) -> tuple[int, str]:
    return (2 if module.startswith("ubiops.") else 1 if module == "typing_extensions" else 0), module


def _import(module: str, names: set[str]) -> str:
    ordered = sorted(names)
    if not module:
        return "\n".join(f"import {name}" for name in ordered)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= CODE_WIDTH - 4:
        return line
    return "\n".join([f"from {module} import (", *[f"    {name}," for name in ordered], ")"])
