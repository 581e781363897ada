"""What users otherwise write by hand around the client, in one call each, imported on first use."""

from importlib import import_module

# Type checkers take it for the one in `typing`, which costs an import.
TYPE_CHECKING = False

_MODULES = {
    "BuildFailed": "ubiops.utils.exceptions",
    "IncompleteStream": "ubiops.utils.exceptions",
    "IncompleteTransfer": "ubiops.utils.exceptions",
    "InvalidInput": "ubiops.utils.exceptions",
    "InvalidPackage": "ubiops.utils.exceptions",
    "MappedRequest": "ubiops.utils.batches.results",
    "MetricClient": "ubiops.utils.metrics.metric_client",
    "MetricPoint": "ubiops.utils.metrics.measurements",
    "MissingExtra": "ubiops.utils.exceptions",
    "PackageInfo": "ubiops.utils.validate",
    "PackageZip": "ubiops.utils.package_operations",
    "RequestFailed": "ubiops.utils.exceptions",
    "RequestsInDoubt": "ubiops.utils.exceptions",
    "TransferFailed": "ubiops.utils.exceptions",
    "UbiOpsFile": "ubiops.utils.files.uri",
    "UpsertFailed": "ubiops.utils.exceptions",
    "WaitError": "ubiops.utils.exceptions",
    "WaitTimeout": "ubiops.utils.exceptions",
    "abs_path": "ubiops.utils.package_operations",
    "default_zip_name": "ubiops.utils.package_operations",
    "deploy": "ubiops.utils.deployment",
    "deploy_environment": "ubiops.utils.environment",
    "download_file": "ubiops.utils.file_operations",
    "download_files": "ubiops.utils.file_operations",
    "files_present_in_dir": "ubiops.utils.package_operations",
    "handle_file_input": "ubiops.utils.file_operations",
    "list_files": "ubiops.utils.package_operations",
    "map_requests": "ubiops.utils.batches.map_requests",
    "metrics": "ubiops.utils.metrics",
    "paginate": "ubiops.utils.pagination",
    "plot_metrics": "ubiops.utils.show.metrics_plot",
    "plot_pipeline": "ubiops.utils.show.pipeline_plot",
    "progress": "ubiops.utils.progress_bar",
    "run_local": "ubiops.utils.run_local",
    "stream_deployment_request": "ubiops.utils.streaming",
    "stream_pipeline_request": "ubiops.utils.streaming",
    "tail_logs": "ubiops.utils.log_lines",
    "to_dataframe": "ubiops.utils.show.frames",
    "to_table": "ubiops.utils.show.table",
    "upload_file": "ubiops.utils.file_operations",
    "upload_files": "ubiops.utils.file_operations",
    "upsert_environment_variables": "ubiops.utils.variables",
    "validate_package": "ubiops.utils.validate",
    "validate_requirements_file": "ubiops.utils.validate",
    "validate_yaml_file": "ubiops.utils.validate",
    "wait_for_deployment_request": "ubiops.utils.wait_for",
    "wait_for_deployment_version": "ubiops.utils.wait_for",
    "wait_for_deployment_version_request": "ubiops.utils.wait_for",
    "wait_for_environment": "ubiops.utils.wait_for",
    "wait_for_experiment": "ubiops.utils.wait_for",
    "wait_for_experiment_run": "ubiops.utils.wait_for",
    "wait_for_export": "ubiops.utils.wait_for",
    "wait_for_import": "ubiops.utils.wait_for",
    "wait_for_pipeline_request": "ubiops.utils.wait_for",
    "wait_for_pipeline_version_request": "ubiops.utils.wait_for",
    "wait_for_revision": "ubiops.utils.wait_for",
    "zip_dir": "ubiops.utils.package_operations",
    "zip_package": "ubiops.utils.package_operations",
}
# The modules `metrics` and `run_local` are called as the functions of their names.
_SUBMODULES = (
    "exceptions",
    "file_operations",
    "metrics",
    "package_operations",
    "run_local",
    "validate",
    "validators",
    "wait_for",
)

__all__ = [
    "BuildFailed",
    "IncompleteStream",
    "IncompleteTransfer",
    "InvalidInput",
    "InvalidPackage",
    "MappedRequest",
    "MetricClient",
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
    "abs_path",
    "default_zip_name",
    "deploy",
    "deploy_environment",
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
    "stream_deployment_request",
    "stream_pipeline_request",
    "tail_logs",
    "to_dataframe",
    "to_table",
    "upload_file",
    "upload_files",
    "upsert_environment_variables",
    "validate_package",
    "validate_requirements_file",
    "validate_yaml_file",
    "wait_for_deployment_request",
    "wait_for_deployment_version",
    "wait_for_deployment_version_request",
    "wait_for_environment",
    "wait_for_experiment",
    "wait_for_experiment_run",
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
    from ubiops.utils.batches.results import MappedRequest
    from ubiops.utils.deployment import deploy
    from ubiops.utils.environment import deploy_environment
    from ubiops.utils.exceptions import (
        BuildFailed,
        IncompleteStream,
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
    from ubiops.utils.files.uri import UbiOpsFile
    from ubiops.utils.log_lines import tail_logs
    from ubiops.utils.metrics import metrics
    from ubiops.utils.metrics.measurements import MetricPoint
    from ubiops.utils.metrics.metric_client import MetricClient
    from ubiops.utils.package_operations import (
        PackageZip,
        abs_path,
        default_zip_name,
        files_present_in_dir,
        list_files,
        zip_dir,
        zip_package,
    )
    from ubiops.utils.pagination import paginate
    from ubiops.utils.progress_bar import progress
    from ubiops.utils.run_local import run_local
    from ubiops.utils.show.frames import to_dataframe
    from ubiops.utils.show.metrics_plot import plot_metrics
    from ubiops.utils.show.pipeline_plot import plot_pipeline
    from ubiops.utils.show.table import to_table
    from ubiops.utils.streaming import stream_deployment_request, stream_pipeline_request
    from ubiops.utils.validate import PackageInfo, validate_package, validate_requirements_file, validate_yaml_file
    from ubiops.utils.variables import upsert_environment_variables
    from ubiops.utils.wait_for import (
        wait_for_deployment_request,
        wait_for_deployment_version,
        wait_for_deployment_version_request,
        wait_for_environment,
        wait_for_experiment,
        wait_for_experiment_run,
        wait_for_export,
        wait_for_import,
        wait_for_pipeline_request,
        wait_for_pipeline_version_request,
        wait_for_revision,
    )
else:

    def __getattr__(name):
        if name in _SUBMODULES:
            value = import_module(f"{__name__}.{name}")
        elif name in _MODULES:
            value = getattr(import_module(_MODULES[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
