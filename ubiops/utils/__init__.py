"""What users otherwise write by hand around the client, in one call each, imported on first use."""

from importlib import import_module

# Type checkers take it for the one in `typing`, which costs an import.
TYPE_CHECKING = False

_MODULES = {
    "BuildFailed": "ubiops.utils.errors",
    "InvalidInput": "ubiops.utils.errors",
    "InvalidPackage": "ubiops.utils.errors",
    "MappedRequest": "ubiops.utils.request_map",
    "MissingExtra": "ubiops.utils.errors",
    "RequestFailed": "ubiops.utils.errors",
    "RequestsInDoubt": "ubiops.utils.errors",
    "TransferFailed": "ubiops.utils.errors",
    "WaitError": "ubiops.utils.errors",
    "WaitTimeout": "ubiops.utils.errors",
    "download_file": "ubiops.utils.file_operations",
    "map_requests": "ubiops.utils.request_batches",
    "progress": "ubiops.utils.progress_bar",
    "upload_file": "ubiops.utils.file_operations",
}
_SUBMODULES = ("file_operations",)

__all__ = [
    "BuildFailed",
    "InvalidInput",
    "InvalidPackage",
    "MappedRequest",
    "MissingExtra",
    "RequestFailed",
    "RequestsInDoubt",
    "TransferFailed",
    "WaitError",
    "WaitTimeout",
    "download_file",
    "map_requests",
    "progress",
    "upload_file",
]

if TYPE_CHECKING:
    from ubiops.utils import file_operations as file_operations
    from ubiops.utils.errors import (
        BuildFailed,
        InvalidInput,
        InvalidPackage,
        MissingExtra,
        RequestFailed,
        RequestsInDoubt,
        TransferFailed,
        WaitError,
        WaitTimeout,
    )
    from ubiops.utils.file_operations import download_file, upload_file
    from ubiops.utils.progress_bar import progress
    from ubiops.utils.request_batches import map_requests
    from ubiops.utils.request_map import MappedRequest
else:

    def __getattr__(name):
        if name in _MODULES:
            value = getattr(import_module(_MODULES[name]), name)
        elif name in _SUBMODULES:
            value = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
