"""Keeps the client's frames out of error reports: their arguments and locals contain credentials and what was sent.

Test runners and crash reporters show those of every frame that an error passed through, and of its causes.
"""

from __future__ import annotations

import sys
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

from ubiops.exceptions import UbiOpsException, causes_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["keeps_frames", "one_frame", "without_frames"]

E = TypeVar("E", bound=BaseException)
F = TypeVar("F", bound="Callable[..., Any]")

_OURS = frozenset({"ubiops", "urllib3"})
_GENERATOR = 0x20


def one_frame(function: F) -> F:
    """Let errors leave a function from one frame, without its arguments.

    With `Configuration.debug` of the client that is its first argument, or its ``self``, they keep all their frames.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if keeps_frames(args):
                raise
            del args, kwargs
            raise without_frames(error)  # noqa: B904 - it is the same error

    def generate(*args: Any, **kwargs: Any) -> Any:
        try:
            return (yield from function(*args, **kwargs))
        except Exception as error:
            if keeps_frames(args):
                raise
            del args, kwargs
            raise without_frames(error)  # noqa: B904 - it is the same error

    wrapper = generate if function.__code__.co_flags & _GENERATOR else call
    return update_wrapper(wrapper, function)  # type: ignore[return-value]


def without_frames(error: E) -> E:
    """The error, without the client's frames and those below them; its causes likewise.

    The frames of the program's own code stay, such as those of a hook that failed.
    """
    if not isinstance(error, UbiOpsException) and not _ends_elsewhere(error.__traceback__):
        # Perhaps a defect of the client, whose report needs the frames.
        _add_note_once(error, "The frames of the client are left out: configuration.debug = True keeps them")
    chain: list[BaseException] = [error, *causes_of(error)]
    for one in chain:
        one.__traceback__ = _joined(_of_others(one.__traceback__))
    return error


def keeps_frames(args: tuple[Any, ...]) -> bool:
    """Whether the client that is a function's first argument, or its attribute, keeps the frames of errors."""
    first = args[0] if args else None
    client = getattr(first, "api_client", first)
    # Not for a double, all of whose attributes are true.
    return getattr(getattr(client, "configuration", None), "debug", False) is True


def _ends_elsewhere(traceback: TracebackType | None) -> bool:
    others = _of_others(traceback)
    return bool(others) and others[-1].tb_next is None


def _add_note_once(error: BaseException, note: str) -> None:
    if hasattr(error, "add_note") and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _of_others(traceback: TracebackType | None) -> list[TracebackType]:
    """The frames of a traceback that belong neither to the client nor to what it called."""
    kept: list[TracebackType] = []
    inside = False
    while traceback is not None:
        package = str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0]
        inside = package in _OURS or (inside and package in sys.stdlib_module_names)
        if not inside:
            kept.append(traceback)
        traceback = traceback.tb_next
    return kept


def _joined(tracebacks: list[TracebackType]) -> TracebackType | None:
    following = None
    for one in reversed(tracebacks):
        one.tb_next, following = following, one
    return following
