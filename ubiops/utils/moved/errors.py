from ubiops.utils import exceptions
from ubiops.utils.exceptions import *  # noqa: F403


def MissingExtra(library: str, extra: str, purpose: str) -> exceptions.MissingExtra:  # type: ignore[no-redef]
    return exceptions.MissingExtra(library, purpose)
