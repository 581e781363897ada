"""`Model`, the base of every schema's class, and `field`, which declares what the schema says of one value.

A generated class only declares its fields. From them this module compiles, on first use, the constructor, the reader
and the writer of the class, as straight-line code: a client reads and checks thousands of records.
"""

from __future__ import annotations

import copy
import datetime
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from ubiops.exceptions import ApiValueError
from ubiops.schema import NULL, Invalid, Spec, is_free, item_type, model_class, nearest_hint, reader, value_type

if TYPE_CHECKING:
    import inspect

__all__ = ["Model", "field"]

M = TypeVar("M", bound="Model")


def field(type: str, **constraints: Any) -> Any:
    """Declare a field of a model.

    Args:
        type: Name of the field's type, as in `ubiops.schema`.
        **constraints: ``required``, ``nullable``, ``default``, ``enum``, ``min_length``, ``max_length``, ``minimum``,
            ``maximum``, as in `ubiops.schema.Spec`.
    """
    return Spec(type, **constraints)


class Received(dict[str, Any]):
    """Fields that the server sent and this client doesn't know: they can be read and are not sent back."""


class _ValidationSetting:
    """What a model keeps of the configuration that it was made with."""

    __slots__ = ("_name", "client_side_validation")

    def __init__(self, name: str, client_side_validation: bool) -> None:
        self._name = name
        self.client_side_validation = client_side_validation

    def __reduce__(self) -> str:
        return self._name


VALIDATED = _ValidationSetting("VALIDATED", True)
UNVALIDATED = _ValidationSetting("UNVALIDATED", False)


class _Signature:
    """The signature of a model's constructor, for help() and tooltips, made when somebody asks."""

    def __get__(self, instance: Model | None, owner: type[Model]) -> inspect.Signature:
        import inspect

        if instance is not None or not owner.fields or owner.__init__.__module__ != __name__:
            raise AttributeError("__signature__")
        signature = inspect.signature(owner.compiled().construct)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Compiled(NamedTuple):
    """The functions made for one class."""

    construct: Callable[..., None]
    read: Callable[[dict[str, Any]], Any]
    write: Callable[[Any], dict[str, Any]]


class Model:
    """An object of the API.

    The values live in the instance's ``__dict__`` as ``_name``, in the order of the constructor. `None` means "not
    given" in the constructor and by assignment; `ubiops.NULL` sends ``null`` where the API takes one.

    Raises:
        ApiValueError: A value that the schema rules out, in the constructor or by assignment.
    """

    openapi_types: ClassVar[dict[str, str]] = {}
    attribute_map: ClassVar[dict[str, str]] = {}
    fields: ClassVar[dict[str, Spec]] = {}
    discriminator: Any = None
    additional_properties: Mapping[str, Any] = MappingProxyType({})
    explicit_nulls: frozenset[str] = frozenset()
    local_vars_configuration: Any
    __signature__ = _Signature()
    _read_only: ClassVar[frozenset[str]] = frozenset()
    _compiled: ClassVar[Compiled | None] = None

    def __init_subclass__(cls, read_only: tuple[str, ...] | None = None) -> None:
        super().__init_subclass__()
        declared = {name: spec for name, spec in cls.__dict__.items() if isinstance(spec, Spec)}
        if read_only is not None:
            cls._read_only = frozenset(read_only)
        if not declared:
            return
        cls.fields = {**cls.fields, **declared}
        cls.openapi_types = {name: spec.type for name, spec in cls.fields.items()}
        cls.attribute_map = {name: name for name in cls.fields}
        for name, spec in declared.items():
            setattr(cls, name, property(attrgetter(f"_{name}"), _setter(name, spec)))
        if "__init__" not in cls.__dict__:
            _set_init(cls, Model.__init__)

    def __init__(self, *values: Any, **named: Any) -> None:
        self.compiled().construct(self, *values, **named)

    @classmethod
    def compiled(cls) -> Compiled:
        """The functions made for this class, from then on its constructor too; they are made at the first call."""
        compiled: Compiled | None = cls.__dict__.get("_compiled")
        if compiled is None:
            compiled = cls._compiled = _compile(cls)
            if cls is not Model and cls.__dict__.get("__init__") is Model.__init__:
                _set_init(cls, compiled.construct)
        return compiled

    @classmethod
    def check(cls, value: Any) -> None:
        """Raise `ubiops.schema.Invalid` where a model or dict can't stand for this schema."""
        cls.from_input(value, warn=False)

    @classmethod
    def from_input(cls: type[M], value: Any, *, warn: bool = True) -> M:
        """The model that a caller's dict, or a model of another class, stands for.

        Raises:
            Invalid: The schema rules it out; the path leads to the field.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, (Model, Mapping)):
            raise Invalid(f"must be {cls.__name__} or dict, not {type(value).__name__}")
        given = value.given() if isinstance(value, Model) else value
        self = cls.__new__(cls)
        self.local_vars_configuration = VALIDATED
        for name, spec in cls.fields.items():
            setattr(self, f"_{name}", _accept(self, name, spec, given.get(name)))
        self.discriminator = None
        unknown = {name: item for name, item in given.items() if name not in cls.fields}
        if unknown:
            _keep_unknown(self, unknown, warn=warn)
        return self

    @classmethod
    def from_wire(cls: type[M], value: Mapping[str, Any]) -> M:
        """The model that a decoded JSON object describes, read tolerantly: nothing is checked."""
        # A copy: the reader consumes what it is given.
        model: M = cls.compiled().read(copy.deepcopy(dict(value)))
        return model

    def given(self) -> dict[str, Any]:
        """The fields that have a value, as they are, and NULL where one was set."""
        values = {name: getattr(self, name) for name in type(self).fields}
        given: dict[str, Any] = {name: NULL if name in self.explicit_nulls else value for name, value in values.items()}
        if not isinstance(self.additional_properties, Received):
            given.update(self.additional_properties)
        return {name: value for name, value in given.items() if value is not None}

    def to_wire(self) -> dict[str, Any]:
        """The fields to send; nested dicts are read as the models that they stand for."""
        return self.compiled().write(self)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, nested models as dicts; it shares no container with the model."""
        result = {name: _to_dict(getattr(self, name)) for name in type(self).fields}
        if not isinstance(self.additional_properties, Received):
            result.update(_to_dict(dict(self.additional_properties)))
        return result

    def to_str(self) -> str:
        """The fields, pretty-printed."""
        from pprint import pformat

        return pformat(self.to_dict())

    def __repr__(self) -> str:
        return self.to_str()

    def _repr_html_(self) -> str:
        from ubiops.display.html import model_table

        return model_table(self)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        # A notebook keeps the text of what it shows beside the table: it must hold no credentials either.
        from ubiops.display.masking import masked_text

        for number, line in enumerate(masked_text(self).splitlines()):
            if number:
                printer.break_()
            printer.text(line)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.to_dict() == other.to_dict() and self.explicit_nulls == other.explicit_nulls


def __getattr__(name: str) -> Any:
    if name == "ModelList":
        # The class of lists in what 3.12.1 has pickled.
        return list
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _set_init(cls: type[Model], init: Callable[..., None]) -> None:
    cls.__init__ = init  # type: ignore[method-assign]


def _setter(name: str, spec: Spec) -> Callable[[Model, Any], None]:
    private = f"_{name}"

    def set_field(self: Model, value: Any) -> None:
        setattr(self, private, accept(self, name, spec, value))

    return set_field


def accept(self: Model, name: str, spec: Spec, value: Any) -> Any:
    """The value to keep for a field.

    Raises:
        ApiValueError: The schema rules the value out.
    """
    try:
        return _accept(self, name, spec, value)
    except Invalid as error:
        raise ApiValueError(f"Invalid value for `{error.place()}`, {error.problem} ({type(self).__name__})") from None


def _accept(self: Model, name: str, spec: Spec, value: Any) -> Any:
    if self.explicit_nulls:
        self.explicit_nulls -= {name}
    if value is None:
        value = spec.default
    if self.local_vars_configuration.client_side_validation:
        try:
            spec.check(value)
        except Invalid as error:
            raise error.under(name) from None
    if value is NULL:
        self.explicit_nulls |= {name}
        return None
    return value


def _construct_unvalidated(self: Model, values: list[Any], unknown: dict[str, Any]) -> None:
    self.local_vars_configuration = UNVALIDATED
    for (name, spec), value in zip(type(self).fields.items(), values, strict=True):
        setattr(self, f"_{name}", _accept(self, name, spec, value))
    self.discriminator = None
    if unknown:
        _keep_unknown(self, unknown)


def _keep_unknown(self: Model, unknown: dict[str, Any], *, warn: bool = True) -> None:
    kept = {name: value for name, value in unknown.items() if name not in self._read_only and value is not None}
    if not kept:
        return
    self.additional_properties = kept
    if warn:
        for name in kept:
            hint = nearest_hint(str(name), type(self).fields)
            warnings.warn(
                f"{type(self).__name__} has no field `{name}`: it is sent as it is{hint}", stacklevel=_caller_level()
            )


def _caller_level() -> int:
    """The `stacklevel` of the first frame outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("ubiops."):
        level, frame = level + 1, frame.f_back
    return level


def _to_dict(value: Any) -> Any:
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_to_dict(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_dict(item) for key, item in value.items()}
    return value


# Compiling


def _compile(cls: type[Model]) -> Compiled:
    """Make the constructor, the reader and the writer of a class, as `dataclasses` does."""
    names: dict[str, Any] = {
        "_accept": accept,
        "_bool": bool,
        "_cls": cls,
        "_datetime": datetime.datetime,
        "_dict": dict,
        "_fields": cls.fields,
        "_float": float,
        "_from_iso": datetime.datetime.fromisoformat,
        "_inf": math.inf,
        "_int": int,
        "_keep_unknown": _keep_unknown,
        "_len": len,
        "_new": object.__new__,
        "_NULL": NULL,
        "_Received": Received,
        "_str": str,
        "_type": type,
        "_unvalidated": _construct_unvalidated,
        "_VALIDATED": VALIDATED,
    }
    for index, (name, spec) in enumerate(cls.fields.items()):
        names[f"_spec{index}"] = spec
        names[f"_enum{index}"] = frozenset(spec.enum or ())
        names[f"_default{index}"] = spec.default
        names[f"_read{index}"] = reader(spec.type)
        names[f"_write{index}"] = None if is_free(spec.type) else _nested_writer(name, spec.type)
    source = [*_constructor_source(cls.fields), *_reader_source(cls.fields), *_writer_source(cls.fields)]
    exec(compile("\n".join(source), f"<{cls.__name__}>", "exec"), {**names, "__name__": __name__}, names)
    construct = names["construct"]
    construct.__name__, construct.__qualname__ = "__init__", f"{cls.__qualname__}.__init__"
    return Compiled(construct, names["read"], names["write"])


def _constructor_source(fields: Mapping[str, Spec]) -> list[str]:
    parameters = ["self", *(f"{name}=None" for name in fields), "local_vars_configuration=None", "**unknown"]
    passed = ["self", *fields, "local_vars_configuration=local_vars_configuration"]
    lines = [
        f"def construct({', '.join(parameters)}):",
        "    if _type(self).fields is not _fields:",
        f"        return self.compiled().construct({', '.join(passed)}, **unknown)",
        "    if local_vars_configuration is not None and not local_vars_configuration.client_side_validation:",
        f"        return _unvalidated(self, [{', '.join(fields)}], unknown)",
        "    self.local_vars_configuration = _VALIDATED",
    ]
    for index, (name, spec) in enumerate(fields.items()):
        if spec.default is not None:
            lines += [f"    if {name} is None: {name} = _default{index}"]
        lines += [
            f"    if {_doubt(index, name, spec)}: {name} = _accept(self, {name!r}, _spec{index}, {name})",
            f"    self._{name} = {name}",
        ]
    return [*lines, "    self.discriminator = None", "    if unknown: _keep_unknown(self, unknown)"]


def _doubt(index: int, name: str, spec: Spec) -> str:
    """The condition under which a value needs the full check: cheap, and true for all that it can't vouch for."""
    optional = "" if spec.required else f"{name} is not None and "
    if spec.type == "object":
        return f"{name} is _NULL" + (f" or {name} is None" if spec.required else "")
    expected = {"datetime": f"_type({name}) is not _datetime and _type({name}) is not _str"}
    expected.update({kind: f"_type({name}) is not _{kind}" for kind in ("str", "int", "bool", "float")})
    if value_type(spec.type) and is_free(spec.type):
        expected[spec.type] = f"_type({name}) is not _dict"
    doubts = [expected.get(spec.type, "True")]
    if spec.type == "float":
        doubts.append(f"not -_inf < {name} < _inf")
    if spec.enum:
        doubts.append(f"{name} not in _enum{index}")
    bounds = {
        f"_len({name}) <": spec.min_length,
        f"_len({name}) >": spec.max_length,
        f"{name} <": spec.minimum,
        f"{name} >": spec.maximum,
    }
    doubts += [f"{comparison} {bound}" for comparison, bound in bounds.items() if bound is not None]
    return f"{optional}({' or '.join(doubts)})"


def _reader_source(fields: Mapping[str, Spec]) -> list[str]:
    lines = [
        "def read(data):",
        "    self = _new(_cls)",
        "    pop = data.pop",
        "    self.local_vars_configuration = _VALIDATED",
    ]
    for index, (name, spec) in enumerate(fields.items()):
        lines += [f"    value = pop({name!r}, None)"]
        if spec.type == "datetime":
            lines += [
                "    if value is not None:",
                "        try: value = _from_iso(value)",
                f"        except (TypeError, ValueError): value = _read{index}(value)",
            ]
        elif reader(spec.type) is not None:
            lines += [f"    if value is not None: value = _read{index}(value)"]
        lines += [f"    self._{name} = value"]
    return [
        *lines,
        "    self.discriminator = None",
        "    if data: self.additional_properties = _Received(data)",
        "    return self",
    ]


def _writer_source(fields: Mapping[str, Spec]) -> list[str]:
    lines = ["def write(self):", "    wire = {}"]
    for index, (name, spec) in enumerate(fields.items()):
        lines += [f"    value = self._{name}"]
        if is_free(spec.type):
            lines += [f"    if value is not None: wire[{name!r}] = value"]
        else:
            lines += [f"    if value is not None: wire[{name!r}] = _write{index}(self, value)"]
    return [
        *lines,
        "    if self.explicit_nulls: wire.update(_dict.fromkeys(self.explicit_nulls))",
        "    if self.additional_properties and _type(self.additional_properties) is not _Received:",
        "        wire.update(self.additional_properties)",
        "    return wire",
    ]


def _nested_writer(name: str, type_name: str) -> Callable[[Model, Any], Any]:
    """The writer of a field that holds models."""
    write_value = _writer(type_name)

    def write(self: Model, value: Any) -> Any:
        if not self.local_vars_configuration.client_side_validation:
            return value
        try:
            return write_value(value)
        except Invalid as error:
            raise error.under(name) from None

    return write


def _writer(type_name: str) -> Callable[[Any], Any]:
    items, values = item_type(type_name), value_type(type_name)
    if items is not None:
        return _list_writer(_writer(items))
    if values is not None:
        return _dict_writer(_writer(values))
    cls = model_class(type_name)
    write_model = cls.compiled().write

    def write(value: Any) -> Any:
        # A dict, or a model of another class, stands for the one that is due.
        return write_model(value) if type(value) is cls else cls.from_input(value).to_wire()

    return write


def _list_writer(write_item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def write(items: Any) -> Any:
        wire: list[Any] = []
        try:
            for item in items:
                wire.append(write_item(item))
        except Invalid as error:
            raise error.under(len(wire)) from None
        return wire

    return write


def _dict_writer(write_value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def write(values: Any) -> Any:
        wire: dict[str, Any] = {}
        for key, value in values.items():
            try:
                wire[key] = write_value(value)
            except Invalid as error:
                raise error.under(key) from None
        return wire

    return write
