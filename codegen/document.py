"""Reads the API's OpenAPI document for the templates, and refuses what they can't express.

The extensions that it understands are explained in the document itself, in ``info.description``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from keyword import iskeyword
from typing import Any

import yaml

METHODS = ("get", "put", "post", "delete", "patch")
KINDS = {"path": "Path", "query": "Query", "header": "Header"}
TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
STRING_FORMATS = {"date": "date", "date-time": "datetime", "binary": "file"}
CONSTRAINTS = {
    "enum": "enum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minimum": "minimum",
    "maximum": "maximum",
}
SCALARS = {*TYPES.values(), "date", "datetime"}
FREE_TYPES = {*SCALARS, "file", "object"}
NULL = {"type": "null"}

VALUE_KEYS = {
    *("$ref", "type", "format", "items", "additionalProperties", "oneOf", "description", "example", "x-python-type"),
    *CONSTRAINTS,
}
DESCRIBING = ("description", "example")
LIFE_KEYS = {"x-since", "x-until", "deprecated"}
FIELD_KEYS = {
    *VALUE_KEYS,
    *LIFE_KEYS,
    *("default", "x-datetime", "x-nullable", "x-read-from", "x-required-unless", "x-withheld"),
}
SCHEMA_KEYS = {
    *LIFE_KEYS,
    *("type", "description", "required", "properties"),
    *("x-excludes", "x-extends", "x-read-schemas", "x-sequence"),
}
PARAMETER_KEYS = {
    *LIFE_KEYS,
    *("name", "in", "required", "description", "schema", "example", "x-alias", "x-python-name"),
}
OPERATION_KEYS = {
    *LIFE_KEYS,
    *("operationId", "tags", "summary", "description", "parameters", "requestBody", "responses"),
    *("x-arguments", "x-file-result", "x-forms", "x-group", "x-server-timeout", "x-successor"),
}
FORM_KEYS = {"required", "optional", "returns"}

# Names that the client itself uses in places of operations, arguments or fields.
ANNOTATIONS = {"models", "bool", "datetime", "dict", "float", "int", "list", "str", "tuple"}
RESERVED_GROUPS = {"api_client", "base", "core_api", "options"}
RESERVED_OPERATIONS = {"api_client", *ANNOTATIONS}
RESERVED_ARGUMENTS = {"self", "options", "async_req"}
RESERVED_FIELDS = {
    *("excludes", "has_rules"),
    *(
        "additional_properties",
        "attribute_map",
        "compiled",
        "discriminator",
        "explicit_nulls",
        "explicit_values",
        "field",
    ),
    *(
        "fields",
        "from_dict",
        "from_input",
        "from_wire",
        "given",
        "is_body",
        "local_vars_configuration",
        "openapi_types",
    ),
    *("read_only", "repr_html_", "self", "to_dict", "to_json", "to_str", "to_wire", "unknown", "withholds"),
    *ANNOTATIONS,
}


class DocumentError(Exception):
    """The document says something that the client can't express; the message leads to the place."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


@dataclass(frozen=True)
class Life:
    """The generations of the API that have something.

    Attributes:
        since: The first client that had it, such as ``4.6``; None for 3.12 or older.
        until: The last client that had it, such as ``4.14``; None if the newest has it.
        deprecated: Whether programs should use something else.
    """

    since: str | None
    until: str | None
    deprecated: bool


@dataclass(frozen=True)
class Field:
    """A field of a schema, or an argument's value.

    Attributes:
        withheld: Whether the default isn't sent once a field that 3.12 doesn't know is given.
        required_unless: The field that makes this one optional if it is given.
        read_from: The field whose value is used if an answer lacks this one.
        with_time: Whether a date that is read may have a time.
    """

    name: str
    type: str
    required: bool
    nullable: bool
    default: Any
    constraints: tuple[tuple[str, Any], ...]
    description: str
    example: Any
    life: Life
    withheld: bool
    required_unless: str | None
    read_from: str | None
    with_time: bool


@dataclass(frozen=True)
class Argument:
    """An argument of a method: where the request carries it, and what it may be.

    Attributes:
        alias: Another name by which it may be passed.
    """

    kind: str
    wire_name: str
    text: bool
    value: Field
    alias: str | None

    @property
    def name(self) -> str:
        return self.value.name

    @property
    def type(self) -> str:
        return self.value.type

    @property
    def required(self) -> bool:
        return self.value.required


@dataclass(frozen=True)
class Form:
    """One of the forms in which an operation can be called.

    Attributes:
        required: Arguments that it requires in addition to those that every form requires.
        optional: Arguments that it may have.
        returns: What it returns.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    returns: str


@dataclass(frozen=True)
class Operation:
    """A method of the client: one HTTP method of one path.

    Attributes:
        group: The group of methods that it belongs to, as an attribute of `CoreApi`.
        successor: The operation that replaces this one in newer generations.
        forms: The forms in which it can be called, if there are several; the first with a given argument applies.
    """

    name: str
    method: str
    path: str
    tag: str
    group: str
    life: Life
    successor: str | None
    forms: tuple[Form, ...]
    summary: str
    description: str
    arguments: tuple[Argument, ...]
    returns: str | None
    returned: str
    returned_example: Any
    errors: tuple[tuple[int, str], ...]
    content_type: str | None
    server_timeout: tuple[str, int] | None


@dataclass(frozen=True)
class Schema:
    """A model.

    Attributes:
        read_only: Fields that only the schemas have in which the server returns the same resource.
        sent: Whether request bodies contain it.
        received: Whether responses contain it.
        updates: Whether it is the body of an update, which sends only what was given.
        extends: The schema that it adds fields to.
        sequence: The field whose items the model is a sequence of.
        excludes: Fields of which at most one may be given.
    """

    name: str
    module: str
    description: str
    fields: tuple[Field, ...]
    life: Life
    read_only: tuple[str, ...]
    extends: str | None
    sequence: str | None
    excludes: tuple[str, ...]
    sent: bool
    received: bool
    updates: bool


@dataclass(frozen=True)
class Group:
    """Operations that belong together: an attribute of `CoreApi`, and a module with a class of methods."""

    name: str
    operations: tuple[Operation, ...]

    @property
    def class_name(self) -> str:
        return "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def title(self) -> str:
        return self.name.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Document:
    """The API."""

    operations: tuple[Operation, ...]
    schemas: tuple[Schema, ...]

    @property
    def groups(self) -> list[Group]:
        names = sorted({operation.group for operation in self.operations})
        return [Group(name, tuple(one for one in self.operations if one.group == name)) for name in names]


def read(text: str) -> Document:
    """Read an OpenAPI document.

    Args:
        text: The document, as YAML.

    Raises:
        DocumentError: It isn't YAML, or says something that the client can't express.
    """
    return _Reader(_load(text)).document()


def to_json(text: str) -> str:
    """The same document as JSON, which loads ten times faster.

    Args:
        text: The document, as YAML.

    Raises:
        DocumentError: It isn't YAML.
    """
    return json.dumps(_load(text), ensure_ascii=False, indent=1) + "\n"


def _load(text: str) -> dict[str, Any]:
    try:
        root: dict[str, Any] = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise DocumentError("the document", f"isn't valid YAML: {error}") from error
    return root


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML restricted to JSON's types: no dates, and no duplicate keys (of which the later one would silently win)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise DocumentError(f"line {node.start_mark.line + 1}", f"has a key twice: {', '.join(sorted(twice))}")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str)


class _Reader:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._components = root.get("components", {})
        self._schemas: dict[str, Any] = self._components.get("schemas", {})
        self._paths = root.get("paths", {})

    def document(self) -> Document:
        operations = sorted(self._operations(), key=lambda operation: operation.name)
        for one, other in pairwise(operations):
            if one.name == other.name:
                raise DocumentError(f"paths.{other.path}", f"operationId {other.name} is taken by {one.path}")
        bodies = [
            (operation, argument.type)
            for operation in operations
            for argument in operation.arguments
            if argument.kind == "Body"
        ]
        sent = self._reachable(type for _, type in bodies)
        received = self._reachable(operation.returns or "" for operation in operations)
        updates = {type for operation, type in bodies if operation.method == "PATCH"}
        creates = {type for operation, type in bodies if operation.method != "PATCH"}
        schemas = [
            self._schema(name, sent=name in sent, received=name in received, updates=name in updates)
            for name in sorted(self._schemas)
        ]
        for schema in schemas:
            if schema.name in updates & creates and any(field.default is not None for field in schema.fields):
                raise DocumentError(
                    f"components.schemas.{schema.name}",
                    "is the body of an update (PATCH) and of other operations, and has defaults, which an update "
                    "must not send: make it two schemas",
                )
        _refuse_twins({schema.name: schema.module for schema in schemas})
        document = Document(tuple(operations), tuple(schemas))
        for group in document.groups:
            if group.name in {operation.name for operation in operations}:
                raise DocumentError(f"x-group {group.name}", "is the name of an operation too")
        return document

    # Operations

    def _operations(self) -> Iterator[Operation]:
        for path, item in self._paths.items():
            for method, operation in item.items():
                where = f"paths.{path}.{method}"
                if method not in METHODS:
                    raise DocumentError(where, f"can't be expressed: a path holds only {', '.join(METHODS)}")
                yield self._operation(path, method, operation, where)

    def _operation(self, path: str, method: str, operation: Mapping[str, Any], where: str) -> Operation:
        _refuse_unknown_keys(operation, OPERATION_KEYS, where)
        name = _identifier(_required(operation, "operationId", where), RESERVED_OPERATIONS, f"{where}.operationId")
        tags = operation.get("tags", [])
        if len(tags) != 1:
            raise DocumentError(where, "needs exactly one tag, the section of the reference that it stands in")
        responses = {
            str(status): self._resolve(response, "responses", f"{where}.responses.{status}")
            for status, response in _required(operation, "responses", where).items()
        }
        arguments = self._arguments(path, operation, where)
        response = _success(responses, where)
        returns, example = self._returned(operation, response, where)
        body = operation.get("requestBody", {}).get("content", {})
        return Operation(
            name=name,
            method=method.upper(),
            path=path,
            tag=tags[0],
            group=_identifier(_required(operation, "x-group", where), RESERVED_GROUPS, f"{where}.x-group"),
            life=_life(operation),
            successor=self._successor(operation, where),
            forms=tuple(self._form(form, arguments, f"{where}.x-forms") for form in operation.get("x-forms", [])),
            summary=_text(_required(operation, "summary", where)).rstrip("."),
            description=_text(operation.get("description")),
            arguments=arguments,
            returns=returns,
            returned=_text(response.get("description")),
            returned_example=example,
            errors=tuple(
                (int(status), _text(response.get("description")))
                for status, response in responses.items()
                if re.fullmatch(r"[45]\d\d", status)
            ),
            content_type="multipart/form-data" if "multipart/form-data" in body else None,
            server_timeout=_server_timeout(operation, arguments, where),
        )

    def _arguments(self, path: str, operation: Mapping[str, Any], where: str) -> tuple[Argument, ...]:
        found = [
            *self._parameters(operation.get("parameters", []), f"{where}.parameters"),
            *self._body(operation.get("requestBody"), f"{where}.requestBody"),
        ]
        by_name = {argument.name: argument for argument in found}
        order = operation.get("x-arguments", [])
        if sorted(order) != sorted(argument.name for argument in found):
            raise DocumentError(
                f"{where}.x-arguments",
                f"must name each argument once: it has {', '.join(order)}, "
                f"the operation {', '.join(argument.name for argument in found)}",
            )
        arguments = tuple(by_name[name] for name in order)
        for one, other in pairwise(arguments):
            if other.required and not one.required:
                raise DocumentError(
                    f"{where}.x-arguments", f"{other.name} is required and stands after {one.name}, which isn't"
                )
        placed = sorted(argument.wire_name for argument in arguments if argument.kind == "Path")
        if placed != sorted(re.findall(r"{(.*?)}", path)):
            raise DocumentError(where, f"the path's braces must name its parameters: {', '.join(placed) or 'none'}")
        return arguments

    def _successor(self, operation: Mapping[str, Any], where: str) -> str | None:
        name: str | None = operation.get("x-successor")
        others = (other for item in self._paths.values() for other in item.values())
        if name is not None and all(other.get("operationId") != name for other in others):
            raise DocumentError(f"{where}.x-successor", f"there is no operation {name}")
        return name

    def _form(self, form: Mapping[str, Any], arguments: Iterable[Argument], where: str) -> Form:
        _refuse_unknown_keys(form, FORM_KEYS, where)
        required, optional = (tuple(form.get(key, [])) for key in ("required", "optional"))
        names = {argument.name for argument in arguments if not argument.required}
        for name in (*required, *optional):
            if name not in names:
                raise DocumentError(where, f"there is no optional argument {name}")
        return Form(required, optional, self._python_type(_required(form, "returns", where), where))

    def _parameters(self, parameters: Iterable[Mapping[str, Any]], where: str) -> Iterator[Argument]:
        for index, given in enumerate(parameters):
            here = f"{where}[{index}]"
            parameter = self._resolve(given, "parameters", here)
            _refuse_unknown_keys(parameter, PARAMETER_KEYS, here)
            wire_name, place, schema = (_required(parameter, key, here) for key in ("name", "in", "schema"))
            if place not in KINDS:
                raise DocumentError(here, f"is in {place}: only {', '.join(KINDS)} can be expressed")
            if place == "path" and parameter.get("required") is not True:
                raise DocumentError(here, "is in the path and so must be required: true")
            _refuse_unknown_keys(schema, VALUE_KEYS, f"{here}.schema")
            value = self._field(
                _identifier(parameter.get("x-python-name", wire_name), RESERVED_ARGUMENTS, here),
                {**schema, **{key: parameter[key] for key in (*DESCRIBING, *LIFE_KEYS) if key in parameter}},
                required=parameter.get("required", False),
                where=here,
            )
            yield _argument(KINDS[place], value, SCALARS, here, wire_name=wire_name, alias=parameter.get("x-alias"))

    def _body(self, body: Mapping[str, Any] | None, where: str) -> Iterator[Argument]:
        if body is None:
            return
        content = dict(_required(body, "content", where))
        text = body.get("x-text-when-str", False)
        if text and content.pop("text/plain", None) is None:
            raise DocumentError(where, "has x-text-when-str and so must have the content text/plain")
        if list(content) == ["application/json"]:
            media = content["application/json"]
            schema = {
                **_required(media, "schema", where),
                "description": body.get("description"),
                "example": media.get("example"),
            }
            value = self._field("data", schema, required=body.get("required", False), where=where)
            yield _argument("Body", value, {value.type}, where, text=text)
        elif list(content) == ["multipart/form-data"]:
            schema = _required(content["multipart/form-data"], "schema", where)
            for value in self._fields(schema, RESERVED_ARGUMENTS, where):
                yield _argument("File" if value.type == "file" else "Form", value, {*SCALARS, "file"}, where)
        else:
            raise DocumentError(
                f"{where}.content",
                f"is {', '.join(content)}: only application/json (with text/plain where x-text-when-str says so) or "
                "multipart/form-data can be expressed",
            )

    def _returned(
        self, operation: Mapping[str, Any], response: Mapping[str, Any], where: str
    ) -> tuple[str | None, Any]:
        if operation.get("x-file-result"):
            return "file", None
        content = response.get("content")
        if content is None:
            return None, None
        if list(content) != ["application/json"]:
            raise DocumentError(f"{where}.content", "must be application/json, or the operation have x-file-result")
        media = content["application/json"]
        schema = _required(media, "schema", where)
        types = [self._type(one, where) for one in schema.get("oneOf", [schema])]
        if len(types) > 1 and [type.startswith("list[") for type in types] != [True, False]:
            raise DocumentError(where, f"is one of {', '.join(types)}: only an array and an object can be told apart")
        return " | ".join(types), media.get("example")

    # Schemas

    def _schema(self, name: str, *, sent: bool, received: bool, updates: bool) -> Schema:
        where = f"components.schemas.{name}"
        schema = self._schemas[name]
        _refuse_unknown_keys(schema, SCHEMA_KEYS, where)
        if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
            raise DocumentError(where, "isn't a name for a class: use CamelCase, letters and digits")
        if schema.get("type") != "object" or not schema.get("properties"):
            raise DocumentError(where, "must be an object with properties")
        fields = tuple(self._fields(schema, RESERVED_FIELDS, where))
        for field in fields:
            if re.search(r"\bfile\b", field.type):
                raise DocumentError(f"{where}.{field.name}", "is a file: only multipart/form-data can carry one")
        named = [*schema.get("x-excludes", []), *filter(None, [schema.get("x-sequence")])]
        for other in [*named, *(name for field in fields for name in (field.required_unless, field.read_from) if name)]:
            if other not in schema["properties"]:
                raise DocumentError(where, f"there is no property {other}")
        return Schema(
            name=name,
            module=re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower(),
            description=_text(schema.get("description")),
            fields=fields,
            life=_life(schema),
            read_only=self._read_only(schema, where),
            extends=self._base(schema, where),
            sequence=schema.get("x-sequence"),
            excludes=tuple(schema.get("x-excludes", [])),
            sent=sent,
            received=received,
            updates=updates,
        )

    def _read_only(self, schema: Mapping[str, Any], where: str) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for other in schema.get("x-read-schemas", []):
            if other not in self._schemas:
                raise DocumentError(f"{where}.x-read-schemas", f"there is no schema {other}")
            names.update(dict.fromkeys(self._schemas[other]["properties"]))
        return tuple(name for name in names if name not in schema["properties"])

    def _base(self, schema: Mapping[str, Any], where: str) -> str | None:
        name = schema.get("x-extends")
        if name is None:
            return None
        if name not in self._schemas:
            raise DocumentError(f"{where}.x-extends", f"there is no schema {name}")
        lacking = [field for field in self._schemas[name]["properties"] if field not in schema["properties"]]
        if lacking:
            raise DocumentError(f"{where}.x-extends", f"lacks what {name} has: {', '.join(lacking)}")
        base: str = name
        return base

    def _fields(self, schema: Mapping[str, Any], reserved: set[str], where: str) -> Iterator[Field]:
        required = schema.get("required", [])
        properties = _required(schema, "properties", where)
        for name in required:
            if name not in properties:
                raise DocumentError(f"{where}.required", f"there is no property {name}")
        for name, value in properties.items():
            here = f"{where}.{name}"
            yield self._field(_identifier(name, reserved, here), value, required=name in required, where=here)

    def _field(self, name: str, schema: Mapping[str, Any], *, required: bool, where: str) -> Field:
        _refuse_unknown_keys(schema, FIELD_KEYS, where)
        return Field(
            name=name,
            type=self._type(schema, where),
            required=required,
            nullable="null" in _type_list(schema) or NULL in schema.get("oneOf", ()) or schema.get("x-nullable", False),
            default=schema.get("default"),
            constraints=tuple((ours, schema[key]) for key, ours in CONSTRAINTS.items() if key in schema),
            description=_text(schema.get("description")),
            example=schema.get("example"),
            life=_life(schema),
            withheld=schema.get("x-withheld", False),
            required_unless=schema.get("x-required-unless"),
            read_from=schema.get("x-read-from"),
            with_time=schema.get("x-datetime", False),
        )

    def _type(self, schema: Mapping[str, Any], where: str) -> str:
        """The type's name at run time."""
        if "x-python-type" in schema:
            return self._python_type(schema["x-python-type"], where)
        if "$ref" in schema:
            return self._referred(schema["$ref"], "schemas", where)
        if "oneOf" in schema:
            forms = [form for form in schema["oneOf"] if form != NULL]
            if len(forms) != 1:
                raise DocumentError(where, "can't be expressed: oneOf may hold one schema and null")
            return self._type(forms[0], where)
        kinds = [kind for kind in _type_list(schema) if kind != "null"]
        if not kinds:
            return "object"
        if kinds == ["array"]:
            return f"list[{self._type(schema.get('items', {}), f'{where}.items')}]"
        if kinds == ["object"] and "properties" not in schema:
            values = schema.get("additionalProperties", True)
            return f"dict(str, {'object' if values is True else self._type(values, f'{where}.additionalProperties')})"
        if kinds == ["string"] and schema.get("format") in STRING_FORMATS:
            return STRING_FORMATS[schema["format"]]
        if len(kinds) == 1 and kinds[0] in TYPES:
            return TYPES[kinds[0]]
        raise DocumentError(
            where, f"the type {' or '.join(kinds)} can't be expressed here (an object goes into components.schemas)"
        )

    def _python_type(self, name: str, where: str) -> str:
        names = re.sub(r"list\[(.*)\]|dict\(str, (.*)\)", r"\1\2", name)
        inner = names if names == name else self._python_type(names, where)
        if inner == name and name not in FREE_TYPES and name not in self._schemas:
            raise DocumentError(where, f"there is no type {name}")
        return name

    def _reachable(self, types: Iterable[str]) -> set[str]:
        """The schemas that values of these types can contain, at any depth."""
        reached: set[str] = set()
        new = {name for type in types for name in re.findall(r"\w+", type) if name in self._schemas}
        while new:
            reached |= new
            fields = [field for name in new for field in self._schemas[name].get("properties", {}).values()]
            held = {name for field in fields for name in re.findall(r"#/components/schemas/(\w+)", str(field))}
            new = held & set(self._schemas) - reached
        return reached

    # References

    def _resolve(self, given: Mapping[str, Any], section: str, where: str) -> Mapping[str, Any]:
        if "$ref" not in given:
            return given
        target: Mapping[str, Any] = self._components[section][self._referred(given["$ref"], section, where)]
        return target

    def _referred(self, reference: str, section: str, where: str) -> str:
        name = reference.removeprefix(f"#/components/{section}/")
        if name not in self._components.get(section, {}):
            raise DocumentError(where, f"$ref {reference} leads nowhere: there must be #/components/{section}/...")
        return name


def _argument(
    kind: str,
    value: Field,
    types: set[str],
    where: str,
    *,
    wire_name: str | None = None,
    text: bool = False,
    alias: str | None = None,
) -> Argument:
    if value.type not in types:
        raise DocumentError(where, f"{value.name} is of the type {value.type}, which can't be expressed here")
    if value.nullable or value.default is not None:
        raise DocumentError(where, f"{value.name} is an argument: None means not given, there is no null or default")
    return Argument(kind, wire_name or value.name, text, value, alias)


def _life(given: Mapping[str, Any]) -> Life:
    return Life(given.get("x-since"), given.get("x-until"), given.get("deprecated", False))


def _success(responses: Mapping[str, Mapping[str, Any]], where: str) -> Mapping[str, Any]:
    found = [status for status in responses if re.fullmatch(r"2\d\d", status)]
    if len(found) != 1:
        raise DocumentError(f"{where}.responses", f"must hold one status 2xx, not {', '.join(found) or 'none'}")
    return responses[found[0]]


def _server_timeout(operation: Mapping[str, Any], arguments: Iterable[Argument], where: str) -> tuple[str, int] | None:
    given = operation.get("x-server-timeout")
    if given is None:
        return None
    if given["parameter"] not in [argument.name for argument in arguments]:
        raise DocumentError(f"{where}.x-server-timeout", f"there is no argument {given['parameter']}")
    return given["parameter"], given["default"]


def _type_list(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type", [])
    return kind if isinstance(kind, list) else [kind]


def _identifier(name: str, reserved: set[str], where: str) -> str:
    if not name.isidentifier() or iskeyword(name) or name.startswith("_"):
        raise DocumentError(where, f"{name!r} can't be a name in Python")
    if name in reserved:
        raise DocumentError(where, f"{name!r} is a name that the client uses itself")
    return name


def _required(given: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in given:
        raise DocumentError(where, f"has no {key}")
    return given[key]


def _refuse_unknown_keys(given: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        raise DocumentError(where, f"{', '.join(unknown)} can't be expressed")


def _refuse_twins(modules: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for name, module in modules.items():
        if module in taken:
            raise DocumentError(f"components.schemas.{name}", f"and {taken[module]} would share the module {module}")
        taken[module] = name


def _text(text: str | None) -> str:
    return " ".join((text or "").split())
