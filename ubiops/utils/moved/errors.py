from ubiops.utils import exceptions
from ubiops.utils.exceptions import *  # noqa: F403


def MissingExtra(library: str, extra: str, purpose: str) -> exceptions.MissingExtra:  # noqa: N802 - as it was named
    return exceptions.MissingExtra(library, purpose)
