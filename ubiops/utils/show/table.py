"""Lists of models as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ubiops.display.html import list_table
from ubiops.display.masking import masked
from ubiops.model import Model
from ubiops.utils.arguments import wrong_type

__all__ = ["Table", "to_table"]


class Table:
    """Models or dicts that a notebook shows as a table, without credentials."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __repr__(self) -> str:
        return repr([masked(item) for item in self._items])

    def _repr_html_(self) -> str:
        return list_table(self._items)


def to_table(items: Iterable[Model | Mapping[str, Any]]) -> Table:
    """Return a table for a notebook, with a row for each model and without credentials.

    After ``%load_ext ubiops`` every list of models is shown like this.

    Args:
        items: Models or dicts; of more than 20, the first and the last 10 are shown.

    Raises:
        ApiTypeError: An item is neither a model nor a dict.
    """
    if not isinstance(items, Iterable):
        raise wrong_type("items", "to_table", "models or dicts", items)
    shown = list(items)
    for index, item in enumerate(shown):
        if not isinstance(item, (Model, Mapping)):
            raise wrong_type(f"items[{index}]", "to_table", "a model or a dict", item)
    return Table(shown)
