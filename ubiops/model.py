"""`Model`, the base of every schema's class, and `field`, which declares one field of a schema.

A generated class only declares its fields. From them this module compiles, on first use, the constructor, the reader
and the writer of the class, as straight-line code: clients read and check thousands of records.
"""

from __future__ import annotations

import datetime
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from ubiops.exceptions import ApiTypeError, ApiValueError
from ubiops.once import once
from ubiops.schema import (
    ATOMS,
    NULL,
    Invalid,
    Spec,
    copied,
    is_free,
    item_type,
    model_class,
    nearest_hint,
    read_date_or_datetime,
    reader,
    value_type,
    write_json,
)

if TYPE_CHECKING:
    import inspect

__all__ = ["Model", "field"]

M = TypeVar("M", bound="Model")


def field(type: str, **constraints: Any) -> Any:
    """Declare a field of a model.

    Args:
        type: Name of the field's type, as in `ubiops.schema`.
        **constraints: The other arguments of `ubiops.schema.Spec`, such as ``required`` and ``default``.
    """
    return Spec(type, **constraints)


class Received(dict[str, Any]):
    """Fields that the server sent and this client doesn't know: they can be read, but are not sent back."""


class Validation:
    """The part of a configuration that a model keeps."""

    __slots__ = ("client_side_validation",)

    def __init__(self, client_side_validation: bool) -> None:
        self.client_side_validation = client_side_validation


class SharedValidation(NamedTuple):
    """The same, shared by all models that have no setting of their own."""

    client_side_validation: bool

    def __reduce__(self) -> str:
        return "VALIDATED" if self.client_side_validation else "UNVALIDATED"


VALIDATED = SharedValidation(True)
UNVALIDATED = SharedValidation(False)

_NONE: frozenset[str] = frozenset()
_LEFT_OUT = object()
"""Stands for the default of an argument if it matters whether the argument was passed."""

# How similar (0 to 1) the name of a new attribute is to that of a field, for a warning.
_ALIKE = 0.8


class _Signature:
    """The signature of a model's constructor, for help() and tooltips, created on access."""

    def __get__(self, instance: Model | None, owner: type[Model]) -> inspect.Signature:
        import inspect

        if instance is not None or not owner.fields or owner.__init__.__module__ != __name__:
            raise AttributeError("__signature__")
        signature = inspect.signature(owner.compiled().construct)
        parameters = [
            parameter.replace(default=owner.fields[name].default) if name in owner._withholds else parameter
            for name, parameter in signature.parameters.items()
        ]
        return signature.replace(parameters=parameters[1:])


Plain = Callable[[Any], Any]
Writer = Callable[[Any, "Plain | None"], Any]


class Compiled:
    """The functions of one class, each created at its first use."""

    def __init__(self, cls: type[Model]) -> None:
        self._cls = cls
        self._names: dict[str, Any] = {
            "_blank": {
                "local_vars_configuration": VALIDATED,
                **{f"_{name}": spec.default for name, spec in cls.fields.items()},
                "discriminator": None,
            },
            "_cls": cls,
        }
        # A subclass may have replaced a field by a property of its own.
        self._values = {
            name: f"held['_{name}']" if isinstance(getattr(cls, name), _Field) else f"self.{name}"
            for name in cls.fields
        }

    @once
    def construct(self) -> Callable[..., None]:
        """The constructor."""
        cls = self._cls
        names: dict[str, Any] = {}
        for index, spec in enumerate(cls.fields.values()):
            names[f"_spec{index}"] = spec
            names[f"_enum{index}"] = frozenset(spec.enum or ())
            names[f"_default{index}"] = spec.default
        construct: Callable[..., None] = self._made("construct", _constructor_source(cls), names)
        construct.__name__, construct.__qualname__ = "__init__", f"{cls.__qualname__}.__init__"
        return construct

    @once
    def read(self) -> Callable[[dict[str, Any]], Any]:
        """Make a model from decoded JSON, which it consumes."""
        fields = self._cls.fields
        readers = {
            f"_read{index}": read_date_or_datetime if spec.with_time else reader(spec.type)
            for index, spec in enumerate(fields.values())
        }
        read: Callable[[dict[str, Any]], Any] = self._made("read", _reader_source(fields), readers)
        return read

    @once
    def write(self) -> Callable[..., dict[str, Any]]:
        """`Model.to_wire`."""
        fields = self._cls.fields
        names: dict[str, Any] = {"_newer": frozenset(name for name, spec in fields.items() if spec.since is not None)}
        for index, spec in enumerate(fields.values()):
            names[f"_default{index}"] = spec.default
            names[f"_write{index}"] = None if is_free(spec.type) else _writer(spec.type)
        write: Callable[..., dict[str, Any]] = self._made("write", _writer_source(fields, self._values), names)
        return write

    @once
    def to_dict(self) -> Callable[[Any], dict[str, Any]]:
        """`Model.to_dict`."""
        to_dict: Callable[[Any], dict[str, Any]] = self._made("to_dict", _to_dict_source(self._values), {})
        return to_dict

    def _made(self, name: str, source: list[str], names: dict[str, Any]) -> Callable[..., Any]:
        """The function that a source defines, as in `dataclasses`."""
        names = {**_NAMES, **self._names, **names}
        exec(compile("\n".join(source), f"<{self._cls.__name__}>", "exec"), names)
        made: Callable[..., Any] = names[name]
        return made


class Model:
    """An object of the API.

    The values live in the instance's ``__dict__`` as ``_name``, in the order of the constructor. A field left out of
    the constructor has its default; `None`, given or assigned, is not sent. `ubiops.NULL` sends ``null`` where the API
    accepts it. A dict for a nested model becomes that model.

    Raises:
        ApiValueError: A value that the schema rules out, in the constructor or by assignment.
    """

    openapi_types: ClassVar[dict[str, str]] = {}
    attribute_map: ClassVar[dict[str, str]] = {}
    fields: ClassVar[dict[str, Spec]] = {}
    discriminator: Any = None
    additional_properties: Mapping[str, Any] = MappingProxyType({})
    explicit_nulls: frozenset[str] = frozenset()
    # The fields with a default that may be withheld for which the program passed a value. Classes with such fields
    # have a slot for it, so that `vars` shows no more than before; a slot that isn't set has no value.
    explicit_values: frozenset[str] = frozenset()
    __signature__ = _Signature()
    _is_body: ClassVar[bool] = False
    _excludes: ClassVar[tuple[str, ...]] = ()
    # Whether some fields depend on others.
    _has_rules: ClassVar[bool] = False
    # The fields whose default isn't sent in a body of newer clients.
    _withholds: ClassVar[frozenset[str]] = frozenset()
    _read_only: ClassVar[frozenset[str]] = frozenset()
    _compiled: ClassVar[Compiled | None] = None

    def __init_subclass__(
        cls,
        body: bool = False,
        read_only: tuple[str, ...] | None = None,
        excludes: tuple[str, ...] = (),
        alone: bool = False,
    ) -> None:
        """Declare a schema. The fields are those of the base, then its own; or its own alone, if all of the base's are.

        Args:
            body: Whether only requests carry it, no answer does.
            read_only: Fields that only the schemas have in which the server returns the same resource.
            excludes: Fields of which one at most may be given.
            alone: Whether the fields are its own alone, whatever those of the base are.
        """
        super().__init_subclass__()
        declared = {name: spec for name, spec in cls.__dict__.items() if isinstance(spec, Spec)}
        if read_only is not None:
            cls._read_only = frozenset(read_only)
        if body:
            cls._is_body = True
        if excludes:
            cls._excludes = excludes
        if not declared:
            return
        alone = alone or declared.keys() >= cls.fields.keys()
        cls.fields = declared if alone else {**cls.fields, **declared}
        cls._withholds = frozenset(name for name, spec in cls.fields.items() if spec.withheld)
        cls._has_rules = bool(cls._excludes) or any(spec.required_unless for spec in cls.fields.values())
        cls.openapi_types = {name: spec.type for name, spec in cls.fields.items()}
        cls.attribute_map = {name: name for name in cls.fields}
        for name, spec in declared.items():
            setattr(cls, name, _Field(attrgetter(f"_{name}"), _setter(name, spec)))
        if "__init__" not in cls.__dict__:
            _set_init(cls, Model.__init__)

    def __init__(self, *values: Any, **named: Any) -> None:
        cls = type(self)
        construct = cls.compiled().construct
        if cls is not Model and cls.__dict__.get("__init__") is Model.__init__:
            # From now on it is called directly.
            _set_init(cls, construct)
        construct(self, *values, **named)

    @classmethod
    def compiled(cls) -> Compiled:
        """The functions made for this class."""
        compiled: Compiled | None = cls.__dict__.get("_compiled")
        if compiled is None:
            compiled = cls._compiled = Compiled(cls)
        return compiled

    if not TYPE_CHECKING:
        # Type checkers would accept any name as an attribute.

        def __setattr__(self, name: str, value: Any) -> None:
            if not name.startswith("_") and not hasattr(type(self), name):
                hint = nearest_hint(name, type(self).fields, _ALIKE)
                if hint:
                    warnings.warn(f"{type(self).__name__} has no field `{name}`{hint}", stacklevel=2)
            object.__setattr__(self, name, value)

    @property
    def local_vars_configuration(self) -> Any:
        """The settings of this model: `client_side_validation` says whether assignments are checked."""
        held = vars(self)
        setting = held.get("local_vars_configuration", VALIDATED)
        if isinstance(setting, SharedValidation):
            setting = held["local_vars_configuration"] = Validation(setting.client_side_validation)
        return setting

    @local_vars_configuration.setter
    def local_vars_configuration(self, setting: Any) -> None:
        vars(self)["local_vars_configuration"] = setting

    @classmethod
    def from_dict(cls: type[M], value: Mapping[str, Any]) -> M:
        """Make a model from a dict, such as one from `to_dict` or `to_json`.

        A model that the API returns is read like an answer: nothing is checked, and text becomes dates. One that only
        requests carry is checked and gets its defaults, as in the constructor.

        Args:
            value: The fields by name; nested models as dicts.

        Raises:
            ApiTypeError: It isn't a dict.
            ApiValueError: The schema of a request's body rules it out.
        """
        if not isinstance(value, Mapping):
            raise ApiTypeError(
                f"Invalid value for `value` when calling `{cls.__name__}.from_dict`, "
                f"must be dict, not {type(value).__name__}"
            )
        if not cls._is_body:
            return cls.from_wire(value)
        try:
            return cls.from_input(value)
        except Invalid as error:
            raise _naming_class(error, cls) from None

    @classmethod
    def from_input(cls: type[M], value: Any, *, warn: bool = True) -> M:
        """The model for a caller's dict, or for a model of another class.

        Raises:
            Invalid: The schema rules it out; the path leads to the field.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, (Model, Mapping)):
            raise Invalid(f"must be {cls.__name__} or dict, not {type(value).__name__}")
        given = value.given() if isinstance(value, Model) else value
        self = cls.__new__(cls)
        held = vars(self)
        held["local_vars_configuration"] = VALIDATED
        for name, spec in cls.fields.items():
            held[f"_{name}"] = _accept(self, name, spec, given[name] if name in given else spec.left_out())
        held["discriminator"] = None
        if cls._withholds:
            self.explicit_values = cls._withholds & given.keys()
        if cls._has_rules:
            _check_rules(self)
        unknown = {name: item for name, item in given.items() if name not in cls.fields}
        if unknown:
            _keep_unknown(self, unknown, warn=warn)
        return self

    @classmethod
    def from_wire(cls: type[M], value: Mapping[str, Any]) -> M:
        """The model that a decoded JSON object describes, read tolerantly: nothing is checked."""
        # A copy: the reader consumes what it is given.
        model: M = cls.compiled().read(copied(dict(value)))
        return model

    def given(self) -> dict[str, Any]:
        """The fields as they are, with NULL where it was set."""
        given = {name: getattr(self, name) for name in type(self).fields}
        given.update(dict.fromkeys(self.explicit_nulls, NULL))
        if not isinstance(self.additional_properties, Received):
            given.update(self.additional_properties)
        return given

    def to_wire(self, plain: Plain | None = None, *, withhold: bool = False) -> dict[str, Any]:
        """The fields to send; dicts are read as the models that they stand for.

        Args:
            plain: Converts values for which JSON has no type to plain data; by default they stay as they are.
            withhold: Leave out the defaults that only 3.12 sends. A body with a field that 3.12 doesn't know is always
                sent without them.
        """
        return self.compiled().write(self, plain, withhold)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name, nested models as dicts; it shares no container with the model."""
        return self.compiled().to_dict(self)

    def to_str(self) -> str:
        """Return the fields, pretty-printed, with their values, credentials included."""
        from ubiops.display.masking import pretty

        return pretty(self.to_dict())

    def to_json(self) -> str:
        """Return all fields as JSON, nested models as objects, dates as text (ISO 8601).

        Raises:
            ApiValueError: A value can't be represented in JSON.
        """
        try:
            return write_json(self.to_dict()).decode()
        except Invalid as error:
            raise _naming_class(error, type(self)) from None

    def __str__(self) -> str:
        return self.to_str()

    def __repr__(self) -> str:
        # Reports, loggers and notebooks show it, so it must not contain credentials.
        from ubiops.display.masking import masked_text

        return masked_text(self)

    def _repr_html_(self) -> str:
        from ubiops.display.html import model_table

        return model_table(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.to_dict() == other.to_dict() and self.explicit_nulls == other.explicit_nulls

    def __deepcopy__(self: M, memo: dict[int, Any]) -> M:
        twin = memo[id(self)] = type(self).__new__(type(self))
        held = vars(twin)
        for name, value in vars(self).items():
            held[name] = copied(value, memo)
        if explicit := _explicit(self):
            twin.explicit_values = explicit
        return twin

    def __getstate__(self) -> dict[str, Any]:
        explicit = _explicit(self)
        return {**vars(self), "explicit_values": explicit} if explicit else vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # It may have been pickled by an older release, without the newer fields.
        held = vars(self)
        held["local_vars_configuration"] = VALIDATED
        held.update({f"_{name}": state.get(f"_{name}") for name in type(self).fields})
        held.update(state)
        if "explicit_values" in held:
            self.explicit_values = held.pop("explicit_values")


class _Field(property):
    """A field of a model, as an attribute of its class."""


def __getattr__(name: str) -> Any:
    if name == "ModelList":
        # The class of lists in pickles of 3.12.1.
        return list
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _explicit(self: Model) -> frozenset[str]:
    explicit: frozenset[str] = getattr(self, "explicit_values", _NONE)
    return explicit


def _note_explicit(self: Model, **values: Any) -> None:
    self.explicit_values = frozenset(_given(**values))


def _given(**values: Any) -> dict[str, Any]:
    """The arguments that were not left out."""
    return {name: value for name, value in values.items() if value is not _LEFT_OUT}


def _set_init(cls: type[Model], init: Callable[..., None]) -> None:
    cls.__init__ = init  # type: ignore[method-assign]


def _setter(name: str, spec: Spec) -> Callable[[Model, Any], None]:
    private = f"_{name}"

    def set_field(self: Model, value: Any) -> None:
        held = vars(self)
        before, held[private] = held.get(private), accept(self, name, spec, value)
        if spec.withheld:
            self.explicit_values = _explicit(self) | {name}
        if type(self)._has_rules and _validates(self):
            try:
                _check_rules(self, name)
            except Invalid as error:
                held[private] = before
                raise _naming_class(error, type(self)) from None

    return set_field


def _check_rules(self: Model, changed: str | None = None) -> None:
    """Check the fields that depend on others: all of them, or what the change of one may break."""
    cls, held = type(self), vars(self)
    for name, spec in cls.fields.items():
        unless = spec.required_unless
        if unless is None or changed not in (None, name, unless):
            continue
        if held[f"_{name}"] is None and held[f"_{unless}"] is None:
            raise Invalid("must not be `None`", name)
    given = [name for name in cls._excludes if held[f"_{name}"] is not None]
    if len(given) > 1:
        raise Invalid(f"must not be given with `{given[0]}`: one excludes the other", given[-1])


def accept(self: Model, name: str, spec: Spec, value: Any) -> Any:
    """The value to keep for a field.

    Raises:
        ApiValueError: The schema rules the value out.
    """
    try:
        return _accept(self, name, spec, value)
    except Invalid as error:
        raise _naming_class(error, type(self)) from None


def _accept(self: Model, name: str, spec: Spec, value: Any) -> Any:
    if self.explicit_nulls:
        self.explicit_nulls -= {name}
    if _validates(self):
        try:
            value = spec.accept(value)
        except Invalid as error:
            raise error.under(name) from None
    if value is NULL:
        self.explicit_nulls |= {name}
        return None
    return value


def _check_rules_of_new(self: Model) -> None:
    try:
        _check_rules(self)
    except Invalid as error:
        raise _naming_class(error, type(self)) from None


def _validates(self: Model) -> bool:
    # Bypasses the property, which would give each model a setting of its own.
    validates: bool = vars(self).get("local_vars_configuration", VALIDATED).client_side_validation
    return validates


def _naming_class(error: Invalid, cls: type[Model]) -> ApiValueError:
    return ApiValueError(f"Invalid value for `{error.place()}`, {error.problem} ({cls.__name__})")


def _construct_unvalidated(self: Model, values: list[Any], unknown: dict[str, Any]) -> None:
    held = vars(self)
    held["local_vars_configuration"] = UNVALIDATED
    for (name, spec), value in zip(type(self).fields.items(), values, strict=True):
        held[f"_{name}"] = _accept(self, name, spec, value)
    held["discriminator"] = None
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
    # Loops, not comprehensions, which take another frame per level on Python 3.10 and 3.11: answers may nest deeply.
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        items = []
        for item in value:
            items.append(_to_dict(item))
        return items
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            result[key] = _to_dict(item)
        return result
    return value


# Compiling


# Names that the functions of every class use.
_NAMES: dict[str, Any] = {
    "__name__": __name__,
    "_accept": accept,
    "_atoms": ATOMS,
    "_bool": bool,
    "_check_rules": _check_rules_of_new,
    "_copied": copied,
    "_datetime": datetime.datetime,
    "_dict": dict,
    "_float": float,
    "_from_iso": datetime.datetime.fromisoformat,
    "_inf": math.inf,
    "_int": int,
    "_explicit": _explicit,
    "_given": _given,
    "_Invalid": Invalid,
    "_keep_unknown": _keep_unknown,
    "_left_out": _LEFT_OUT,
    "_len": len,
    "_new": object.__new__,
    "_note_explicit": _note_explicit,
    "_NULL": NULL,
    "_plain": _to_dict,
    "_Received": Received,
    "_simple": frozenset({bool, datetime.date, datetime.datetime, float, int, str, type(None)}),
    "_str": str,
    "_type": type,
    "_unvalidated": _construct_unvalidated,
    "_VALIDATED": VALIDATED,
}


def _constructor_source(cls: type[Model]) -> list[str]:
    # The values go into `__dict__`, bypassing `__setattr__`, which checks what programs set; omitted ones all at once.
    fields = cls.fields
    withheld = {name: index for index, (name, spec) in enumerate(fields.items()) if spec.withheld}
    named = ", ".join(f"{name}={name}" for name in withheld)
    parameters = [
        "self",
        *(f"{name}={'_left_out' if name in withheld else f'_default{index}'}" for index, name in enumerate(fields)),
    ]
    passed = ["self", *(f"{name}={name}" for name in fields if name not in withheld)]
    passed += ["local_vars_configuration=local_vars_configuration", *([f"**_given({named})"] if withheld else [])]
    lines = [
        f"def construct({', '.join([*parameters, 'local_vars_configuration=None', '**unknown'])}):",
        "    if _type(self) is not _cls:",
        f"        return self.compiled().construct({', '.join(passed)}, **unknown)",
    ]
    if withheld:
        lines += [f"    if not ({' is '.join([*withheld, '_left_out'])}): _note_explicit(self, {named})"]
        lines += [f"    if {name} is _left_out: {name} = _default{index}" for name, index in withheld.items()]
    for index, (name, spec) in enumerate(fields.items()):
        if isinstance(spec.default, (dict, list)):
            lines += [f"    if {name} is _default{index}: {name} = _copied({name})"]
    lines += [
        "    if local_vars_configuration is not None and not local_vars_configuration.client_side_validation:",
        f"        return _unvalidated(self, [{', '.join(fields)}], unknown)",
        "    held = self.__dict__",
        "    held.update(_blank)",
    ]
    for index, (name, spec) in enumerate(fields.items()):
        default = "None" if spec.default is None else f"_default{index}"
        lines += [
            f"    if {'True' if spec.required else f'{name} is not {default}'}:",
            f"        if {_doubt(index, name, spec)}: {name} = _accept(self, {name!r}, _spec{index}, {name})",
            f"        held['_{name}'] = {name}",
        ]
    lines += [f"    if {broken}: _check_rules(self)" for broken in _rules_source(cls)]
    return [*lines, "    if unknown: _keep_unknown(self, unknown)"]


def _rules_source(cls: type[Model]) -> list[str]:
    """The conditions under which fields that depend on others break a rule."""
    broken = [
        f"{name} is None and {spec.required_unless} is None"
        for name, spec in cls.fields.items()
        if spec.required_unless
    ]
    given = " + ".join(f"({name} is not None)" for name in cls._excludes)
    return [*broken, f"{given} > 1"] if given else broken


def _doubt(index: int, name: str, spec: Spec) -> str:
    """The condition under which a value needs the full check: cheap, and true whenever it isn't sure."""
    # The constructor only checks values other than the default, so None comes here only if the default isn't None.
    optional = f"{name} is not None and " if spec.default is not None else ""
    if spec.type == "object":
        return f"{name} is _NULL or {name} is None"
    expected = {"datetime": f"_type({name}) is not _datetime and _type({name}) is not _str"}
    expected.update({kind: f"_type({name}) is not _{kind}" for kind in ("str", "int", "bool", "float")})
    if value_type(spec.type) and is_free(spec.type):
        expected[spec.type] = f"_type({name}) is not _dict"
    doubts = [expected.get(spec.type, "True")]
    if spec.type == "float":
        doubts.append(f"not -_inf < {name} < _inf")
    if spec.enum:
        doubts.append(f"{name} not in _enum{index}")
    if spec.type == "str" and spec.min_length == 1:
        doubts.append(f"not {name}")
    bounds = {
        f"_len({name}) <": None if spec.type == "str" and spec.min_length == 1 else spec.min_length,
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
        "    held = self.__dict__",
        "    pop = data.pop",
        "    held['local_vars_configuration'] = _VALIDATED",
    ]
    if any(spec.withheld for spec in fields.values()):
        lines += ["    self.explicit_values = _cls._withholds & data.keys()"]
    for index, (name, spec) in enumerate(fields.items()):
        if reader(spec.type) is None:
            lines += [f"    held['_{name}'] = pop({name!r}, None)"]
            continue
        lines += [f"    value = pop({name!r}, None)"]
        if spec.type == "datetime":
            lines += [
                "    if value is not None:",
                "        try: value = _from_iso(value)",
                f"        except (TypeError, ValueError): value = _read{index}(value)",
            ]
        else:
            lines += [f"    if value is not None: value = _read{index}(value)"]
        lines += [f"    held['_{name}'] = value"]
    for name, spec in fields.items():
        if spec.read_from is not None:
            lines += [f"    if held['_{name}'] is None: held['_{name}'] = held['_{spec.read_from}']"]
    return [
        *lines,
        "    held['discriminator'] = None",
        "    if data: held['additional_properties'] = _Received(data)",
        "    return self",
    ]


def _writer_source(fields: Mapping[str, Spec], values: Mapping[str, str]) -> list[str]:
    lines = [
        "def write(self, plain=None, withhold=False):",
        "    held = self.__dict__",
        "    wire = {}",
    ]
    if not all(is_free(spec.type) for spec in fields.values()):
        lines += ["    validates = held['local_vars_configuration'].client_side_validation"]
    for index, (name, spec) in enumerate(fields.items()):
        lines += [f"    value = {values[name]}"]
        if is_free(spec.type):
            lines += [f"    if value is not None: wire[{name!r}] = {_plain_or('value')}"]
        else:
            lines += [
                "    if value is not None:",
                f"        try: wire[{name!r}] = _write{index}(value, plain) if validates else {_plain_or('value')}",
                f"        except _Invalid as error: raise error.under({name!r}) from None",
            ]
    withheld = {name: index for index, (name, spec) in enumerate(fields.items()) if spec.withheld}
    if withheld:
        lines += ["    if withhold or not _newer.isdisjoint(wire):"]
        lines += [
            f"        if wire.get({name!r}) == _default{index} and {name!r} not in _explicit(self): del wire[{name!r}]"
            for name, index in withheld.items()
        ]
    return [
        *lines,
        # `__dict__` has more entries than every instance has.
        "    if _len(held) > _len(_blank):",
        "        wire.update(_dict.fromkeys(self.explicit_nulls))",
        "        if _type(self.additional_properties) is not _Received:",
        "            value = _dict(self.additional_properties)",
        f"            wire.update({_plain_or('value')})",
        "    return wire",
    ]


def _plain_or(value: str) -> str:
    """A value as it is or, with `plain`, in the form that JSON can carry."""
    return f"{value} if plain is None or _type({value}) in _atoms else plain({value})"


def _to_dict_source(values: Mapping[str, str]) -> list[str]:
    items = [
        f"        {name!r}: value if _type(value := {value}) in _simple else _plain(value),"
        for name, value in values.items()
    ]
    return [
        "def to_dict(self):",
        "    held = self.__dict__",
        "    result = {",
        *items,
        "    }",
        "    if _len(held) > _len(_blank) and _type(self.additional_properties) is not _Received:",
        "        result.update(_plain(_dict(self.additional_properties)))",
        "    return result",
    ]


def _writer(type_name: str) -> Writer:
    """The writer of a value that contains models."""
    items, values = item_type(type_name), value_type(type_name)
    if items is not None:
        return _list_writer(_writer(items))
    if values is not None:
        return _dict_writer(_writer(values))
    cls = model_class(type_name)
    write_model = cls.compiled().write

    def write(value: Any, plain: Plain | None) -> Any:
        # A dict, or a model of another class, stands for the one that is expected.
        return write_model(value, plain) if type(value) is cls else cls.from_input(value).to_wire(plain)

    return write


def _list_writer(write_item: Writer) -> Writer:
    def write(items: Any, plain: Plain | None) -> Any:
        wire: list[Any] = []
        try:
            for item in items:
                wire.append(write_item(item, plain))
        except Invalid as error:
            raise error.under(len(wire)) from None
        return wire

    return write


def _dict_writer(write_value: Writer) -> Writer:
    def write(values: Any, plain: Plain | None) -> Any:
        wire: dict[str, Any] = {}
        for key, value in values.items():
            try:
                wire[key] = write_value(value, plain)
            except Invalid as error:
                raise error.under(key) from None
        return wire

    return write
