"""What users otherwise write by hand around the client, in one call each, imported on first use."""

from importlib import import_module

# Type checkers take it for the one in `typing`, which costs an import.
TYPE_CHECKING = False

_MODULES = {
    "BuildFailed": "ubiops.utils.errors",
    "IncompleteTransfer": "ubiops.utils.errors",
    "InvalidPackage": "ubiops.utils.errors",
    "MissingExtra": "ubiops.utils.errors",
    "RequestFailed": "ubiops.utils.errors",
    "TransferFailed": "ubiops.utils.errors",
    "UbiOpsFile": "ubiops.utils.file_uri",
    "WaitError": "ubiops.utils.errors",
    "WaitTimeout": "ubiops.utils.errors",
    "download_file": "ubiops.utils.file_operations",
    "download_files": "ubiops.utils.file_operations",
    "handle_file_input": "ubiops.utils.file_operations",
    "progress": "ubiops.utils.progress_bar",
    "upload_file": "ubiops.utils.file_operations",
    "upload_files": "ubiops.utils.file_operations",
}
_SUBMODULES = ("file_operations",)

__all__ = [
    "BuildFailed",
    "IncompleteTransfer",
    "InvalidPackage",
    "MissingExtra",
    "RequestFailed",
    "TransferFailed",
    "UbiOpsFile",
    "WaitError",
    "WaitTimeout",
    "download_file",
    "download_files",
    "handle_file_input",
    "progress",
    "upload_file",
    "upload_files",
]

if TYPE_CHECKING:
    from ubiops.utils import file_operations as file_operations
    from ubiops.utils.errors import (
        BuildFailed,
        IncompleteTransfer,
        InvalidPackage,
        MissingExtra,
        RequestFailed,
        TransferFailed,
        WaitError,
        WaitTimeout,
    )
    from ubiops.utils.file_operations import (
        download_file,
        download_files,
        handle_file_input,
        upload_file,
        upload_files,
    )
    from ubiops.utils.file_uri import UbiOpsFile
    from ubiops.utils.progress_bar import progress
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
