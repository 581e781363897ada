"""What programs of both older clients write, and the types that a checker must find: `tox run -e types` checks it.

It is never run.
"""

from __future__ import annotations

import csv
import datetime
import io
import shutil
from collections.abc import Iterator, Mapping
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import ubiops
from ubiops.models import (
    DeploymentDetail,
    DeploymentInstanceType,
    DeploymentList,
    DeploymentRequestList,
    FileItem,
    InstanceList,
    InstanceTypeListPaginated,
    Logs,
    MetricDetail,
    Metrics,
    OrganizationUsage,
    PipelineVersionDetail,
    ProjectUsage,
    Usage,
)
from ubiops.rest import RawResponse
from ubiops.utils import paginate

Headers = Mapping[str, str]


def style_of_3_12(flag: bool, options: dict[str, Any]) -> None:
    client = ubiops.ApiClient(ubiops.Configuration(api_key={"Authorization": "Token abc"}))
    api = ubiops.CoreApi(client)
    assert_type(api.deployments_list("lab"), list[DeploymentList])
    assert_type(api.deployments_list(project_name="lab", labels="a:b", _request_timeout=(3, 10)), list[DeploymentList])
    assert_type(api.projects_delete("lab"), None)
    assert_type(api.deployments_get("lab", "model", async_req=True), AsyncResult[DeploymentDetail])
    assert_type(api.deployments_get("lab", "model", async_req=True).get(), DeploymentDetail)
    assert_type(api.deployments_get("lab", "model", async_req=False), DeploymentDetail)
    assert_type(api.deployments_get("lab", "model", async_req=flag), Any)
    assert_type(api.deployments_get("lab", "model", **options), Any)
    assert_type(api.deployments_get("lab", "model", _preload_content=False), RawResponse)
    assert_type(api.deployments_get("lab", "model", _preload_content=False, async_req=True), AsyncResult[RawResponse])
    data, status, headers = api.deployments_get_with_http_info("lab", "model")
    assert_type(data, DeploymentDetail)
    assert_type((status, headers), tuple[int, Headers])
    later = api.deployments_get_with_http_info("lab", "model", async_req=True)
    assert_type(later, AsyncResult[tuple[DeploymentDetail, int, Headers]])
    raw = api.deployments_get_with_http_info("lab", "model", _preload_content=False)
    assert_type(raw, tuple[RawResponse, int, Headers])
    body = ubiops.PipelineVersionUpdate(objects=[{"name": "a", "reference_name": "b", "version": "v1"}])
    assert_type(api.pipeline_versions_update("lab", "pipe", "v1", body), PipelineVersionDetail)
    assert_type(api.pipeline_versions_update("lab", "pipe", "v1", {"description": "d"}), PipelineVersionDetail)
    metrics = api.metrics_get("lab", "deployments.requests", "2024-01-01", "2024-01-02", "deployment")
    assert_type(metrics, list[Metrics])
    days = datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)
    assert_type(api.metrics_get("lab", "requests", *days, "deployment_version"), list[Metrics])
    assert_type(api.projects_usage_get("lab", *days), list[Usage] | ProjectUsage)
    usage = api.organizations_usage_get("acme", start_date=days[0], end_date="2024-01-02")
    assert_type(usage, list[Usage] | OrganizationUsage)
    with api.blobs_get("lab", "b") as response:
        assert_type(list(csv.reader(io.TextIOWrapper(response))), list[list[str]])
    with api.revisions_file_download("lab", "model", "v1", "r") as response, Path("a.zip").open("wb") as file:
        assert_type(response, RawResponse)
        shutil.copyfileobj(response, file)
    assert_type(api.exports_download("lab", "e", _preload_content=True), str)


def style_of_4(client: ubiops.ApiClient) -> None:
    api = ubiops.CoreApi(client)
    assert_type(api.deployments.deployments_list("lab"), list[DeploymentList])
    assert_type(api.deployments.deployments_get_with_http_info("lab", "model"), DeploymentDetail)
    quiet = api.deployments.deployments_get("lab", "model", _headers={"X-A": "b"}, _progress_bar=False)
    assert_type(quiet, DeploymentDetail)
    assert_type(api.metrics_get(project_name="lab", metric_name="requests"), MetricDetail)
    assert_type(api.metrics_get("lab", "requests"), MetricDetail)
    assert_type(api.metrics.metrics_get("lab", metric_name="requests", async_req=True), AsyncResult[MetricDetail])
    types = api.instance_types_list("lab")
    assert_type(types, list[DeploymentInstanceType] | InstanceTypeListPaginated)
    assert_type(ubiops.CoreApi.deployments, type[ubiops.api.deployments.Deployments])


def pages(api: ubiops.CoreApi) -> None:
    assert_type(
        paginate(api.deployment_requests_list, "lab", "model", status="failed"), Iterator[DeploymentRequestList]
    )
    assert_type(paginate(api.deployment_requests_list, "lab", "model", page_size=9), Iterator[DeploymentRequestList])
    assert_type(paginate(api.files_list, "lab", "default", prefix="x"), Iterator[FileItem])
    assert_type(paginate(api.files_list, "lab", "default", page_size=9), Iterator[FileItem])
    assert_type(paginate(api.projects_log_list, "lab", data={}, _request_timeout=3), Iterator[Logs])
    assert_type(paginate(api.instances_list, "lab", "model", "v1"), Iterator[InstanceList])
