"""The IPython extension: after ``%load_ext ubiops`` a list of models is shown as a table, as a single model is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ubiops.display.html import list_table
from ubiops.display.masking import is_model

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Show lists of models as tables; IPython calls it for ``%load_ext ubiops``.

    Args:
        ipython: The running shell.
    """
    _html(ipython).for_type(list, _table)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Show lists as their text again; IPython calls it for ``%unload_ext ubiops``."""
    _html(ipython).pop(list, None)


def _html(ipython: InteractiveShell) -> Any:
    return ipython.display_formatter.formatters["text/html"]  # type: ignore[union-attr]


def _table(items: list[Any]) -> str | None:
    # None: any other list is shown as its text.
    return list_table(items) if any(map(is_model, items)) else None
