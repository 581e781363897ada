"""Makes a module callable as the function of its name: newer clients have both under one name."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__all__ = ["make_callable"]


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Looked up at each call, since a test may have replaced it.
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **kwargs)


def make_callable(name: str) -> None:
    """Let a module be called as the function of its own name, so ``utils.run_local`` may be either.

    Args:
        name: The ``__name__`` of the module, which has the function.
    """
    module = sys.modules[name]
    module.__class__ = _CallableModule
    # Read by `inspect.signature`.
    module.__dict__["__wrapped__"] = getattr(module, name.rpartition(".")[2])
