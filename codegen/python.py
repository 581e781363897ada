"""The document as Python: types, declarations, signatures, imports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from operator import itemgetter

from codegen.document import Argument, Document, Field, Group, Operation, Schema
from codegen.layout import CODE_WIDTH, Code, broken, flat, literal, scalar, tuple_of

SIMPLE_TYPES = {"object": "Any", "date": "datetime.date", "datetime": "datetime.datetime", "file": "RawResponse"}

# The classes that declare operations.
DECLARING = ("Body", "File", "Form", "Header", "Operation", "Path", "Query")
# The sources of names; a name that is its own source is a module that is imported as a whole.
SOURCES = {
    "datetime": "datetime",
    "Iterator": "collections.abc",
    "Mapping": "collections.abc",
    "Sequence": "collections.abc",
    "AsyncResult": "multiprocessing.pool",
    "Any": "typing",
    "TYPE_CHECKING": "typing",
    "overload": "typing",
    "Unpack": "typing_extensions",
    "deprecated": "typing_extensions",
    "ubiops": "ubiops",
    "models": "ubiops",
    "Api": "ubiops.api.base",
    "GroupOf": "ubiops.api.base",
    "method_of": "ubiops.api.base",
    "twin_of": "ubiops.api.base",
    "options": "ubiops.api",
    "Configuration": "ubiops.configuration",
    "RawResponse": "ubiops.rest",
    "FileLike": "ubiops.files",
    "CallOptions": "ubiops.operation",
    "Model": "ubiops.model",
    "field": "ubiops.model",
    "Null": "ubiops.schema",
    **dict.fromkeys(DECLARING, "ubiops.operation"),
}
# The packages that the methods' annotations name, since their contents aren't imported before they are needed.
PACKAGES = {"FileLike": "ubiops.files", "RawResponse": "ubiops.rest"}


# Types


def annotation(type: str) -> str:
    """The type of a value in a response."""
    if " | " in type:
        return " | ".join(map(annotation, type.split(" | ")))
    if type.startswith("list["):
        return f"list[{annotation(type[5:-1])}]"
    if type.startswith("dict("):
        return f"dict[str, {annotation(type[10:-1])}]"
    return SIMPLE_TYPES.get(type, type)


def input_annotation(type: str) -> str:
    """The type of what a caller may pass."""
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
    type = input_annotation(argument.type)
    if argument.type == "datetime":
        # A period may be given by its days.
        type = f"datetime.date | {type}"
    return _or_none(type, not argument.required)


def keyword_annotation(field: Field) -> str:
    """The type of a field in its model's constructor."""
    type = input_annotation(field.type)
    return _or_none(f"{type} | Null" if field.nullable and type != "Any" else type, True)


def attribute_annotation(field: Field, schema: Schema) -> str:
    """The type of a model's attribute: of its value or, if no server sends it, of what it may be set to."""
    if schema.received or not schema.sent or re.search(r"\b[A-Z]", field.type):
        # A dict that is assigned becomes the model that it stands for.
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
    bases: list[str | Code] = [schema.extends or "Model"]
    bases += ["body=True"] if schema.sent and not schema.received else []
    bases += [tuple_of(list(map(scalar, schema.read_only)), "read_only=")] if schema.read_only else []
    bases += [tuple_of(list(map(scalar, schema.excludes)), "excludes=")] if schema.excludes else []
    return broken(f"class {schema.name}(", bases, "):")


def declared_field(field: Field, schema: Schema, document: Document) -> str:
    """The declaration of a field."""
    items = [scalar(field.type)]
    items += ["required=True"] if field.required else []
    items += ["nullable=True"] if field.nullable else []
    items += [f"default={_default(field, schema)}"] if _default(field, schema) != "None" else []
    base = [field for other in document.schemas if other.name == schema.extends for field in other.fields]
    # Fields that the base always has, the derived class has too.
    due = field.required or any(other.name == field.name and other.required for other in base)
    type = _qualified(attribute_annotation(replace(field, required=due), schema), document)
    head = f"{field.name}: {type} = field("
    return broken(head, [*items, *_constraints(field), *_generations(field)], ")", 4)


def _generations(field: Field) -> list[str]:
    """The part of a declaration about the generations of the API."""
    named = {
        "since": field.life.since,
        "required_unless": field.required_unless,
        "read_from": field.read_from,
        "withheld": field.withheld,
        "with_time": field.with_time,
    }
    return [f"{name}={scalar(value)}" for name, value in named.items() if value]


def constructor(schema: Schema, document: Document) -> str:
    """The head of a model's constructor, for type checkers."""
    parameters = [_keyword(field, schema, document) for field in schema.fields]
    parameters += ["local_vars_configuration: Configuration | None = None", "**unknown: Any"]
    return broken("def __init__(", ["self", *parameters], ") -> None: ...", 8)


def _keyword(field: Field, schema: Schema, document: Document) -> str:
    type, end = _qualified(keyword_annotation(field), document), f" = {_default(field, schema)}"
    if len(line := f"{field.name}: {type}{end}") + 13 <= CODE_WIDTH:
        return line
    # A union that is too long has a line for each member, as ruff formats it.
    head, brackets, members = type.rpartition("]")
    return f"{field.name}: {head}{brackets}" + members.replace(" | ", "\n            | ") + end


def _default(field: Field, schema: Schema) -> str:
    """The value of a field that is left out; an update sends no defaults."""
    return "None" if schema.updates else flat(literal(field.default))


def _constraints(field: Field) -> list[str | Code]:
    return [
        tuple_of(list(map(scalar, value)), f"{key}=") if isinstance(value, list) else f"{key}={scalar(value)}"
        for key, value in field.constraints
    ]


# Operations


def constant(operation: Operation) -> str:
    """The name of a method's declaration."""
    return f"_{operation.name.upper()}"


def declared_paths(group: Group) -> list[str]:
    """The declarations of the path parameters that several operations of a group have in common."""
    return [f"{name} = {declared}" for declared, name in sorted(_shared_paths(group).items(), key=itemgetter(1))]


def _shared_paths(group: Group) -> dict[str, str]:
    """Names by declaration. They share one object, since the first call pays for each one that is created."""
    arguments = [one for operation in group.operations for one in operation.arguments if one.kind == "Path"]
    uses = Counter(_declared_argument(argument) for argument in arguments)
    names = {_declared_argument(one): f"_{one.name.upper()}" for one in arguments if uses[_declared_argument(one)] > 1}
    taken = Counter([*names.values(), *map(constant, group.operations)])
    return {declared: name for declared, name in names.items() if taken[name] == 1}


def declared_operation(operation: Operation, group: Group) -> str:
    """The declaration of an operation."""
    paths = _shared_paths(group)
    declared = map(_declared_argument, operation.arguments)
    items = [scalar(operation.name), scalar(operation.method), scalar(operation.path)]
    items += [paths.get(argument, argument) for argument in declared]
    items += [f"returns={scalar(operation.returns)}"] if operation.returns else []
    items += [f"content_type={scalar(operation.content_type)}"] if operation.content_type else []
    if operation.server_timeout:
        name, default = operation.server_timeout
        items.append(f"server_timeout=({scalar(name)}, {default})")
    for form in operation.forms:
        if form.required:
            parts = [flat(tuple_of(list(map(scalar, names)))) for names in (form.required, form.optional)]
            items.append(f"together=({', '.join(parts)})")
    life = {"since": operation.life.since, "until": operation.life.until, "successor": operation.successor}
    items += [f"{name}={scalar(value)}" for name, value in life.items() if value]
    return broken(f"{constant(operation)} = Operation(", items, ")")


def _declared_argument(argument: Argument) -> str:
    items = [scalar(argument.name), scalar(argument.type)]
    items += ["required=True"] if argument.required and argument.kind != "Path" else []
    items += [f"wire_name={scalar(argument.wire_name)}"] if argument.wire_name != argument.name else []
    items += [f"alias={scalar(argument.alias)}"] if argument.alias else []
    items += ["text=True"] if argument.text else []
    return flat(Code(f"{argument.kind}(", [*items, *_constraints(argument.value)], ")"))


def method_head(operation: Operation, document: Document) -> str:
    """The head of a method: one plain signature, whose names can be looked up in its module."""
    result = _qualified(return_annotation(operation), document)
    parameters = [_parameter(argument, document) for argument in operation.arguments]
    return broken(f"def {operation.name}(", ["self", *parameters, "**options: Any"], f") -> {result}:", 4)


def method_call(operation: Operation) -> str:
    """The call that a method consists of."""
    arguments = tuple_of([argument.name for argument in operation.arguments])
    items: list[str | Code] = ["self.api_client", arguments, "options"]
    return broken(f"return {constant(operation)}.call(", items, ")", 8)


def method_twin(operation: Operation) -> str:
    """The method's twin, which is made from it."""
    return broken(f"{operation.name}_with_http_info = twin_of(", [operation.name], ")", 4)


def _parameter(argument: Argument, document: Document) -> str:
    # An argument with two names is missing only if neither was passed.
    optional = not argument.required or argument.alias is not None
    type = _or_none(argument_annotation(argument).removesuffix(" | None"), optional)
    return f"{argument.name}: {_qualified(type, document)}{' = None' if optional else ''}"


def _qualified(type: str, document: Document) -> str:
    """A type by names that can be looked up without importing their modules."""
    modules = {**dict.fromkeys([schema.name for schema in document.schemas], "models"), **PACKAGES}
    return re.sub(r"\w+", lambda name: f"{modules[name[0]]}.{name[0]}" if name[0] in modules else name[0], type)


# Stubs


def overloads(operation: Operation, document: Document, twin: str = "") -> str:
    """The overloads of a method, or of its twin on a group or on `CoreApi` (``group``, ``core``)."""
    name = f"{operation.name}_with_http_info" if twin else operation.name
    heads = []
    for parameters, returned in _stub_forms(operation, document):
        for options, result in _results(operation, returned, twin):
            taken = ["self", *parameters, f"**options: Unpack[options.{options}]"]
            end = f") -> {result}: ..."
            if len(end) > CODE_WIDTH - 4:
                # As ruff formats it.
                outer, _, inner = result.removesuffix("]").partition("[")
                end = f") -> {outer}[\n        {inner}\n    ]: ..."
            heads.append(f"    {broken(f'def {name}(', taken, end, 4)}")
    marks = ["    @overload"]
    if operation.life.deprecated:
        marks.append(f"    {broken('@deprecated(', [scalar(deprecation(operation))], ')', 4)}")
    return "\n".join(line for head in heads for line in [*marks, head])


def deprecation(operation: Operation) -> str:
    """The deprecation message of an operation that newer generations lack."""
    instead = f"; use {operation.successor} there" if operation.successor else ""
    return f"Installations newer than client {operation.life.until} lack it{instead}."


def _stub_forms(operation: Operation, document: Document) -> Iterator[tuple[list[str], str]]:
    """The parameters and the result of each form in which an operation is called."""
    if not operation.forms:
        parameters = [_parameter(argument, document) for argument in operation.arguments]
        yield parameters, _qualified(return_annotation(operation), document)
        return
    in_forms = {name for form in operation.forms for name in (*form.required, *form.optional)}
    for form in operation.forms:
        returned = _qualified(annotation(form.returns), document)
        taken = [one for one in operation.arguments if one.name not in in_forms or one.name in form.required]
        more = [one for one in operation.arguments if one.name in form.optional]
        for by_alias in (False, True):
            parameters = []
            for argument in taken:
                type = _qualified(argument_annotation(argument).removesuffix(" | None"), document)
                if by_alias and argument.alias:
                    parameters += ["*", f"{argument.alias}: {type}"]
                else:
                    parameters.append(f"{argument.name}: {type}")
            yield [*parameters, *(_parameter(argument, document) for argument in more)], returned


def _results(operation: Operation, returned: str, twin: str) -> Iterator[tuple[str, str]]:
    """The result by the options that it depends on: see ``ubiops/api/options.pyi``."""

    def wrapped(type: str) -> str:
        return f"tuple[{type}, int, Mapping[str, str]]" if twin == "core" else type

    raw = wrapped("ubiops.rest.RawResponse")
    if operation.returns == "file":
        yield "Raw", raw
        yield "RawLater", f"AsyncResult[{raw}]"
        yield "Saved", wrapped("str")
        yield "SavedLater", f"AsyncResult[{wrapped('str')}]"
    else:
        yield "Decoded", wrapped(returned)
        yield "DecodedLater", f"AsyncResult[{wrapped(returned)}]"
        yield "RawOnly", raw
        yield "RawOnlyLater", f"AsyncResult[{raw}]"
    yield "CallOptions", "Any"


def signature(operation: Operation) -> str:
    """The names of a method's arguments, in order, for the reference."""
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


def _example_argument(argument: Argument) -> str | Code:
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
        return Code(f"{argument.name}=ubiops.{argument.type}(", fields, ")")
    return literal(example, f"{argument.name}=")


# Imports


def group_imports(group: Group, document: Document) -> str:
    """The imports of a group's module."""
    kinds = {argument.kind for operation in group.operations for argument in operation.arguments}
    return _imports(
        {*_named(group.operations, document), *kinds, "Any", "Api", "Operation", "method_of", "twin_of"}, SOURCES
    )


def stub_imports(operations: Iterable[Operation], document: Document, core: bool = False) -> str:
    """The imports of a stub: of a group's, or of that of `CoreApi`."""
    operations = list(operations)
    names = {*_named(operations, document), "Any", "AsyncResult", "Unpack", "options", "overload", "ubiops"}
    names |= {"Any", "GroupOf", "Mapping"} if core else {"Api"}
    names |= {"deprecated"} if any(operation.life.deprecated for operation in operations) else set()
    sources = SOURCES
    if core:
        sources = {**sources, **{group.class_name: f"ubiops.api.{group.name}" for group in document.groups}}
        names |= {group.class_name for group in document.groups}
    return _imports(names, sources)


def core_imports(document: Document) -> str:
    """The imports of the module of `CoreApi`."""
    groups = {group.class_name: f"ubiops.api.{group.name}" for group in document.groups}
    return _imports({*groups, "GroupOf"}, {**SOURCES, **groups})


def _named(operations: Iterable[Operation], document: Document) -> set[str]:
    """The names in the signatures of methods."""
    types = [_parameter(argument, document) for operation in operations for argument in operation.arguments]
    types += [_qualified(return_annotation(operation), document) for operation in operations]
    return _unqualified(types)


def _unqualified(types: Iterable[str]) -> set[str]:
    """The names in types, except those after a dot, which belong to the name before it."""
    return {name for type in types for name in re.findall(r"(?<![\w.])\w+", type)}


def model_imports(schema: Schema, document: Document) -> str:
    """The imports of a model's module."""
    types = [keyword_annotation(field) for field in schema.fields]
    types += [attribute_annotation(field, schema) for field in schema.fields]
    names = _unqualified(_qualified(type, document) for type in types)
    names |= {"Iterator", "models"} if schema.sequence else set()
    modules = {other.name: f"ubiops.models.{other.module}" for other in document.schemas}
    return _imports({*names, schema.extends or "Model", "Any", "TYPE_CHECKING", "field"}, {**SOURCES, **modules})


def sequence_item(schema: Schema, document: Document) -> str:
    """The type of the items that a model is a sequence of."""
    [type] = [field.type for field in schema.fields if field.name == schema.sequence]
    return _qualified(annotation(type[5:-1]), document)


def lazy_imports(package: str, modules: Mapping[str, str], submodules: Iterable[str]) -> str:
    """The imports that type checkers see for what is imported on first use."""
    lines = [f"from {package} import {name} as {name}" for name in submodules]
    return "\n".join([*lines, _imports(set(modules), modules)])


def sorted_names(names: Iterable[str]) -> list[str]:
    """Names in the order of ``__all__``: constants, classes, others."""
    return sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def names_in(types: Iterable[str]) -> set[str]:
    """The names in types."""
    return {name for type in types for name in re.findall(r"\w+", type)}


def _imports(names: set[str], sources: Mapping[str, str]) -> str:
    """The imports of the names, grouped and sorted as by ruff."""
    used: dict[tuple[int, bool, str], set[str]] = {}
    for name in names & set(sources):
        module = sources[name]
        used.setdefault((_section(module), module != name, module), set()).add(name)
    sections = groupby(sorted(used), key=lambda key: key[0])
    return "\n\n".join(
        "\n".join(_import(module, used[key]) if key[1] else f"import {module}" for key in keys for module in key[2:])
        for _, keys in sections
    )


def _section(module: str) -> int:
    return {"ubiops": 2, "typing_extensions": 1}.get(module.partition(".")[0], 0)


def _import(module: str, names: set[str]) -> str:
    ordered = sorted_names(names)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= CODE_WIDTH - 4:
        return line
    return "\n".join([f"from {module} import (", *[f"    {name}," for name in ordered], ")"])
