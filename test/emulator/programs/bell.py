"""A bell that rings when a job is done: webhooks to a receiver that is busy at first, and to one that is tried out.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument.
"""

import json
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import ubiops

PROJECT = sys.argv[1]

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))


# The receiver: it refuses the first message to each path.

messages: Queue = Queue()
seen = set()


class Bell(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_first = self.path not in seen
        seen.add(self.path)
        if not is_first:
            messages.put((self.path, self.headers["Authorization"], body))
        self.send_response(503 if is_first else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *args):
        pass


receiver = ThreadingHTTPServer(("127.0.0.1", 0), Bell)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{receiver.server_port}"


# The job.

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "deployment.py").write_text("""
class Deployment:
    def request(self, data):
        return {"halves": [number / 2 for number in data["numbers"]]}
""")
    ubiops.utils.deploy(
        api,
        PROJECT,
        folder,
        "halve",
        input_fields={"numbers": "array_int"},
        output_fields={"halves": "array_double"},
        quiet=True,
    )
webhook = api.webhooks_create(
    PROJECT,
    {
        "name": "bell",
        "object_type": "deployment",
        "object_name": "halve",
        "event": "deployment_request_completed",
        "url": f"{address}/ring",
        "headers": [{"key": "Authorization", "value": "Bearer of-the-bell", "protected": True}],
        "include_result": True,
        "retry": True,
    },
)
print(webhook.name, webhook.headers[0].value)

[request] = api.batch_deployment_requests_create(PROJECT, "halve", [{"numbers": [1, 2]}])
path, key, body = messages.get(timeout=60)
print(path, key, body["event"], body["request_id"] == request.id, body["result"])


# A test of it before it is used elsewhere.


def try_out(path, **settings):
    test = api.webhook_tests_create(
        PROJECT,
        {
            "object_type": "deployment",
            "object_name": "halve",
            "event": "deployment_request_failed",
            "url": f"{address}{path}",
            **settings,
        },
    )
    deadline = time.time() + 60
    while (test := api.webhook_tests_get(PROJECT, test.id)).status == "pending":
        assert time.time() < deadline, "no answer"
        time.sleep(0.1)
    return test.status, test.error_message


print(*try_out("/other", retry=False))
print(*try_out("/other", retry=False))
path, _, body = messages.get(timeout=60)
print(path, body["event"])

api.webhooks_update(PROJECT, "bell", {"enabled": False})
api.deployment_requests_create(PROJECT, "halve", {"numbers": [3]})
lines = api.logs_list(PROJECT, query="| webhook_name = `bell`")
print([line.log.rpartition(" bell ")[2] for line in lines])
print("of-the-bell" in str(lines), messages.empty())
receiver.shutdown()
receiver.server_close()
api.api_client.close()
