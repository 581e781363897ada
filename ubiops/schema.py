"""The types of the API: check a caller's value, read a value from the wire, write one to it. No I/O.

Types have the names that the generator uses: ``str``, ``int``, ``float``, ``bool``, ``object`` (any JSON), ``date``,
``datetime``, ``list[T]``, ``dict(str, T)``, or the name of a model. An answer may have one of two types, distinguished
by its shape: ``list[T] | U``.
"""

from __future__ import annotations

import datetime
import enum
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from operator import is_
from typing import TYPE_CHECKING, Any, Final

from ubiops.importing import imported

if TYPE_CHECKING:
    from ubiops.model import Model

__all__ = ["NULL", "Invalid", "Null", "Spec"]


class Null:
    """The type of `NULL`, which sends ``null``; `None` means "not given"."""

    __slots__ = ()

    def __new__(cls) -> Null:
        return NULL if "NULL" in globals() else super().__new__(cls)

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NULL"

    def __reduce__(self) -> str:
        return "NULL"


NULL: Final = Null()

# The types of values that JSON can represent as they are.
ATOMS = frozenset({bool, float, int, str, type(None)})
# Up to this many items, a loop over them is faster than operations on the whole list.
_FEW = 16


class Invalid(Exception):
    """A value that its schema rules out; `path` leads to it from the caller's value."""

    def __init__(self, problem: str, *path: str | int) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = list(path)

    def under(self, part: str | int) -> Invalid:
        """The same, seen from the container that has the value under `part`."""
        self.path.insert(0, part)
        return self

    def place(self) -> str:
        """The path as Python would write it: ``data.input_fields[0].name``."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text


class Spec:
    """The schema of one field or parameter.

    Attributes:
        type: Name of the type.
        required: Whether it must be given.
        nullable: Whether it accepts null.
        default: Its value if it is left out.
        enum: The values that it accepts.
        min_length, max_length: Bounds of its length.
        minimum, maximum: Bounds of its value.
        since: The first client that had it, such as ``4.6``; None for 3.12 and older.
        withheld: Whether its default isn't sent in a body with a field that 3.12 doesn't know.
        required_unless: The field that makes this one, otherwise required, optional if it is given.
        read_from: The field whose value is used if an answer lacks this one.
        with_time: Whether a date that is read may have a time.
    """

    __slots__ = (
        "default",
        "enum",
        "max_length",
        "maximum",
        "min_length",
        "minimum",
        "nullable",
        "read_from",
        "required",
        "required_unless",
        "since",
        "type",
        "with_time",
        "withheld",
    )

    def __init__(
        self,
        type: str,
        *,
        required: bool = False,
        nullable: bool = False,
        default: Any = None,
        enum: Sequence[Any] | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        since: str | None = None,
        withheld: bool = False,
        required_unless: str | None = None,
        read_from: str | None = None,
        with_time: bool = False,
    ) -> None:
        self.type = type
        self.required = required
        self.nullable = nullable
        self.default = default
        self.enum = enum
        self.min_length = min_length
        self.max_length = max_length
        self.minimum = minimum
        self.maximum = maximum
        self.since = since
        self.withheld = withheld
        self.required_unless = required_unless
        self.read_from = read_from
        self.with_time = with_time

    def left_out(self) -> Any:
        """The value if it is left out: the default, never a container shared with another model."""
        return copied(self.default) if isinstance(self.default, (dict, list)) else self.default

    def accept(self, value: Any) -> Any:
        """The value to keep: a dict, or a model of another class, is converted to the expected model.

        Raises:
            Invalid: The schema rules the value out.
        """
        if value is None:
            if self.required:
                raise Invalid("must not be `None`")
            return None
        if value is NULL:
            if not self.nullable:
                raise Invalid("must not be NULL: the API doesn't accept null here")
            return NULL
        value = acceptor(self.type)(value)
        self._check_bounds(_value_of(value))
        return value

    def _check_bounds(self, value: Any) -> None:
        if self.enum is not None and value not in self.enum:
            raise Invalid(f"must be one of {list(self.enum)}, not {value!r}")
        if self.min_length is not None or self.max_length is not None:
            self._check_length(len(value) if hasattr(value, "__len__") else len(write_text(value)))
        if self.minimum is not None and value < self.minimum:
            raise Invalid(f"must be a value greater than or equal to `{self.minimum}`, not {value!r}")
        if self.maximum is not None and value > self.maximum:
            raise Invalid(f"must be a value less than or equal to `{self.maximum}`, not {value!r}")

    def _check_length(self, length: int) -> None:
        if self.min_length is not None and length < self.min_length:
            raise Invalid(f"length must be greater than or equal to `{self.min_length}`, not {length}")
        if self.max_length is not None and length > self.max_length:
            raise Invalid(f"length must be less than or equal to `{self.max_length}`, not {length}")


def nearest_hint(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """What to append to a message about an unknown name: the most similar known name, if any is similar.

    Args:
        name: The unknown name.
        known: The known ones.
        cutoff: The minimum similarity, from 0 to 1 (equal).
    """
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), 1, cutoff)
    return f"; did you mean `{near[0]}`?" if near else ""


@cache
def model_class(name: str) -> type[Model]:
    """The model of that name; its module is imported on first use."""
    cls: type[Model] = imported("ubiops.models", name)
    return cls


def alternatives(name: str) -> list[str]:
    """The types, one or two, that an answer may have."""
    return name.split(" | ")


def item_type(name: str) -> str | None:
    """The ``T`` of ``list[T]``; None for any other type."""
    return name[5:-1] if name.startswith("list[") and name.endswith("]") else None


def value_type(name: str) -> str | None:
    """The ``T`` of ``dict(str, T)``; None for any other type."""
    return name[10:-1] if name.startswith("dict(str, ") else None


def is_free(type_name: str) -> bool:
    """Whether values of the type contain no models, so that they are written as they are."""
    inner = item_type(type_name) or value_type(type_name)
    return is_free(inner) if inner else type_name in _CHECKERS


# Accepting


@cache
def acceptor(type_name: str) -> Callable[[Any], Any]:
    """The function that returns the value to keep for a caller's value, or raises `Invalid` if it has another type."""
    if is_free(type_name):
        return _unchanged(_checker(type_name))
    items = item_type(type_name)
    if items is not None:
        return _list_acceptor(type_name, acceptor(items))
    values = value_type(type_name)
    return model_class(type_name).from_input if values is None else _dict_acceptor(acceptor(values))


def _unchanged(check: Callable[[Any], None]) -> Callable[[Any], Any]:
    def accept(value: Any) -> Any:
        check(value)
        return value

    return accept


def _list_acceptor(type_name: str, accept: Callable[[Any], Any]) -> Callable[[Any], Any]:
    check_items = _list_checker(type_name, _check_object)

    def accept_list(value: Any) -> Any:
        check_items(value)
        kept: list[Any] = []
        for item in value:
            try:
                kept.append(accept(item))
            except Invalid as error:
                raise error.under(len(kept)) from None
        # The caller's own list, if it contains models already: what is added to it later is sent too.
        return value if all(map(is_, kept, value)) else kept

    return accept_list


def _dict_acceptor(accept: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def accept_dict(value: Any) -> Any:
        _check_dict(value)
        kept: dict[Any, Any] = {}
        for key, item in value.items():
            try:
                kept[key] = accept(item)
            except Invalid as error:
                raise error.under(key) from None
        return value if all(map(is_, kept.values(), value.values())) else kept

    return accept_dict


# Checking


def _checker(type_name: str) -> Callable[[Any], None]:
    """The function that raises `Invalid` for a value that isn't of the type, a type without models."""
    items = item_type(type_name)
    if items is not None:
        return _list_checker(type_name, _checker(items))
    return _CHECKERS[type_name] if value_type(type_name) is None else _check_dict


def refuse_no_value(value: Any) -> None:
    """Raise `Invalid` for values that mean a missing value, such as NaN, NaT and pandas' NA."""
    try:
        missing = bool(value != value)
    except (ArithmeticError, TypeError):
        # NA is equal to nothing and unequal to nothing; a signalling NaN can't be compared.
        missing = True
    except ValueError:
        # An array.
        missing = False
    if missing:
        raise Invalid(f"is {value!r}, which means a missing value: pass None or leave it out")


def _wrong_type(expected: str, value: Any) -> Invalid:
    try:
        shown = repr(value)
    except Exception:
        # An int with more digits than Python converts to text, or an object whose repr fails.
        return Invalid(f"must be {expected}, not {type(value).__name__}")
    if len(shown) > 60:
        shown = f"{shown[:57]}..."
    return Invalid(f"must be {expected}, not {type(value).__name__} ({shown})")


def _check_str(value: Any) -> None:
    if isinstance(value, str):
        return
    refuse_no_value(value)
    if not isinstance(_value_of(value), (str, datetime.date)) and not _is_uuid(value):
        raise _wrong_type("str", value)


def _is_uuid(value: Any) -> bool:
    # If the module isn't loaded, there are no UUIDs, and loading it takes as long as the rest of this one.
    uuid = sys.modules.get("uuid")
    return uuid is not None and isinstance(value, uuid.UUID)


def _is_integral(value: Any) -> bool:
    if isinstance(value, int):
        return True
    # Numbers that aren't Python's own are rare, and the module takes a while to load.
    from numbers import Integral

    return isinstance(value, Integral) and not _is_duration(value)


def _is_real(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return True
    from numbers import Real

    return isinstance(value, Real) and not _is_duration(value)


def _is_duration(value: Any) -> bool:
    # NumPy registers its durations as integers.
    return type(value).__name__ == "timedelta64"


def _check_int(value: Any) -> None:
    if isinstance(value, bool) or not _is_integral(_value_of(value)):
        refuse_no_value(value)
        raise _wrong_type("int", value)


def _check_float(value: Any) -> None:
    number = _value_of(value)
    if isinstance(number, bool) or not _is_real(number):
        refuse_no_value(value)
        raise _wrong_type("float", value)
    try:
        finite = math.isfinite(number)
    except OverflowError:
        raise Invalid("must be a number that fits a float, at most about 1.8e308") from None
    if not finite:
        raise Invalid(f"must be a finite number, not {value!r}, which JSON can't represent")


def _check_bool(value: Any) -> None:
    if not isinstance(value, bool):
        refuse_no_value(value)
        raise _wrong_type("bool", value)


def _check_datetime(value: Any) -> None:
    refuse_no_value(value)
    if not isinstance(value, (str, datetime.date)):
        raise _wrong_type("datetime or str (ISO 8601)", value)


def _check_date(value: Any) -> None:
    refuse_no_value(value)
    if not isinstance(value, (str, datetime.date)):
        raise _wrong_type("date or str (ISO 8601)", value)


def _check_dict(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _wrong_type("dict", value)


def _check_object(value: Any) -> None:
    """Accept anything; values that JSON can't represent are found when they are written."""


def _list_checker(type_name: str, check: Callable[[Any], None]) -> Callable[[Any], None]:
    def check_list(value: Any) -> None:
        if not isinstance(value, (list, tuple)):
            raise _wrong_type(type_name, value)
        for index, item in enumerate(value):
            try:
                check(item)
            except Invalid as error:
                raise error.under(index) from None

    return check_list


_CHECKERS: dict[str, Callable[[Any], None]] = {
    "str": _check_str,
    "int": _check_int,
    "float": _check_float,
    "bool": _check_bool,
    "datetime": _check_datetime,
    "date": _check_date,
    "object": _check_object,
    "file": _check_object,
}


# Reading


@cache
def reader(type_name: str) -> Callable[[Any], Any] | None:
    """The function that makes a Python value from decoded JSON; None if the value is used as it is.

    A reader is tolerant: a value of another type than in the schema is returned as it is. It may consume the
    containers that it is passed, so that a large answer isn't in memory twice.
    """
    if type_name in _READERS:
        return _READERS[type_name]
    if type_name in _CHECKERS or type_name in ("bytes", "long"):
        return None
    if len(alternatives(type_name)) > 1:
        return _union_reader(alternatives(type_name))
    items, values = item_type(type_name), value_type(type_name)
    if items is not None:
        read_item = reader(items)
        if read_item is None:
            return None
        return _list_reader(read_item)
    if values is not None:
        read_value = reader(values)
        return None if read_value is None else _dict_reader(read_value)
    return _model_reader(model_class(type_name))


def _model_reader(cls: type[Model]) -> Callable[[Any], Any]:
    read_model = cls.compiled().read

    def read(value: Any) -> Any:
        return read_model(value) if type(value) is dict else value

    return read


def _union_reader(type_names: list[str]) -> Callable[[Any], Any]:
    readers = {list if item_type(name) else dict: reader(name) for name in type_names}

    def read(value: Any) -> Any:
        read_value = readers.get(type(value))
        return value if read_value is None else read_value(value)

    return read


def _list_reader(read_item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is list:
            for index, item in enumerate(value):
                value[index] = read_item(item)
        return value

    return read


def _dict_reader(read_value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is dict:
            for key, item in value.items():
                value[key] = read_value(item)
        return value

    return read


def read_datetime(value: Any) -> Any:
    """A `datetime` with the zone in the text, if any; a value that can't be read is returned as it is."""
    if not isinstance(value, str):
        return value
    try:
        # Python 3.10 doesn't know the Z.
        return datetime.datetime.fromisoformat(f"{value[:-1]}+00:00" if value.endswith("Z") else value)
    except ValueError:
        return _read_iso(value)


def _read_iso(value: str) -> Any:
    # isoparser, not parse: parse would fill the missing parts of a date with today's.
    from dateutil.parser import isoparser

    try:
        moment = isoparser().isoparse(value.strip())
        # Parsed again, so that the zone is one of the standard library in any case.
        return datetime.datetime.fromisoformat(moment.isoformat())
    except (ValueError, OverflowError):
        return value


def read_date(value: Any) -> Any:
    """A `date`; a value that can't be read is returned as it is."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.date.fromisoformat(value)
    except ValueError:
        moment = read_datetime(value)
        return moment.date() if isinstance(moment, datetime.datetime) else value


def read_date_or_datetime(value: Any) -> Any:
    """A `date` if the text has no time, else a `datetime`; a value that can't be read is returned as it is."""
    has_time = isinstance(value, str) and len(value) > len("2022-11-03")
    return read_datetime(value) if has_time else read_date(value)


def read_float(value: Any) -> Any:
    """A `float`, even if JSON has a whole number; a value that isn't a number is returned as it is."""
    try:
        return float(value) if type(value) is int else value
    except OverflowError:
        return value


_READERS: dict[str, Callable[[Any], Any]] = {"date": read_date, "datetime": read_datetime, "float": read_float}


# Writing


def _value_of(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


def write_text(value: Any) -> str:
    """A value in the form of a path, query, header or form parameter; booleans as ``True`` and ``False``.

    Raises:
        Invalid: It means a missing value, or is an int with more digits than Python converts to text.
    """
    value = _value_of(value)
    refuse_no_value(value)
    try:
        return value.isoformat() if isinstance(value, datetime.date) else str(value)
    except ValueError as error:
        raise Invalid(f"can't be written as text: {error}") from error


def write_special(value: Any) -> Any:
    """Convert a value for which JSON has no type: the ``default`` of the encoder.

    Raises:
        TypeError: JSON can't represent it.
        Invalid: It means a missing value.
    """
    if value is NULL:
        return None
    wire = getattr(value, "to_wire", None)
    if wire is not None:
        return wire()
    refuse_no_value(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if _is_uuid(value):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    # Scalars of NumPy and similar libraries; those of Python never come here.
    if _is_integral(value):
        return int(value)
    if _is_real(value):
        return float(value)
    raise TypeError(f"JSON can't represent {type(value).__name__}")


_encoder = json.JSONEncoder(default=write_special, allow_nan=False)


def write_json(value: Any) -> bytes:
    """Encode a value as JSON.

    Raises:
        Invalid: JSON can't represent something in it; the path leads to it.
    """
    try:
        return _encoder.encode(value).encode()
    except (Invalid, TypeError, ValueError, RecursionError) as error:
        with suppress(RecursionError):
            _find_unwritable(value, ())
        raise Invalid(f"can't be written as JSON: {error}") from error


def _find_unwritable(value: Any, above: tuple[int, ...]) -> None:
    """Raise `Invalid` for the first part of a value that JSON can't represent."""
    if value is None or isinstance(value, (str, int)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Invalid(f"is {value!r}, which JSON can't represent: send None or a number")
        return
    if id(value) in above:
        raise Invalid("contains itself: JSON can't represent a circular value")
    above = (*above, id(value))
    if isinstance(value, dict):
        parts: Any = value.items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    else:
        try:
            _find_unwritable(write_special(value), above)
        except TypeError:
            raise Invalid(f"is of type {type(value).__name__}: {_unwritable_hint(value)}") from None
        return
    for key, item in parts:
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise Invalid(f"has a key of type {type(key).__name__} ({key!r}): JSON accepts only strings")
        try:
            _find_unwritable(item, above)
        except Invalid as error:
            raise error.under(key if isinstance(key, int) else str(key)) from None


def _unwritable_hint(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "JSON can't represent it, send text (for instance base64) or a file"
    if isinstance(value, (set, frozenset)):
        return "JSON can't represent it, send a list"
    if hasattr(value, "tolist"):
        return "JSON can't represent it, send its .tolist()"
    return "JSON can't represent it"


def plain(value: Any) -> Any:
    """A value in the form that JSON can carry: models as dicts, dates as text; containers are new.

    Raises:
        TypeError: JSON can't represent it.
        Invalid: Something in it means a missing value, or a model contains a value that its schema rules out.
    """
    try:
        return _plain(value)
    except Invalid:
        _find_unwritable(value, ())
        raise


def _plain(value: Any) -> Any:
    # A container is copied whole, and items that aren't atoms are replaced in the copy: faster than item by item.
    kind = type(value)
    if kind is dict:
        twin: Any = value.copy()
        if len(value) <= _FEW or not ATOMS.issuperset(map(type, value.values())):
            for key in value:
                item = value[key]
                if type(item) not in ATOMS:
                    twin[key] = _plain(item)
        return twin
    if kind is list:
        twin = value.copy()
        if len(value) <= _FEW or not ATOMS.issuperset(map(type, value)):
            index = 0
            for item in value:
                if type(item) not in ATOMS:
                    twin[index] = _plain(item)
                index += 1  # noqa: SIM113 - enumerate takes longer for a few items
        return twin
    if kind in ATOMS:
        return value
    if isinstance(value, dict):
        return _plain(dict(value))
    if isinstance(value, list):
        return _plain(list(value))
    if isinstance(value, tuple):
        return tuple(_plain(list(value)))
    if isinstance(value, (str, int, float)) and not isinstance(value, enum.Enum):
        return value
    wire = getattr(value, "to_wire", None)
    return _plain(write_special(value)) if wire is None else wire(_plain)


# Copying


def copied(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """A deep copy like that of `copy.deepcopy`, but with half as many frames for nested JSON."""
    kind = type(value)
    if kind in ATOMS:
        return value
    if kind is not dict and kind is not list:
        import copy

        return copy.deepcopy(value, memo)
    memo = {} if memo is None else memo
    twin: Any = memo.get(id(value))
    if twin is None:
        twin = memo[id(value)] = kind()
        if kind is dict:
            for key, item in value.items():
                twin[key] = copied(item, memo)
        else:
            for item in value:
                twin.append(copied(item, memo))
    return twin
