"""Code in a deployment that calls the API, as its own."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from test.emulator.project import TestProject

CODE = """
    import os
    import ubiops
    from ubiops.utils.metrics.metric_client import MetricClient

    class Deployment:
        def __init__(self):
            self.metrics = MetricClient("lab", insert_frequency=3600)
            self.metrics.start()

        def request(self, data):
            print(os.environ["INT_API_TOKEN"])
            if data == "count":
                self.metrics.log_metric("custom.count", {}, 3)
                self.metrics.stop()
                return "counted"
            api = ubiops.CoreApi(ubiops.ApiClient())
            try:
                if data == "upload":
                    return str(ubiops.utils.upload_file(api.api_client, "lab", os.path.abspath(__file__), quiet=True))
                return ",".join(found.name for found in api.deployments_list("lab"))
            except ubiops.ApiException as error:
                return str(error.status)
            finally:
                api.api_client.close()
"""


def test_code_calls_the_api_as_its_deployment(project: TestProject) -> None:
    plain: dict[str, Any] = {"input_type": "plain", "output_type": "plain", "input_fields": [], "output_fields": []}
    project.api.metrics_create("lab", {"name": "custom.count", "metric_type": "delta"})
    project.deploy(CODE, **plain)
    assert project.request("count") == "counted"
    present = datetime.now(timezone.utc)
    window = {"start_date": (present - timedelta(hours=1)).isoformat(), "end_date": present.isoformat()}
    counted = project.api.time_series_data_list("lab", metric="custom.count", **window)
    assert sum(point.value for point in counted.data_points) == 3
    assert project.request("upload") == "ubiops-file://default/deployment.py"
    # More takes a role.
    assert project.request("list") == "403"
    role = {"assignee": "model", "assignee_type": "deployment", "role": "deployment-viewer"}
    project.api.role_assignments_create("lab", role)
    assert project.request("list") == "model"
    # The token itself is not in the log.
    assert set(project.log()) == {"***"}
