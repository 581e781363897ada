"""An API of its own: two instances behind a service, with a health check, events over one connection and a limit.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import urllib3

import ubiops

PROJECT = sys.argv[1]

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))

with tempfile.TemporaryDirectory() as folder:
    # The server is a process of its own, as one of another framework is.
    Path(folder, "server.py").write_text("""
import json
import os
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/health":
        start_response("204 No Content", [])
        return []
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return (f"data: {number}\\n\\n".encode() for number in range(3))
    if path == "/add":
        numbers = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        body = json.dumps({"sum": sum(numbers)}).encode()
    else:
        body = json.dumps({"process": os.getpid()}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


make_server("0.0.0.0", 8000, application, server_class=Server, handler_class=Quiet).serve_forever()
""")
    Path(folder, "deployment.py").write_text("""
import subprocess
import sys


class Deployment:
    def __init__(self, base_directory):
        self.server = subprocess.Popen([sys.executable, f"{base_directory}/server.py"])

    def request(self, data):
        return data
""")
    ubiops.utils.deploy(
        api,
        PROJECT,
        folder,
        "counter",
        minimum_instances=2,
        maximum_instances=2,
        quiet=True,
    )
api.deployment_versions_update(PROJECT, "counter", "v1", {"health_check": {"path": "/health", "interval": 1}})
service = api.services_create(PROJECT, {"name": "counter", "deployment": "counter", "port": 8000})
deadline = time.time() + 60
while api.services_status_get(PROJECT, "counter").instances_ready < 2:
    assert time.time() < deadline, "the instances don't serve"
    time.sleep(0.1)

http = urllib3.PoolManager(headers={"Authorization": os.environ["UBIOPS_API_TOKEN"]})
print(http.request("POST", f"{service.endpoint}/add", json=[1, 2, 3]).json())
print(len({http.request("GET", f"{service.endpoint}/").json()["process"] for _ in range(8)}), "instances")
events = http.request("GET", f"{service.endpoint}/events", preload_content=False)
print(events.headers["Content-Type"], [line.strip().decode() for line in events if line.strip()])

api.services_update(PROJECT, "counter", {"rate_limit": 1})
print(http.request("GET", f"{service.endpoint}/", retries=False).status)
print({request.status for request in api.deployment_requests_list(PROJECT, "counter", limit=100)})
http.clear()
api.services_delete(PROJECT, "counter")
api.api_client.close()
