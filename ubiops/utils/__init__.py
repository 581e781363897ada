"""What users otherwise write by hand around the client, in one call each, imported on first use."""

from importlib import import_module

# Type checkers take it for the one in `typing`, which costs an import.
TYPE_CHECKING = False

_MODULES = {
    "BuildFailed": "ubiops.utils.errors",
    "IncompleteTransfer": "ubiops.utils.errors",
    "InvalidPackage": "ubiops.utils.errors",
    "MissingExtra": "ubiops.utils.errors",
    "PackageInfo": "ubiops.utils.package_checks",
    "PackageZip": "ubiops.utils.package_files",
    "RequestFailed": "ubiops.utils.errors",
    "TransferFailed": "ubiops.utils.errors",
    "UbiOpsFile": "ubiops.utils.file_uri",
    "WaitError": "ubiops.utils.errors",
    "WaitTimeout": "ubiops.utils.errors",
    "default_zip_name": "ubiops.utils.package_files",
    "download_file": "ubiops.utils.file_operations",
    "download_files": "ubiops.utils.file_operations",
    "files_present_in_dir": "ubiops.utils.package_files",
    "handle_file_input": "ubiops.utils.file_operations",
    "list_files": "ubiops.utils.package_files",
    "plot_metrics": "ubiops.utils.plots",
    "plot_pipeline": "ubiops.utils.pipeline_plot",
    "progress": "ubiops.utils.progress_bar",
    "run_local": "ubiops.utils.local_runs",
    "to_dataframe": "ubiops.utils.frames",
    "upload_file": "ubiops.utils.file_operations",
    "upload_files": "ubiops.utils.file_operations",
    "validate_package": "ubiops.utils.package_checks",
    "validate_requirements_file": "ubiops.utils.package_checks",
    "zip_dir": "ubiops.utils.package_files",
    "zip_package": "ubiops.utils.package_files",
}
_SUBMODULES = ("file_operations",)

__all__ = [
    "BuildFailed",
    "IncompleteTransfer",
    "InvalidPackage",
    "MissingExtra",
    "PackageInfo",
    "PackageZip",
    "RequestFailed",
    "TransferFailed",
    "UbiOpsFile",
    "WaitError",
    "WaitTimeout",
    "default_zip_name",
    "download_file",
    "download_files",
    "files_present_in_dir",
    "handle_file_input",
    "list_files",
    "plot_metrics",
    "plot_pipeline",
    "progress",
    "run_local",
    "to_dataframe",
    "upload_file",
    "upload_files",
    "validate_package",
    "validate_requirements_file",
    "zip_dir",
    "zip_package",
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
    from ubiops.utils.file_operations import download_file, download_files, handle_file_input, upload_file, upload_files
    from ubiops.utils.file_uri import UbiOpsFile
    from ubiops.utils.frames import to_dataframe
    from ubiops.utils.local_runs import run_local
    from ubiops.utils.package_checks import PackageInfo, validate_package, validate_requirements_file
    from ubiops.utils.package_files import (
        PackageZip,
        default_zip_name,
        files_present_in_dir,
        list_files,
        zip_dir,
        zip_package,
    )
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
