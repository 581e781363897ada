"""Alerts of a meter: a pipeline that forecasts, branches on the result and tells a chat of what it did.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument.
"""

import json
import os
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue

import ubiops

PROJECT = sys.argv[1]

configuration = ubiops.Configuration()
configuration.api_key["Authorization"] = os.environ["UBIOPS_API_TOKEN"]
configuration.host = os.environ["UBIOPS_API_HOST"]
api = ubiops.CoreApi(ubiops.ApiClient(configuration))


# The receiver: what a chat's incoming hook would be.

messages: Queue = Queue()


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        messages.put((self.headers.get("X-Chat-Key"), json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format, *args):
        pass


receiver = HTTPServer(("127.0.0.1", 0), Hook)
threading.Thread(target=receiver.serve_forever, daemon=True).start()


# Two deployments.


def deploy(name, code, input_fields, output_fields):
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "deployment.py"), "w") as file:
            file.write(code)
        ubiops.utils.deploy(
            api, PROJECT, directory, name, input_fields=input_fields, output_fields=output_fields, quiet=True
        )


LOAD = [{"name": "load", "data_type": "double"}]
FORECAST = [{"name": "forecast", "data_type": "double"}]
TEXT = [{"name": "text", "data_type": "string"}]

deploy(
    "forecast",
    """
class Deployment:
    def request(self, data):
        return {"forecast": 1.5 * data["load"]}
""",
    LOAD,
    FORECAST,
)
deploy(
    "write",
    """
class Deployment:
    def request(self, data):
        return {"text": f"The load may reach {data['forecast']:g} MW"}
""",
    FORECAST,
    TEXT,
)


# The pipeline: only a high forecast is written about, and an impossible one stops it.

api.pipelines_create(
    PROJECT,
    ubiops.PipelineCreate(
        name="alerts", input_type="structured", input_fields=LOAD, output_type="structured", output_fields=TEXT
    ),
)


def condition(name, expression):
    configuration = {"expression": expression, "input_fields": FORECAST, "output_fields": FORECAST}
    return {
        "name": name,
        "reference_name": "if-condition",
        "reference_type": "operator",
        "configuration": configuration,
    }


def attach(destination, source, field=None):
    mapping = [] if field is None else [{"source_field_name": field, "destination_field_name": field}]
    return {"destination_name": destination, "sources": [{"source_name": source, "mapping": mapping}]}


api.pipeline_versions_create(
    PROJECT,
    "alerts",
    {
        "version": "v1",
        "objects": [
            {"name": "forecast", "reference_name": "forecast"},
            condition("is-high", "forecast > 100 and forecast < 1000"),
            condition("is-impossible", "forecast >= 1000"),
            {
                "name": "stop",
                "reference_name": "raise-error",
                "reference_type": "operator",
                "configuration": {"error_message": "No meter measures that", "input_fields": [], "output_fields": []},
            },
            {"name": "write", "reference_name": "write"},
        ],
        "attachments": [
            attach("forecast", "pipeline_start", "load"),
            attach("is-high", "forecast", "forecast"),
            attach("is-impossible", "forecast", "forecast"),
            attach("stop", "is-impossible"),
            attach("write", "is-high", "forecast"),
            attach("pipeline_end", "write", "text"),
        ],
    },
)

for event in ("completed", "failed"):
    api.webhooks_create(
        PROJECT,
        ubiops.WebhookCreate(
            name=f"chat-{event}",
            object_type="pipeline",
            object_name="alerts",
            event=f"pipeline_request_{event}",
            url=f"http://127.0.0.1:{receiver.server_port}/hooks/alerts",
            headers=[{"key": "X-Chat-Key", "value": "chat-key", "protected": True}],
            include_result=True,
            retry=True,
        ),
    )

for load in (80, 20, 900):
    try:
        print(load, api.pipeline_requests_create(PROJECT, "alerts", {"load": load}).result)
    except ubiops.ApiException as error:
        print(load, error.status, json.loads(error.body)["error_message"])
    key, message = messages.get(timeout=30)
    print(key, message["event"], message["status"], message.get("result"))

for webhook in api.webhooks_list(PROJECT, labels=None):
    print(webhook.name, webhook.headers[0].value)
receiver.shutdown()
receiver.server_close()
api.api_client.close()
