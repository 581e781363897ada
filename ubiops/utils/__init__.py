"""What users otherwise write by hand around the client, in one call each, imported on first use."""

from importlib import import_module

# Type checkers take it for the one in `typing`, which costs an import.
TYPE_CHECKING = False

_MODULES = {
    "BuildFailed": "ubiops.utils.errors",
    "InvalidPackage": "ubiops.utils.errors",
    "MissingExtra": "ubiops.utils.errors",
    "RequestFailed": "ubiops.utils.errors",
    "TransferFailed": "ubiops.utils.errors",
    "WaitError": "ubiops.utils.errors",
    "WaitTimeout": "ubiops.utils.errors",
    "download_file": "ubiops.utils.file_operations",
    "plot_metrics": "ubiops.utils.plots",
    "plot_pipeline": "ubiops.utils.pipeline_plot",
    "progress": "ubiops.utils.progress_bar",
    "to_dataframe": "ubiops.utils.frames",
    "upload_file": "ubiops.utils.file_operations",
}
_SUBMODULES = ("file_operations",)

__all__ = [
    "BuildFailed",
    "InvalidPackage",
    "MissingExtra",
    "RequestFailed",
    "TransferFailed",
    "WaitError",
    "WaitTimeout",
    "download_file",
    "plot_metrics",
    "plot_pipeline",
    "progress",
    "to_dataframe",
    "upload_file",
]

if TYPE_CHECKING:
    from ubiops.utils import file_operations as file_operations
    from ubiops.utils.errors import (
        BuildFailed,
        InvalidPackage,
        MissingExtra,
        RequestFailed,
        TransferFailed,
        WaitError,
        WaitTimeout,
    )
    from ubiops.utils.file_operations import download_file, upload_file
    from ubiops.utils.frames import to_dataframe
    from ubiops.utils.pipeline_plot import plot_pipeline
    from ubiops.utils.plots import plot_metrics
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
