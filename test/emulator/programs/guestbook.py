"""A guest book: a page with a form, served by a deployment and read through a service.

It takes the service from UBIOPS_API_HOST and UBIOPS_API_TOKEN, and the project's name as its argument.
"""

import os
import re
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import ubiops

PROJECT = sys.argv[1]

api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration()))

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "deployment.py").write_text("""
import html
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

guests = []


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        prefix = self.headers.get("X-Forwarded-Prefix", "")
        items = "".join(f"<li>{html.escape(guest)}</li>" for guest in guests)
        form = f'<form method="post" action="{prefix}/sign"><input name="guest"></form>'
        body = f"<html><h1>Guests</h1><ul>{items}</ul>{form}</html>".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        guests.append(form["guest"][0])
        self.send_response(303)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *args):
        pass


class Deployment:
    def __init__(self):
        server = ThreadingHTTPServer(("0.0.0.0", 8501), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def request(self, data):
        return {"guests": len(guests)}
""")
    ubiops.utils.deploy(api, PROJECT, folder, "guestbook", input_fields={}, output_fields={"guests": "int"}, quiet=True)

service = api.services_create(
    PROJECT,
    ubiops.ServiceCreate(name="guestbook", deployment="guestbook", port=8501, authentication_required=True),
)
deadline = time.time() + 60
while not api.services_status_get(PROJECT, "guestbook").ready:
    assert time.time() < deadline, "the page isn't served"
    time.sleep(0.1)


def browse(url, form=None):
    data = urllib.parse.urlencode(form).encode() if form else None
    headers = {"Authorization": os.environ["UBIOPS_API_TOKEN"]}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as response:
        return response.read().decode()


page = browse(service.endpoint)
action = re.search('action="([^"]+)"', page)[1]
print(re.findall("<li>(.*?)</li>", page), action == urllib.parse.urlsplit(service.endpoint).path + "/sign")
for name in ("Ada", "Bob & Co"):
    page = browse(urllib.parse.urljoin(service.endpoint, action), {"guest": name})
print(re.findall("<li>(.*?)</li>", page))
print(api.deployment_requests_create(PROJECT, "guestbook", {}).result)

try:
    urllib.request.urlopen(service.endpoint)
except urllib.error.HTTPError as error:
    print(error.code, error.headers["WWW-Authenticate"])
    error.close()
api.services_update(PROJECT, "guestbook", ubiops.ServiceUpdate(authentication_required=False))
with urllib.request.urlopen(service.endpoint) as response:
    print(response.status)
api.services_delete(PROJECT, "guestbook")
api.api_client.close()
