"""What users otherwise write by hand around the client, in one call each, imported on first use."""

from importlib import import_module

# Type checkers take it for the one in `typing`, which costs an import.
TYPE_CHECKING = False

_MODULES = {
    "BuildFailed": "ubiops.utils.errors",
    "IncompleteTransfer": "ubiops.utils.errors",
    "InvalidInput": "ubiops.utils.errors",
    "InvalidPackage": "ubiops.utils.errors",
    "MappedRequest": "ubiops.utils.batches.request_map",
    "MetricPoint": "ubiops.utils.measurements",
    "MissingExtra": "ubiops.utils.errors",
    "PackageInfo": "ubiops.utils.package_checks",
    "PackageZip": "ubiops.utils.package_files",
    "RequestFailed": "ubiops.utils.errors",
    "RequestsInDoubt": "ubiops.utils.errors",
    "TransferFailed": "ubiops.utils.errors",
    "UbiOpsFile": "ubiops.utils.file_uri",
    "UpsertFailed": "ubiops.utils.errors",
    "WaitError": "ubiops.utils.errors",
    "WaitTimeout": "ubiops.utils.errors",
    "default_zip_name": "ubiops.utils.package_files",
    "deploy": "ubiops.utils.deployment",
    "download_file": "ubiops.utils.file_operations",
    "download_files": "ubiops.utils.file_operations",
    "files_present_in_dir": "ubiops.utils.package_files",
    "handle_file_input": "ubiops.utils.file_operations",
    "list_files": "ubiops.utils.package_files",
    "map_requests": "ubiops.utils.batches.map_requests",
    "metrics": "ubiops.utils.measurements",
    "paginate": "ubiops.utils.pagination",
    "plot_metrics": "ubiops.utils.plots",
    "plot_pipeline": "ubiops.utils.pipeline_plot",
    "progress": "ubiops.utils.progress_bar",
    "run_local": "ubiops.utils.local_runs",
    "tail_logs": "ubiops.utils.log_lines",
    "to_dataframe": "ubiops.utils.frames",
    "upload_file": "ubiops.utils.file_operations",
    "upload_files": "ubiops.utils.file_operations",
    "upsert_environment_variables": "ubiops.utils.variables",
    "validate_package": "ubiops.utils.package_checks",
    "validate_requirements_file": "ubiops.utils.package_checks",
    "wait_for_deployment_request": "ubiops.utils.waiting",
    "wait_for_deployment_version": "ubiops.utils.waiting",
    "wait_for_deployment_version_request": "ubiops.utils.waiting",
    "wait_for_export": "ubiops.utils.waiting",
    "wait_for_import": "ubiops.utils.waiting",
    "wait_for_pipeline_request": "ubiops.utils.waiting",
    "wait_for_pipeline_version_request": "ubiops.utils.waiting",
    "wait_for_revision": "ubiops.utils.waiting",
    "zip_dir": "ubiops.utils.package_files",
    "zip_package": "ubiops.utils.package_files",
}
_SUBMODULES = ("file_operations",)

__all__ = [
    "BuildFailed",
    "IncompleteTransfer",
    "InvalidInput",
    "InvalidPackage",
    "MappedRequest",
    "MetricPoint",
    "MissingExtra",
    "PackageInfo",
    "PackageZip",
    "RequestFailed",
    "RequestsInDoubt",
    "TransferFailed",
    "UbiOpsFile",
    "UpsertFailed",
    "WaitError",
    "WaitTimeout",
    "default_zip_name",
    "deploy",
    "download_file",
    "download_files",
    "files_present_in_dir",
    "handle_file_input",
    "list_files",
    "map_requests",
    "metrics",
    "paginate",
    "plot_metrics",
    "plot_pipeline",
    "progress",
    "run_local",
    "tail_logs",
    "to_dataframe",
    "upload_file",
    "upload_files",
    "upsert_environment_variables",
    "validate_package",
    "validate_requirements_file",
    "wait_for_deployment_request",
    "wait_for_deployment_version",
    "wait_for_deployment_version_request",
    "wait_for_export",
    "wait_for_import",
    "wait_for_pipeline_request",
    "wait_for_pipeline_version_request",
    "wait_for_revision",
    "zip_dir",
    "zip_package",
]

if TYPE_CHECKING:
    from ubiops.utils import file_operations as file_operations
    from ubiops.utils.batches.map_requests import map_requests
    from ubiops.utils.batches.request_map import MappedRequest
    from ubiops.utils.deployment import deploy
    from ubiops.utils.errors import (
        BuildFailed,
        IncompleteTransfer,
        InvalidInput,
        InvalidPackage,
        MissingExtra,
        RequestFailed,
        RequestsInDoubt,
        TransferFailed,
        UpsertFailed,
        WaitError,
        WaitTimeout,
    )
    from ubiops.utils.file_operations import download_file, download_files, handle_file_input, upload_file, upload_files
    from ubiops.utils.file_uri import UbiOpsFile
    from ubiops.utils.frames import to_dataframe
    from ubiops.utils.local_runs import run_local
    from ubiops.utils.log_lines import tail_logs
    from ubiops.utils.measurements import MetricPoint, metrics
    from ubiops.utils.package_checks import PackageInfo, validate_package, validate_requirements_file
    from ubiops.utils.package_files import (
        PackageZip,
        default_zip_name,
        files_present_in_dir,
        list_files,
        zip_dir,
        zip_package,
    )
    from ubiops.utils.pagination import paginate
    from ubiops.utils.pipeline_plot import plot_pipeline
    from ubiops.utils.plots import plot_metrics
    from ubiops.utils.progress_bar import progress
    from ubiops.utils.variables import upsert_environment_variables
    from ubiops.utils.waiting import (
        wait_for_deployment_request,
        wait_for_deployment_version,
        wait_for_deployment_version_request,
        wait_for_export,
        wait_for_import,
        wait_for_pipeline_request,
        wait_for_pipeline_version_request,
        wait_for_revision,
    )
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
