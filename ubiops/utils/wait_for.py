"""Wait for what the server does in the background: builds, requests, exports and imports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ubiops import models
from ubiops.exceptions import ApiException, NotFoundError
from ubiops.utils.answers import check_answer, check_list
from ubiops.utils.arguments import (
    Client,
    check_seconds,
    core_api,
    helper,
    utc,
)
from ubiops.utils.exceptions import BuildFailed, TransferFailed, WaitedRequestFailed, WaitError, WaitTimeout
from ubiops.utils.log_lines import LogReader, present
from ubiops.utils.polling import PASSING, Backoff, Outage
from ubiops.utils.progress_bar import Progress

if TYPE_CHECKING:
    from types import TracebackType

    from ubiops.api.core_api import CoreApi

__all__ = [
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
]

T = TypeVar("T")

_TIMEOUT = 1800
_LAST_LINES = 20

_FAILED = ("failed", "cancelled")
_ENDED = ("success", "available", *_FAILED)
"""The final statuses of builds, also of environment tags and of newer services' revisions, which have the same."""

_TRAINING = "training-base-deployment"
"""The deployment whose versions are the experiments of a project, and whose requests are their runs."""


# Builds


@helper
def wait_for_deployment_version(
    client: Client,
    project_name: str,
    deployment_name: str,
    version: str,
    revision_id: str | None = None,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> models.DeploymentVersionDetail:
    """Wait until a deployment version is built and ready for requests.

    Without `revision_id` it waits for the latest build, even if another package is uploaded in the meantime. A version
    without an upload is an error at once: upload first, then wait. It polls as `wait_for_revision` does.

    Args:
        client: The client to use.
        project_name: Name of the project.
        deployment_name: Name of the deployment.
        version: Name of the version.
        revision_id: Id of the uploaded package whose build to wait for, the ``revision`` that
            `revisions_file_upload` returned; None for the latest.
        timeout: Seconds to wait; None for no limit. With 0 or less the state is checked once.
        quiet: Whether to show no progress.
        stream_logs: Whether to print the lines of the build's log to stdout, each once, as they come.

    Returns:
        The version, after its build has succeeded.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        BuildFailed: The build failed: ``last`` is the build, or the revision if the service tells its status;
            ``logs`` are its last 20 log lines.
        WaitTimeout: It didn't finish within `timeout`: ``last`` is the same, or the version if no build was seen.
        WaitError: The version has no package, or was deleted in the meantime.
        NotFoundError: There is no such project, deployment, version or revision.
        ApiException: The API refused a call, couldn't be reached for 5 minutes, or returned an unexpected answer.

    GET /projects/{project_name}/deployments/{deployment_name}/versions/{version} and its builds
    """
    what = f"The build of version {version} of deployment {deployment_name}"
    with _Wait("wait_for_deployment_version", client, project_name, what, timeout, quiet) as wait:
        return _Builds(wait, deployment_name, version, stream_logs).wait(revision_id)


@helper
def wait_for_revision(
    client: Client,
    project_name: str,
    deployment_name: str,
    version: str,
    revision_id: str,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> models.RevisionList:
    """Wait until an uploaded package is built.

    It polls at once, again after 0.5 s, then at growing intervals, up to 10 s. Failing calls and lost connections are
    retried for up to 5 minutes. A server that hangs delays it beyond the timeout by at most the 5 s of the last call.

    Args:
        client: The client to use.
        project_name: Name of the project.
        deployment_name: Name of the deployment.
        version: Name of the version.
        revision_id: Id of the uploaded package, the ``revision`` that `revisions_file_upload` returned.
        timeout: Seconds to wait; None for no limit. With 0 or less the state is checked once.
        quiet: Whether to show no progress.
        stream_logs: Whether to print the lines of the build's log to stdout, each once, as they come.

    Returns:
        The revision, after its build has succeeded.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        BuildFailed: The build failed: ``last`` is the build, or the revision if the service tells its status;
            ``logs`` are its last 20 log lines.
        WaitTimeout: It didn't finish within `timeout`: ``last`` is the same as it was last seen.
        WaitError: The version was deleted in the meantime.
        NotFoundError: There is no such project, deployment, version or revision.
        ApiException: The API refused a call, couldn't be reached for 5 minutes, or returned an unexpected answer.

    GET /projects/{project_name}/deployments/{deployment_name}/versions/{version}/revisions/{revision_id} and its builds
    """
    what = f"The build of revision {revision_id} of version {version} of deployment {deployment_name}"
    with _Wait("wait_for_revision", client, project_name, what, timeout, quiet) as wait:
        builds = _Builds(wait, deployment_name, version, stream_logs)
        builds.wait_for_revision(revision_id)
        return wait.until(lambda seconds: builds.read_revision(revision_id, seconds), lambda _: True, attribute="id")


class _Latest(NamedTuple):
    """The last package of a version: the id of its build or, if the service has no builds, of its revision."""

    latest_build: str | None
    latest_revision: Any


class _Builds:
    """The builds of a version, to wait for."""

    def __init__(self, wait: _Wait, deployment_name: str, version: str, stream_logs: bool) -> None:
        self._wait = wait
        self._place = (deployment_name, version)
        self._stream_logs = stream_logs

    def wait(self, revision_id: str | None) -> models.DeploymentVersionDetail:
        """Wait for the build of a package, by default of the latest, and then until it is in service."""
        if revision_id is not None:
            self.wait_for_revision(revision_id)
        else:
            self.wait_for_latest()
        return self._wait.until(self.read_version, lambda found: found.status != "building")

    def read_version(self, seconds: float) -> models.DeploymentVersionDetail:
        return self._wait.api.deployment_versions_get(self._wait.project_name, *self._place, _request_timeout=seconds)

    def read_revision(self, revision_id: str, seconds: float) -> models.RevisionList:
        deployment_name, version = self._place
        return self._wait.api.revisions_get(
            self._wait.project_name, deployment_name, revision_id, version, _request_timeout=seconds
        )

    def wait_for_revision(self, revision_id: str) -> None:
        """Wait for the last build of a package."""
        self._check(self._ended(revision_id))

    def wait_for_latest(self) -> None:
        """Wait for the build of the last package; if another one is uploaded meanwhile, for that."""
        version, waited, ended = self._version(), None, None
        while waited != version:
            waited = version
            if version.latest_build is None:
                ended = self._ended(version.latest_revision)
            else:
                ended = self._finished(version.latest_build)
            version = self._version()
        self._check(ended)

    def _ended(self, revision_id: str) -> Any:
        """The last build of a package; for newer services, which have no builds, the package, which has its status."""

        def read(seconds: float) -> Any:
            return self.read_revision(revision_id, seconds)

        revision = self._wait.until(read, lambda _: True, attribute="id")
        if getattr(revision, "status", None) is not None:
            self._wait.follow_build({"deployment_version_revision_id": revision_id}, self._stream_logs)
            return self._wait.until(read, lambda found: found.status in _ENDED)

        def find(seconds: float) -> models.BuildList | None:
            answer = self._wait.api.builds_list(self._wait.project_name, *self._place, _request_timeout=seconds)
            builds = check_list("builds_list", answer, "id", "revision", "creation_date")
            found = [build for build in builds if build.revision == revision_id]
            if not found:
                return None
            newest: models.BuildList = max(found, key=lambda build: str(build.creation_date))
            return newest

        build = self._wait.until(find, lambda found: found is not None, attribute=None)
        assert build is not None
        return self._finished(str(build.id))

    def _version(self) -> _Latest:
        version: Any = self._wait.until(self.read_version, lambda _: True)
        latest = _Latest(getattr(version, "latest_build", None), getattr(version, "latest_revision", None))
        if latest == (None, None):
            deployment_name, name = self._place
            raise WaitError(
                f"Version {name} of deployment {deployment_name} has no package to build: "
                "upload one with `revisions_file_upload` first",
                version,
            )
        return latest

    def _finished(self, build_id: str) -> models.BuildList:
        deployment_name, version = self._place
        self._wait.follow_build({"build_id": build_id}, self._stream_logs)
        return self._wait.until(
            lambda seconds: self._wait.api.builds_get(
                self._wait.project_name, build_id, deployment_name, version, _request_timeout=seconds
            ),
            lambda build: build.status in _ENDED,
        )

    def _check(self, build: Any) -> None:
        if build.status in _FAILED:
            message = f"{self._wait.what} failed: {build.error_message or 'the server gave no reason'}"
            raise BuildFailed(message, build, self._wait.last_lines())


@helper
def wait_for_environment(
    client: Client,
    project_name: str,
    environment_name: str,
    tag_name: str | None = None,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> Any:
    """Wait until an environment is built: one of its tags, or its latest build if the service has no tags yet.

    It polls as `wait_for_revision` does.

    Args:
        client: The client to use.
        project_name: Name of the project.
        environment_name: Name of the environment.
        tag_name: Name of the tag (client 4.15); None for the latest build of the environment (3.15 to 4.14).
        timeout: Seconds to wait; None for no limit. With 0 or less the state is checked once.
        quiet: Whether to show no progress.
        stream_logs: Whether to print the lines of the build's log to stdout, each once, as they come.

    Returns:
        The tag, or the environment.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        BuildFailed: The build failed or was cancelled: ``last`` is the tag or the build.
        WaitTimeout: It didn't finish within `timeout`: ``last`` is the tag or the build as it was last seen.
        WaitError: Nothing was uploaded, or the environment has tags and `tag_name` is missing.
        NotFoundError: There is no such project, environment or tag.
        ApiException: The API refused a call, couldn't be reached for 5 minutes, or returned an unexpected answer.

    GET /projects/{project_name}/environments/{environment_name}/tags/{tag_name}
    """
    what = f"The build of environment {environment_name}" + ("" if tag_name is None else f":{tag_name}")
    with _Wait("wait_for_environment", client, project_name, what, timeout, quiet) as wait:
        place = (project_name, environment_name)
        # Operations of newer services, which older ones lack.
        api: Any = wait.api
        if tag_name is not None:
            wait.follow_build({"environment_name": environment_name, "environment_tag": tag_name}, stream_logs)
            built = wait.until(
                lambda seconds: api.environment_tags_get(*place, tag_name, _request_timeout=seconds),
                lambda tag: tag.status in _ENDED,
            )
            _check_built(wait, built)
            return built

        def read(seconds: float) -> Any:
            return api.environments_get(*place, _request_timeout=seconds)

        environment: Any = wait.until(read, lambda _: True, attribute="id")
        build_id, revision_id = (getattr(environment, f"latest_{kind}", None) for kind in ("build", "revision"))
        if build_id is None:
            hint = "nothing was uploaded to it, or it has tags: pass one as `tag_name`"
            raise WaitError(f"Environment {environment_name} has no build: {hint}", environment)
        wait.follow_build({"environment_build_id": build_id}, stream_logs)
        build = wait.until(
            lambda seconds: api.environment_builds_get(
                project_name, build_id, environment_name, str(revision_id), _request_timeout=seconds
            ),
            lambda found: found.status in _ENDED,
        )
        _check_built(wait, build)
        return wait.until(read, lambda _: True, attribute="id")


def _check_built(wait: _Wait, build: Any) -> None:
    if build.status in _FAILED:
        message = f"{wait.what} {build.status}: {build.error_message or 'the server gave no reason'}"
        raise BuildFailed(message, build, wait.last_lines())


@helper
def wait_for_experiment(
    client: Client,
    project_name: str,
    experiment_name: str,
    revision_id: str | None = None,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> models.DeploymentVersionDetail:
    """Wait until an experiment is ready for runs. An experiment is a version of the training deployment.

    Arguments, result and errors are those of `wait_for_deployment_version`, with the name of the experiment.

    GET /projects/{project_name}/deployments/training-base-deployment/versions/{version} and its revisions
    """
    what = f"Experiment {experiment_name}"
    with _Wait("wait_for_experiment", client, project_name, what, timeout, quiet) as wait:
        return _Builds(wait, _TRAINING, experiment_name, stream_logs).wait(revision_id)


@helper
def wait_for_experiment_run(
    client: Client,
    project_name: str,
    experiment_name: str,
    run_id: str,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> models.DeploymentRequestSingleDetail:
    """Wait until a run of an experiment is completed. A run is a request to the training deployment.

    Arguments, result and errors are those of `wait_for_deployment_version_request`, with the name of the experiment and
    the id of the run.

    GET /projects/{project_name}/deployments/training-base-deployment/versions/{version}/requests/{request_id}
    """
    what = f"Run {run_id} of experiment {experiment_name}"
    with _Wait("wait_for_experiment_run", client, project_name, what, timeout, quiet) as wait:
        wait.follow({"deployment_request_id": run_id}, stream_logs)
        finished: models.DeploymentRequestSingleDetail = _finished_request(
            wait,
            lambda **options: wait.api.deployment_version_requests_get(
                project_name, _TRAINING, run_id, experiment_name, **options
            ),
        )
        return finished


# Requests


@helper
def wait_for_deployment_request(
    client: Client,
    project_name: str,
    deployment_name: str,
    request_id: str,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> models.DeploymentRequestSingleDetail:
    """Wait until a request to the default version of a deployment is completed.

    It polls as `wait_for_revision` does. Its data and result are read once, at the end.

    Args:
        client: The client to use.
        project_name: Name of the project.
        deployment_name: Name of the deployment.
        request_id: Id of the request.
        timeout: Seconds to wait; None for no limit. With 0 or less the state is checked once.
        quiet: Whether to show no progress.
        stream_logs: Whether to print what is logged for the request to stdout, each line once, as it comes.

    Returns:
        The request, with its data and result.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        RequestFailed: It failed or was cancelled: ``last`` is the request.
        WaitTimeout: It didn't finish within `timeout`: ``last`` is the request as it was last seen.
        WaitError: It was deleted in the meantime.
        NotFoundError: There is no such request to the default version.
        ApiException: The API refused a call, couldn't be reached for 5 minutes, or returned an unexpected answer.

    GET /projects/{project_name}/deployments/{deployment_name}/requests/{request_id}
    """
    what = f"Request {request_id} to deployment {deployment_name}"
    with _Wait("wait_for_deployment_request", client, project_name, what, timeout, quiet) as wait:
        wait.follow({"deployment_request_id": request_id}, stream_logs)
        request: models.DeploymentRequestSingleDetail = _finished_request(
            wait,
            lambda **options: wait.api.deployment_requests_get(project_name, deployment_name, request_id, **options),
        )
        return request


@helper
def wait_for_deployment_version_request(
    client: Client,
    project_name: str,
    deployment_name: str,
    version: str,
    request_id: str,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> models.DeploymentRequestSingleDetail:
    """Wait until a request to a version of a deployment is completed, whether or not it is the default version.

    Arguments, result and errors are those of `wait_for_deployment_request`, with the name of the version.

    GET /projects/{project_name}/deployments/{deployment_name}/versions/{version}/requests/{request_id}
    """
    what = f"Request {request_id} to version {version} of deployment {deployment_name}"
    with _Wait("wait_for_deployment_version_request", client, project_name, what, timeout, quiet) as wait:
        wait.follow({"deployment_request_id": request_id}, stream_logs)
        request: models.DeploymentRequestSingleDetail = _finished_request(
            wait,
            lambda **options: wait.api.deployment_version_requests_get(
                project_name, deployment_name, request_id, version, **options
            ),
        )
        return request


@helper
def wait_for_pipeline_request(
    client: Client,
    project_name: str,
    pipeline_name: str,
    request_id: str,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> models.PipelineRequestSingleDetail:
    """Wait until a request to the default version of a pipeline is completed.

    It polls as `wait_for_revision` does. Its data and result are read once, at the end.

    Args:
        client: The client to use.
        project_name: Name of the project.
        pipeline_name: Name of the pipeline.
        request_id: Id of the request.
        timeout: Seconds to wait; None for no limit. With 0 or less the state is checked once.
        quiet: Whether to show no progress.
        stream_logs: Whether to print what is logged for the request, by all objects of the pipeline, to stdout, each
            line once, as it comes.

    Returns:
        The request, with its data and result.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        RequestFailed: It failed or was cancelled: ``last`` is the request.
        WaitTimeout: It didn't finish within `timeout`: ``last`` is the request as it was last seen.
        WaitError: It was deleted in the meantime.
        NotFoundError: There is no such request to the default version.
        ApiException: The API refused a call, couldn't be reached for 5 minutes, or returned an unexpected answer.

    GET /projects/{project_name}/pipelines/{pipeline_name}/requests/{request_id}
    """
    what = f"Request {request_id} to pipeline {pipeline_name}"
    with _Wait("wait_for_pipeline_request", client, project_name, what, timeout, quiet) as wait:
        wait.follow({"pipeline_request_id": request_id}, stream_logs)
        request: models.PipelineRequestSingleDetail = _finished_request(
            wait, lambda **options: wait.api.pipeline_requests_get(project_name, pipeline_name, request_id, **options)
        )
        return request


@helper
def wait_for_pipeline_version_request(
    client: Client,
    project_name: str,
    pipeline_name: str,
    version: str,
    request_id: str,
    timeout: float | None = _TIMEOUT,
    quiet: bool = False,
    stream_logs: bool = False,
) -> models.PipelineRequestSingleDetail:
    """Wait until a request to a version of a pipeline is completed, whether or not it is the default version.

    Arguments, result and errors are those of `wait_for_pipeline_request`, with the name of the version.

    GET /projects/{project_name}/pipelines/{pipeline_name}/versions/{version}/requests/{request_id}
    """
    what = f"Request {request_id} to version {version} of pipeline {pipeline_name}"
    with _Wait("wait_for_pipeline_version_request", client, project_name, what, timeout, quiet) as wait:
        wait.follow({"pipeline_request_id": request_id}, stream_logs)
        request: models.PipelineRequestSingleDetail = _finished_request(
            wait,
            lambda **options: wait.api.pipeline_version_requests_get(
                project_name, pipeline_name, request_id, version, **options
            ),
        )
        return request


def _finished_request(wait: _Wait, get: Callable[..., T]) -> T:
    def has_ended(request: Any) -> bool:
        return request.status in ("completed", "failed", "cancelled")

    wait.until(lambda seconds: get(metadata_only=True, _request_timeout=seconds), has_ended)
    request: Any = wait.until(lambda seconds: get(_request_timeout=seconds), has_ended)
    if request.status == "cancelled":
        raise WaitedRequestFailed(f"{wait.what} was cancelled", request)
    if request.status == "failed":
        message = f"{wait.what} failed: {request.error_message or 'the server gave no reason'}"
        raise WaitedRequestFailed(message, request)
    finished: T = request
    return finished


# Exports and imports


@helper
def wait_for_export(
    client: Client, project_name: str, export_id: str, timeout: float | None = _TIMEOUT, quiet: bool = False
) -> models.ExportDetail:
    """Wait until an export is completed and can be downloaded.

    It polls as `wait_for_revision` does.

    Args:
        client: The client to use.
        project_name: Name of the project.
        export_id: Id of the export.
        timeout: Seconds to wait; None for no limit. With 0 or less the state is checked once.
        quiet: Whether to show no progress.

    Returns:
        The export, with its size and contents.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        TransferFailed: It failed: ``last`` is the export.
        WaitTimeout: It didn't finish within `timeout`: ``last`` is the export as it was last seen.
        WaitError: It was deleted in the meantime.
        NotFoundError: There is no such project or export.
        ApiException: The API refused a call, couldn't be reached for 5 minutes, or returned an unexpected answer.

    GET /projects/{project_name}/exports/{export_id}
    """
    with _Wait("wait_for_export", client, project_name, f"Export {export_id}", timeout, quiet) as wait:
        return _finished_transfer(
            wait, lambda seconds: wait.api.exports_get(project_name, export_id, _request_timeout=seconds)
        )


@helper
def wait_for_import(
    client: Client, project_name: str, import_id: str, timeout: float | None = _TIMEOUT, quiet: bool = False
) -> models.ImportDetail:
    """Wait until an import is completed, or waits for its confirmation.

    An import created without ``skip_confirmation=True`` stops with the status ``confirmation`` and goes on only once it
    is confirmed: it is returned at that point, with the contents of its file. Confirm it with `imports_update` and wait
    again. It polls as `wait_for_revision` does.

    Args:
        client: The client to use.
        project_name: Name of the project.
        import_id: Id of the import.
        timeout: Seconds to wait; None for no limit. With 0 or less the state is checked once.
        quiet: Whether to show no progress.

    Returns:
        The import; its ``status`` is ``completed`` or ``confirmation``.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        TransferFailed: It failed: ``last`` is the import.
        WaitTimeout: It didn't finish within `timeout`: ``last`` is the import as it was last seen.
        WaitError: It was deleted in the meantime.
        NotFoundError: There is no such project or import.
        ApiException: The API refused a call, couldn't be reached for 5 minutes, or returned an unexpected answer.

    GET /projects/{project_name}/imports/{import_id}
    """
    with _Wait("wait_for_import", client, project_name, f"Import {import_id}", timeout, quiet) as wait:
        return _finished_transfer(
            wait, lambda seconds: wait.api.imports_get(project_name, import_id, _request_timeout=seconds)
        )


def _finished_transfer(wait: _Wait, ask: Callable[[float], T]) -> T:
    def has_ended(transfer: Any) -> bool:
        return transfer.status in ("completed", "confirmation", "failed")

    transfer: Any = wait.until(ask, has_ended)
    if transfer.status == "failed":
        raise TransferFailed(f"{wait.what} failed: {transfer.error_message or 'the server gave no reason'}", transfer)
    finished: T = transfer
    return finished


# Shared parts


class _Wait:
    """Polls until something has ended; a context manager that shows the progress.

    Args:
        function: Name of the helper, for errors.
        client: The client to use.
        project_name: Name of the project.
        what: What is waited for.
        timeout: Seconds to wait; None for no limit.
        quiet: Whether to show no progress.
    """

    least_seconds, most_seconds = 5.0, 60.0
    """The shortest time limit of one poll, close to the timeout, and the longest, in seconds."""

    def __init__(
        self, function: str, client: Client, project_name: str, what: str, timeout: float | None, quiet: bool
    ) -> None:
        check_seconds("timeout", function, timeout)
        self.api: CoreApi = core_api(client, function)
        self.project_name = project_name
        self.what = what
        self._timeout = timeout
        self._backoff = Backoff(timeout)
        self._outage = Outage()
        self._progress = Progress(what, shown=not quiet)
        self._status: str | None = None
        self._last: Any = None
        self._reader: LogReader | None = None
        self._build_filters: dict[str, str] | None = None

    def __enter__(self) -> _Wait:
        self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, traceback)

    def follow(self, filters: dict[str, str], stream_logs: bool) -> None:
        """Print matching log lines as they appear, if `stream_logs` is set."""
        if stream_logs:
            self._reader = LogReader(self.api, self.project_name, filters, present() - timedelta(days=1))

    def follow_build(self, filters: dict[str, str], stream_logs: bool) -> None:
        """The same for a build, whose last log lines are added to errors."""
        self._build_filters = filters
        self.follow(filters, stream_logs)

    def until(self, ask: Callable[[float], T], has_ended: Callable[[T], bool], attribute: str | None = "status") -> T:
        """Poll until it has ended, and return the last answer.

        Args:
            ask: Asks the server, given the seconds that the call may take.
            has_ended: Whether an answer is final.
            attribute: The attribute that an answer must have.

        Raises:
            WaitTimeout: It didn't finish within `timeout`.
            WaitError: It doesn't exist any more.
            ApiException: The API refused the call, or couldn't be reached for long.
        """
        while True:
            problem: ApiException | None = None
            try:
                answer = ask(self._seconds())
                if attribute is not None:
                    check_answer(self.what, answer, attribute)
                self._see(answer)
                self._print_lines()
                self._outage.end()
                if has_ended(answer):
                    return answer
            except NotFoundError as error:
                if self._last is None:
                    raise
                raise WaitError(
                    f"{self.what} doesn't exist any more: it was deleted, or its retention time is over", self._last
                ) from error
            except PASSING as error:
                self._outage.bear(error)
                problem = error
            if not self._backoff.pause():
                raise self._timed_out(problem) from problem

    def last_lines(self) -> list[str]:
        """The last log lines of the build, oldest first."""
        if self._build_filters is None:
            return []
        created = getattr(self._last, "creation_date", None)
        since = utc("creation_date", "", created) if isinstance(created, datetime) else present()
        reader = LogReader(self.api, self.project_name, self._build_filters, min(since, present() - timedelta(days=1)))
        try:
            return [line.log or "" for line in reader.last(_LAST_LINES, self._seconds())]
        except ApiException:
            # The outcome of the build matters more than the error in reading its log.
            return []

    def _seconds(self) -> float:
        remaining = self._backoff.remaining
        return self.most_seconds if remaining is None else min(max(remaining, self.least_seconds), self.most_seconds)

    def _see(self, answer: Any) -> None:
        if answer is None:
            return
        self._last = answer
        status = getattr(answer, "status", None)
        if status is not None and status != self._status:
            self._status = status
            self._progress.step(status)

    def _print_lines(self) -> None:
        if self._reader is None:
            return
        patience = Backoff(self._seconds())
        # Lines that can't be read now, or not in time, are read with the next poll.
        with suppress(*PASSING):
            for line in self._reader.new(self._seconds()):
                self._progress.print(line.log or "")
                if patience.remaining == 0:
                    return

    def _timed_out(self, problem: ApiException | None) -> WaitTimeout:
        waited = f"{max(self._timeout or 0, 0):g} s"
        if problem is not None:
            return WaitTimeout(f"{self.what}: the server didn't answer in time, after {waited}", self._last)
        state = f"is still {self._status}" if self._status is not None else "has not begun"
        return WaitTimeout(f"{self.what} {state} after {waited}", self._last, self.last_lines())
