"""What users otherwise write by hand around the client, in one call each, imported on first use."""

from importlib import import_module

# Type checkers take it for the one in `typing`, which costs an import.
TYPE_CHECKING = False

_MODULES = {
    "BuildFailed": "ubiops.utils.errors",
    "InvalidPackage": "ubiops.utils.errors",
    "MetricPoint": "ubiops.utils.measurements",
    "MissingExtra": "ubiops.utils.errors",
    "RequestFailed": "ubiops.utils.errors",
    "TransferFailed": "ubiops.utils.errors",
    "UpsertFailed": "ubiops.utils.errors",
    "WaitError": "ubiops.utils.errors",
    "WaitTimeout": "ubiops.utils.errors",
    "download_file": "ubiops.utils.file_operations",
    "metrics": "ubiops.utils.measurements",
    "paginate": "ubiops.utils.pagination",
    "progress": "ubiops.utils.progress_bar",
    "tail_logs": "ubiops.utils.log_lines",
    "upload_file": "ubiops.utils.file_operations",
    "upsert_environment_variables": "ubiops.utils.variables",
    "wait_for_deployment_request": "ubiops.utils.waiting",
    "wait_for_deployment_version": "ubiops.utils.waiting",
    "wait_for_deployment_version_request": "ubiops.utils.waiting",
    "wait_for_export": "ubiops.utils.waiting",
    "wait_for_import": "ubiops.utils.waiting",
    "wait_for_pipeline_request": "ubiops.utils.waiting",
    "wait_for_pipeline_version_request": "ubiops.utils.waiting",
    "wait_for_revision": "ubiops.utils.waiting",
}
_SUBMODULES = ("file_operations",)

__all__ = [
    "BuildFailed",
    "InvalidPackage",
    "MetricPoint",
    "MissingExtra",
    "RequestFailed",
    "TransferFailed",
    "UpsertFailed",
    "WaitError",
    "WaitTimeout",
    "download_file",
    "metrics",
    "paginate",
    "progress",
    "tail_logs",
    "upload_file",
    "upsert_environment_variables",
    "wait_for_deployment_request",
    "wait_for_deployment_version",
    "wait_for_deployment_version_request",
    "wait_for_export",
    "wait_for_import",
    "wait_for_pipeline_request",
    "wait_for_pipeline_version_request",
    "wait_for_revision",
]

if TYPE_CHECKING:
    from ubiops.utils import file_operations as file_operations
    from ubiops.utils.errors import (
        BuildFailed,
        InvalidPackage,
        MissingExtra,
        RequestFailed,
        TransferFailed,
        UpsertFailed,
        WaitError,
        WaitTimeout,
    )
    from ubiops.utils.file_operations import download_file, upload_file
    from ubiops.utils.log_lines import tail_logs
    from ubiops.utils.measurements import MetricPoint, metrics
    from ubiops.utils.pagination import paginate
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
