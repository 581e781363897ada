"""Models as pandas data frames."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ubiops.display.masking import masked
from ubiops.model import Model
from ubiops.utils.arguments import wrong_type
from ubiops.utils.exceptions import MissingExtra

if TYPE_CHECKING:
    from pandas import DataFrame, Series


Item = Model | Mapping[str, Any]

__all__ = ["to_dataframe"]


def to_dataframe(items: Item | Iterable[Item], *, flatten: Iterable[str] = ("request_data", "result")) -> DataFrame:
    """A pandas data frame with a row for each model; needs pandas.

    The columns are the fields, in the order of the API, then those that this client doesn't know. Dates become
    ``datetime64`` in the zone that they came in, or in UTC where the zones of a column differ; None becomes ``NaT``.
    Other values stay as they are, nested models become dicts. Credentials (bucket credentials, passwords, tokens, the
    values of secret environment variables, the signatures of URLs) show as ``***``; in dicts they are recognised by the
    API's names for them.

    Args:
        items: Models or dicts, such as the answer of a list method or `paginate`; or a single one.
        flatten: Fields whose dicts are spread over columns: the ``y`` of a ``result`` becomes the column ``result.y``.
            By default the data and results of requests; ``()`` for none.

    Returns:
        The frame. Without items it is empty, without columns.

    Raises:
        MissingExtra: pandas isn't installed.
        ApiTypeError: An item is neither a model nor a dict.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtra("pandas", "to_dataframe") from None
    given = list(_each(items))
    rows = [masked(item) for item in given]
    spread = {flatten} if isinstance(flatten, str) else set(flatten)
    models = {type(item) for item in given if isinstance(item, Model)}
    dates = {name for model in models for name, kind in model.openapi_types.items() if kind == "datetime"}
    columns: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        columns.update(_flattened(name, values) if name in spread else {name: values})
    series = {name: _series(values, name in dates) for name, values in columns.items()}
    frame: DataFrame = pandas.DataFrame(series, index=range(len(rows)))
    return frame


def _each(items: Any) -> Iterator[Item]:
    if isinstance(items, (Model, Mapping)):
        yield items
        return
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise wrong_type("items", "to_dataframe", "a model, a dict or an iterable of them", items)
    for index, item in enumerate(items):
        if not isinstance(item, (Model, Mapping)):
            raise wrong_type(f"items[{index}]", "to_dataframe", "a model or a dict", item)
        yield item


def _flattened(name: str, values: Sequence[Any]) -> dict[str, list[Any]]:
    """The columns for the dicts among some values; other values stay in a column of the plain name."""
    columns: dict[str, list[Any]] = {}
    for index, value in enumerate(values):
        for column, part in _leaves(name, value):
            columns.setdefault(column, [None] * len(values))[index] = part
    return columns or {name: list(values)}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _leaves(f"{name}.{key}", part)
    elif value is not None:
        yield name, value


def _series(values: list[Any], is_date: bool) -> Series[Any]:
    """A column: of dates, if it contains nothing else."""
    from pandas import Series
    from pandas.errors import OutOfBoundsDatetime

    given = [value for value in values if value is not None]
    all_dates = all(isinstance(value, datetime.datetime) for value in given) and (given or is_date)
    series: Series[Any]
    try:
        series = Series(values, dtype=_date_type(given) if all_dates else None)
    except OutOfBoundsDatetime:
        # Older versions of pandas count in nanoseconds, which end in the year 2262.
        series = Series(values, dtype=object)
    return series


def _date_type(moments: Iterable[datetime.datetime]) -> Any:
    """The type of a column of datetimes, in microseconds as they are."""
    from pandas import DatetimeTZDtype

    zones = {moment.tzinfo for moment in moments} or {datetime.timezone.utc}
    if None in zones:
        # Moments with and without a zone have no common type.
        return "datetime64[us]" if len(zones) == 1 else object
    return DatetimeTZDtype("us", zones.pop() if len(zones) == 1 else datetime.timezone.utc)
