"""The helpers that are put before the faults; one that makes several calls, at more than one of them."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import ubiops
from test.faults.answers import CONTENT
from test.faults.calls import CALLS, TIMEOUT, Kind, Logged, name_of
from ubiops import utils
from ubiops.training.training import Training

__all__ = ["HELPERS", "KINDS", "impatient"]

_AT_STORAGE = r"\S+ /storage"
_QUIET: dict[str, Any] = {"quiet": True}
_WAIT: dict[str, Any] = {"timeout": TIMEOUT, "quiet": True}


@contextmanager
def impatient() -> Iterator[None]:
    """The times that helpers take of themselves, of 5 s to 5 minutes, made as short as a call's here."""
    # They are what is told about in the docstrings, and tested elsewhere; here they add up to days.
    with (
        mock.patch("ubiops.api_client.READ_TIMEOUT", TIMEOUT),
        mock.patch("ubiops.deadline.CONNECT_TIMEOUT", TIMEOUT),
        mock.patch("ubiops.operation._GRACE", 0),
        mock.patch("ubiops.utils.files.parallel._PATIENCE", TIMEOUT),
        mock.patch("ubiops.utils.files.transfer._STALLED", TIMEOUT),
        mock.patch("ubiops.utils.metrics.metric_client._LEAVING", TIMEOUT),
        mock.patch("ubiops.utils.polling.Outage.longest", TIMEOUT),
        mock.patch("ubiops.utils.wait_for._Wait.least_seconds", TIMEOUT),
        mock.patch("ubiops.utils.wait_for._Wait.most_seconds", TIMEOUT),
    ):
        yield


def _download(api: ubiops.CoreApi, folder: Path) -> Any:
    return _written(
        folder,
        lambda target: utils.download_file(
            api.api_client, "lab", file_name="file", output_path=target, quiet=True, _request_timeout=TIMEOUT
        ),
    )


def _download_many(api: ubiops.CoreApi, folder: Path) -> Any:
    return _written(folder, lambda target: utils.download_files(api.api_client, "lab", output_path=target, quiet=True))


def _written(folder: Path, download: Callable[[Path], Any]) -> Any:
    """What a download wrote in the place of an older file."""
    target = folder / "target"
    target.mkdir()
    (target / "file").write_bytes(b"older")
    try:
        download(target)
    except Exception:
        kept = sorted((path.name, path.read_bytes()) for path in target.iterdir())
        assert kept == [("file", b"older")], "half a file, or a temporary one"
        raise
    # A list that names another file has it written beside the older one.
    names = sorted(path.name for path in target.iterdir())
    assert "file" in names, names
    assert not [name for name in names if name.endswith(".part")], "a temporary file"
    return (target / "file").read_bytes()


def _upload_in_parts(api: ubiops.CoreApi, folder: Path) -> Any:
    # A part of a large file has 128 MiB.
    with mock.patch("ubiops.utils.files.upload._LARGE", 1), mock.patch("ubiops.utils.files.upload._PART", 60_000):
        return utils.upload_file(
            api.api_client, "lab", io.BytesIO(CONTENT), file_name="file", quiet=True, _request_timeout=TIMEOUT
        )


def _upload_many(api: ubiops.CoreApi, folder: Path) -> Any:
    (folder / "file").write_bytes(CONTENT)
    return utils.upload_files(api.api_client, "lab", folder / "file", quiet=True)


def _deploy(api: ubiops.CoreApi, folder: Path) -> Any:
    # In R, since a package in Python is tried out first, which takes longer than the rest.
    (folder / "deployment.R").write_text("")
    variables = {"A": "1"}
    version = utils.deploy(
        api.api_client, "lab", folder, "model", "v1", "r4.3", environment_variables=variables, **_WAIT
    )
    return getattr(version, "version", version)


def _deploy_environment(api: ubiops.CoreApi, folder: Path) -> Any:
    (folder / "requirements.txt").write_text("numpy")
    return name_of(utils.deploy_environment(api.api_client, "lab", folder, "env", **_WAIT))


def _experiment(api: ubiops.CoreApi, folder: Path) -> Any:
    data = {"name": "v1", "environment": "env", "instance_type": "256mb"}
    return name_of(Training(api.api_client).experiments_create("lab", data, _request_timeout=TIMEOUT))


def _run(api: ubiops.CoreApi, folder: Path) -> Any:
    (folder / "train.py").write_text("")
    data = {"name": "run", "training_code": str(folder / "train.py")}
    return Training(api.api_client).experiment_runs_create("lab", "v1", data, _request_timeout=TIMEOUT).id


def _log_metric(api: ubiops.CoreApi, folder: Path) -> Any:
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ubiops.utils")
    logger.addHandler(handler)
    client = utils.MetricClient("lab", api.api_client)
    client.start()
    try:
        client.log_metric("custom.metric", {}, 1.5)
    finally:
        client.stop()
        logger.removeHandler(handler)
    return Logged("lost, and logged") if any("1 values of" in text and "lost" in text for text in records) else None


def _shown(api: ubiops.CoreApi, folder: Path) -> Any:
    from matplotlib.figure import Figure

    version = api.pipeline_versions_get("lab", "line", "v1", _request_timeout=TIMEOUT)
    axes: Any = utils.plot_pipeline(version, ax=Figure().add_subplot())
    points = utils.metrics(api.api_client, "lab", "requests", "2026-11-27T09:00:00")
    utils.plot_metrics(points, ax=Figure().add_subplot())
    utils.to_dataframe(api.deployments_list("lab", _request_timeout=TIMEOUT))
    return axes.get_title()


def _map(api: ubiops.CoreApi, folder: Path) -> Any:
    # Long enough for a second attempt, after a call that has used up its time.
    found = utils.map_requests(api.api_client, "lab", "model", inputs=["in"], timeout=2 * TIMEOUT, quiet=True)
    return [one.result for one in found]


def _updates(stream: Callable[..., Any]) -> Callable[[ubiops.CoreApi, Path], Any]:
    return lambda api, folder: list(stream(api.api_client, "lab", "model", data="in", timeout=1))


def _waiting(wait: Callable[..., Any], *place: str) -> Kind:
    def run(api: ubiops.CoreApi, folder: Path) -> Any:
        found = wait(api.api_client, "lab", *place, **_WAIT)
        return getattr(found, "id", found)

    return Kind(run, "v1" if place[-1] == "v1" else place[-1])


_BATCH = r"POST \S+/requests/batch"
_REVISIONS = r"POST \S+/revisions "
_SAVED = "ubiops-file://default/file"
HELPERS: dict[str, Kind] = {
    "paginate": Kind(
        lambda api, folder: [
            name_of(one) for one in utils.paginate(api.deployments_list, "lab", _request_timeout=TIMEOUT)
        ],
        ["model", "other"],
    ),
    "upload_file": Kind(
        lambda api, folder: utils.upload_file(
            api.api_client, "lab", io.BytesIO(CONTENT), file_name="file", quiet=True, _request_timeout=TIMEOUT
        ),
        _SAVED,
        at=_AT_STORAGE,
    ),
    "upload_file: the URL": Kind(
        lambda api, folder: utils.upload_file(
            api.api_client, "lab", io.BytesIO(CONTENT), file_name="file", quiet=True, _request_timeout=TIMEOUT
        ),
        _SAVED,
    ),
    "upload_file: its parts": Kind(_upload_in_parts, _SAVED, at=r"\S+ \S+(/storage|multipart-upload)"),
    "upload_files": Kind(_upload_many, [_SAVED], at=_AT_STORAGE),
    "handle_file_input": Kind(
        lambda api, folder: utils.handle_file_input(
            api.api_client, "lab", io.BytesIO(CONTENT), file_name="file", quiet=True
        ),
        _SAVED,
        at=_AT_STORAGE,
    ),
    "download_file": Kind(_download, CONTENT, at=_AT_STORAGE),
    "download_file: the URL": Kind(_download, CONTENT),
    "download_files": Kind(_download_many, CONTENT, at=_AT_STORAGE),
    "download_files: the list": Kind(_download_many, CONTENT),
    "deploy": Kind(_deploy, "v1", once=_REVISIONS),
    "deploy: variables": Kind(_deploy, "v1", at=r"\S+ \S+/environment-variables"),
    "deploy: upload": Kind(_deploy, "v1", once=_REVISIONS, at=_REVISIONS),
    "deploy: build": Kind(_deploy, "v1", once=_REVISIONS, at=r"GET \S+/builds "),
    "deploy_environment": Kind(_deploy_environment, "env", once=_REVISIONS, at=_REVISIONS),
    "map_requests": Kind(_map, ["out"]),
    "map_requests: sending": Kind(_map, ["out"], once=_BATCH, at=_BATCH),
    "map_requests: collecting": Kind(_map, ["out"], once=_BATCH, at=r"POST \S+/requests/collect"),
    "metrics": Kind(
        lambda api, folder: [
            point.value for point in utils.metrics(api.api_client, "lab", "requests", "2026-11-27T09:00:00")
        ],
        [1.5],
    ),
    "stream_deployment_request": Kind(_updates(utils.stream_deployment_request), ["one", "two"], once="POST"),
    "stream_pipeline_request": Kind(_updates(utils.stream_pipeline_request), ["one", "two"], once="POST"),
    "tail_logs": Kind(
        lambda api, folder: [line.log for line in utils.tail_logs(api.api_client, "lab", follow=False)], ["a line"]
    ),
    "upsert_environment_variables": Kind(
        lambda api, folder: [
            name_of(one) for one in utils.upsert_environment_variables(api.api_client, "lab", {"A": "1"})
        ],
        ["A"],
        once="POST",
    ),
    "experiments_create": Kind(_experiment, "v1", once=r"POST \S+/versions "),
    "experiments_create: the code": Kind(_experiment, "v1", once=_REVISIONS, at=_REVISIONS),
    "experiment_runs_create": Kind(_run, "q1", once=_BATCH),
    "experiment_runs_create: starting": Kind(_run, "q1", once=_BATCH, at=_BATCH),
    "MetricClient": Kind(_log_metric, None),
    "plots and frames": Kind(_shown, "line v1"),
    "wait_for_deployment_request": _waiting(utils.wait_for_deployment_request, "model", "q1"),
    "wait_for_deployment_version": _waiting(utils.wait_for_deployment_version, "model", "v1"),
    "wait_for_deployment_version_request": _waiting(utils.wait_for_deployment_version_request, "model", "v1", "q1"),
    "wait_for_environment": _waiting(utils.wait_for_environment, "env", "t1"),
    "wait_for_experiment": _waiting(utils.wait_for_experiment, "v1"),
    "wait_for_experiment_run": _waiting(utils.wait_for_experiment_run, "v1", "q1"),
    "wait_for_export": _waiting(utils.wait_for_export, "t1"),
    "wait_for_import": _waiting(utils.wait_for_import, "t1"),
    "wait_for_pipeline_request": _waiting(utils.wait_for_pipeline_request, "line", "q1"),
    "wait_for_pipeline_version_request": _waiting(utils.wait_for_pipeline_version_request, "line", "v1", "q1"),
    "wait_for_revision": _waiting(utils.wait_for_revision, "model", "v1", "r1"),
}
KINDS: dict[str, Kind] = {**CALLS, **HELPERS}
