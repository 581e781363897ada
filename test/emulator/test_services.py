"""Services: callers reach the ports of deployments, and nothing else. Over plain HTTP, as programs do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import urllib3
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

import ubiops
from test.emulator.callers import Callers
from test.emulator.pipelines import make_line
from test.emulator.project import TestProject, own_port, wait_until
from ubiops.emulator import Emulator
from ubiops.emulator.execution.listeners import Listener
from ubiops.emulator.services import limits
from ubiops.emulator.services.upstream import Exchange, InstanceLostError

PORT = own_port()

PAGE = """
    import contextlib
    import http.server
    import os
    import threading
    import time

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, body, status=200, **headers):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if self.path == "/moved":
                return self.answer(b"", 302, Location="/elsewhere")
            if self.path == "/away":
                return self.answer(b"", 302, Location="http://other.example/")
            if self.path == "/aside":
                return self.answer(b"", 302, Location="//other.example/")
            if self.path == "/early":
                self.send_response_only(103)
                self.end_headers()
            if self.path == "/silent":
                with contextlib.suppress(OSError):
                    self.rfile.read(1)
                self.close_connection = True
                return
            if self.path == "/endless":
                return self.write_events()
            if self.path == "/cut":
                self.send_response(200)
                self.send_header("Content-Length", "9")
                self.end_headers()
                self.wfile.write(b"abc")
                self.close_connection = True
                return
            if self.path == "/exit":
                os._exit(1)
            headers = "".join(f"{name}: {value}\\n" for name, value in self.headers.items())
            self.answer(f"{self.path}\\n{headers}".encode(), Connection="X-Hop", X_Hop="1", X_End="2")

        def write_events(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"data: x\\n\\n")
                    time.sleep(0.01)
            print("the caller is gone", flush=True)

        def do_POST(self):
            if self.headers.get("Transfer-Encoding") == "chunked":
                sizes = []
                while size := int(self.rfile.readline(), 16):
                    sizes.append(len(self.rfile.read(size + 2)) - 2)
                self.rfile.readline()
                return self.answer(str(sum(sizes)).encode())
            self.answer(self.rfile.read(int(self.headers["Content-Length"]))[::-1])

        def log_message(self, *args):
            pass

    class Deployment:
        def __init__(self):
            server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Page)
            threading.Thread(target=server.serve_forever, daemon=True).start()

        def request(self, data):
            import urllib.request
            with urllib.request.urlopen("http://localhost:8080/from-inside") as answer:
                return {"y": answer.status}
""".replace("8080", str(PORT))


class Caller:
    """Sends requests to a service, with the emulator's token unless told otherwise."""

    def __init__(self, api: Any, token: str, http: urllib3.PoolManager, name: str) -> None:
        self.service = api.services_get("lab", name)
        self.headers = {"Authorization": token}
        self.endpoint = self.service.endpoint
        self.base, _, self.prefix = self.endpoint.partition("/_services")
        self.prefix = f"/_services{self.prefix}"
        self._http = http

    def __call__(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        headers = {**self.headers, **options.pop("headers", {})}
        url = path if path.startswith("http") else self.endpoint + path
        return self._http.request(method, url, headers=headers, redirect=False, retries=False, **options)

    def raw(self, head: str, body: bytes = b"") -> bytes:
        """What is answered to a head that no client would write."""
        host, _, port = self.base.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + b"Connection: close\r\n\r\n" + body)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager() as http:
        yield http


def serve(project: TestProject, name: str = "page", **settings: Any) -> None:
    """Make a service and wait until it is ready."""
    project.api.services_create("lab", {"name": name, "deployment": "model", "port": PORT, **settings})
    wait_ready(project, name)


def wait_ready(project: TestProject, name: str = "page", number: int = 1) -> None:
    wait_until(lambda: project.api.services_status_get("lab", name), lambda status: status.instances_ready >= number)


@pytest.fixture
def page(project: TestProject, emulator: Emulator, http: urllib3.PoolManager) -> Caller:
    project.deploy(PAGE)
    serve(project)
    return Caller(project.api, emulator.token, http, "page")


def test_a_page_is_reached_by_path_and_by_name(page: Caller, project: TestProject) -> None:
    forged = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil"}
    forged["X_Forwarded_For"] = "192.0.2.1"
    answer = page("GET", "/a%2Fb//c?x=1&x=%20", headers={**forged, "Connection": "X-Mine", "X-Mine": "1"})
    assert answer.status == 200
    path, *lines = answer.data.decode().splitlines()
    assert path == "/a%2Fb//c?x=1&x=%20"
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    assert headers["x-forwarded-prefix"] == page.prefix
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert not [name for name in headers if "_" in name]
    assert headers["host"] == headers["x-forwarded-host"] == page.base.removeprefix("http://")
    assert not {"authorization", "x-mine"} & headers.keys()
    assert answer.headers["X-End"] == "2"
    assert "X-Hop" not in answer.headers
    named = page.raw(
        f"GET /_emulator/health HTTP/1.1\nHost: {page.service.id}.services.localhost:80\n"
        f"Authorization: {page.headers['Authorization']}\n"
    )
    assert b"\r\n\r\n/_emulator/health\nhost: " in named.lower()
    assert b"x-forwarded-prefix" not in named.lower()
    assert project.request({"x": 1}) == {"y": 200}


def test_bodies_go_both_ways(page: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page("POST", "/", body=b"abc" * 100_000).data == b"cba" * 100_000
    assert page("POST", "/", body=iter([b"abc", b"de"])).data == b"5"
    # Of two lengths the instance is told one.
    head = f"POST {page.prefix}/ HTTP/1.1\nHost: x\nAuthorization: {page.headers['Authorization']}\n"
    both = page.raw(f"{head}Content-Length: 3\nTransfer-Encoding: chunked\n", b"5\r\nabcde\r\n0\r\n\r\n")
    assert both.endswith(b"\r\n\r\n5")
    # Smaller, so that the test needn't send so much.
    monkeypatch.setattr("ubiops.emulator.services.bodies.LARGEST_BODY", 2**20)
    for body in (b"x" * (2**20 + 1), iter([b"x" * 2**19] * 3)):
        answer = page("POST", "/", body=body)
        assert answer.status == 413
        assert answer.json() == {"error": "The body is larger than 1 MiB, the most that services take here"}


def test_answers_are_streamed(page: Caller, project: TestProject) -> None:
    answer = page("GET", "/endless", preload_content=False)
    assert answer.read(18) == b"data: x\n\n" * 2
    answer.close()
    # The code sees that its caller goes away, too.
    wait_until(project.log, lambda lines: "the caller is gone" in lines)
    with pytest.raises(urllib3.exceptions.ProtocolError):
        page("GET", "/cut")
    # What comes before the answer is no answer.
    assert page("GET", "/early").status == 200


def test_an_instance_that_ends_is_replaced(page: Caller) -> None:
    lost = page("GET", "/exit")
    assert lost.status == 502
    # By the end of the connection, or its reset.
    assert lost.json()["error"].startswith("The instance")
    wait_until(lambda: page("GET", "/").status, lambda status: status == 200)


def test_services_outlive_the_emulator(tmp_path: Path, http: urllib3.PoolManager) -> None:
    with Emulator(data_dir=tmp_path, project="lab") as emulator:
        api = emulator.client()
        with api.api_client:
            project = TestProject(api, "lab")
            project.deploy(PAGE)
            serve(project)
            emulator.stop()
            emulator.start()
            wait_ready(project)
            assert Caller(api, emulator.token, http, "page")("GET", "/").status == 200


def test_redirects_are_the_callers(page: Caller) -> None:
    moved = page("GET", "/moved")
    assert (moved.status, moved.headers["Location"]) == (302, f"{page.prefix}/elsewhere")
    assert page("GET", "/away").headers["Location"] == "http://other.example/"
    assert page("GET", "/aside").headers["Location"] == "//other.example/"
    assert page("GET", "").headers["Location"] == f"{page.prefix}/"


def test_no_request_leads_elsewhere(page: Caller, emulator: Emulator) -> None:
    token = f"Authorization: {page.headers['Authorization']}\n"
    name = f"{page.service.id}.services.localhost"
    port = page.base.rpartition(":")[2]
    for target, host, status in (
        (f"http://127.0.0.1:{port}/_emulator/health", name, b"400"),
        ("*", name, b"400"),
        (f"http://127.0.0.1:{port}{page.prefix}/", "x", b"404"),
        (f"/%5Fservices/{page.service.id}/", "x", b"404"),
        (f"{page.prefix[:-1]}0/" if page.prefix[-1] != "0" else f"{page.prefix[:-1]}1/", "x", b"404"),
        (f"{page.prefix}@127.0.0.1:{port}/", "x", b"404"),
        (f"/v2.1/../_services/{page.service.id}/", "x", b"404"),
    ):
        answer = page.raw(f"GET {target} HTTP/1.1\nHost: {host}\n{token}")
        assert answer.split()[1] == status, (target, answer)
    for target in (f"//127.0.0.1:{port}/_emulator/health", "/..%2f..%2f_emulator/health", "/\\evil"):
        answer = page.raw(f"GET {page.prefix}{target} HTTP/1.1\nHost: x\n{token}")
        # The server of the page takes several slashes in front for one.
        assert answer.partition(b"\r\n\r\n")[2].splitlines()[0] == target.replace("//", "/").encode()


def test_who_may_call(page: Caller, project: TestProject, callers: Callers) -> None:
    def status(authorization: str) -> int:
        return page("GET", "/", headers={"Authorization": authorization}).status

    def token(api: Any) -> str:
        return str(api.api_client.configuration.api_key["Authorization"])

    editor = token(callers.service_user("deployment-editor"))
    assert status(editor) == status(editor.replace("Token", "Bearer")) == 200
    assert status(token(callers.service_user("deployment-viewer"))) == 403
    assert [status(given) for given in ("", "Token wrong", "Bearer wrong", "Basic eDp5")] == [401] * 4
    assert page("GET", "/", headers={"Authorization": ""}).headers["WWW-Authenticate"] == "Token"
    project.api.services_update("lab", "page", {"authentication_required": False})
    assert b"authorization" not in page("GET", "/").data.lower()
    assert status("Token wrong") == 200
    project.api.services_update("lab", "page", {"authentication_header_pass_through": True})
    passed_on = page("GET", "/", headers={"Authorization": "Basic eDp5"}).data
    assert b"authorization: Basic eDp5" in passed_on


def test_limits(page: Caller, project: TestProject, callers: Callers) -> None:
    user = callers.service_user("deployment-editor", name="one")
    headers = {"Authorization": user.api_client.configuration.api_key["Authorization"]}
    [found] = project.api.service_users_list("lab")
    project.api.services_update("lab", "page", {"rate_limit": 4, "rate_limit_user_default": 1})
    limit = project.api.services_user_rate_limit_create("lab", "page", {"user_id": found.id, "limit": 2})
    assert (limit.user_email, limit.limit) == (found.email, 2)
    assert [page("GET", "/", headers=headers).status for _ in range(3)] == [200, 200, 429]
    assert [page("GET", "/").status for _ in range(2)] == [200, 429]
    refused = page("GET", "/")
    assert refused.json()["error"].startswith("The service 'page', for one user, takes up to 1 requests in a minute")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert [item.limit for item in project.api.services_user_rate_limit_list("lab", "page")] == [2]
    project.api.services_user_rate_limit_update("lab", "page", found.id, {"limit": 3})
    assert project.api.services_user_rate_limit_get("lab", "page", found.id).limit == 3
    assert page("GET", "/", headers=headers).status == 200
    assert "The service 'page' takes up to 4 requests" in page("GET", "/", headers=headers).json()["error"]
    address = f"{page.base}/v2.1/projects/lab/services/page"
    # Of the client 4.12, which had this limit alone.
    updated = page("PATCH", address, json={"rate_limit_token": 7})
    assert updated.json()["rate_limit_user_default"] == 7
    project.api.services_user_rate_limit_delete("lab", "page", found.id)
    assert project.api.services_user_rate_limit_list("lab", "page") == []


def test_a_rate_limit_is_of_the_last_minute(
    page: Caller, project: TestProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.api.services_update("lab", "page", {"rate_limit": 1})
    seconds = 0.0
    # Replaced, so that nobody waits for a minute.
    monkeypatch.setattr(limits, "monotonic", lambda: seconds)
    assert page("GET", "/").status == 200
    seconds = 45.0
    refused = page("GET", "/")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "15")
    seconds = 60.0
    assert page("GET", "/").status == 200


def test_how_many_requests_a_user_may_make_at_once(page: Caller, project: TestProject, callers: Callers) -> None:
    user = callers.service_user("deployment-editor", name="one")
    headers = {"Authorization": user.api_client.configuration.api_key["Authorization"]}
    [found] = project.api.service_users_list("lab")
    project.api.services_update("lab", "page", {"concurrency_limit_user_default": 1})

    def statuses() -> list[int]:
        """Of two requests at once."""
        answers = [page("GET", "/endless", headers=headers, preload_content=False) for _ in range(2)]
        for answer in answers:
            answer.close()
        return [answer.status for answer in answers]

    api = project.api
    wait_until(statuses, lambda found: found == [200, 429])
    assert api.services_user_concurrency_limit_create("lab", "page", {"user_id": found.id, "limit": 2}).limit == 2
    wait_until(statuses, lambda found: found == [200, 200])
    api.services_user_concurrency_limit_update("lab", "page", found.id, {"limit": 1})
    assert api.services_user_concurrency_limit_get("lab", "page", found.id).limit == 1
    wait_until(statuses, lambda found: found == [200, 429])
    api.services_user_concurrency_limit_delete("lab", "page", found.id)
    assert api.services_user_concurrency_limit_list("lab", "page") == []


def test_requests_are_stored_and_logged(page: Caller, project: TestProject) -> None:
    excluded = {"request_logging_excluded_paths": "^/health", "request_logging_excluded_extensions": ["css"]}
    project.api.services_update("lab", "page", excluded)
    for path in ("/health?x", "/style.css", "/kept?token=secret"):
        page("GET", path)
    page("POST", "/", body=b"x")
    requests = wait_until(
        lambda: project.api.deployment_requests_list("lab", "model", sort="asc"), lambda found: len(found) == 2
    )
    details = [project.api.deployment_requests_get("lab", "model", request.id) for request in requests]
    assert [detail.additional_data.to_dict() for detail in details] == [
        {"path": "/kept", "method": "GET", "status_code": 200},
        {"path": "/", "method": "POST", "status_code": 200},
    ]
    assert [detail.status for detail in details] == ["completed"] * 2
    lines = [line for line in project.log(system=True) if line.startswith("Service")]
    assert lines == ["Service page: GET /kept 200", "Service page: POST / 200"]
    # The caller doesn't wait for the answer.
    host, _, port = page.base.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"GET {page.prefix}/silent HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {page.headers['Authorization']}\r\n\r\n".encode()
        )
    [gone, *_] = wait_until(lambda: project.api.deployment_requests_list("lab", "model"), lambda found: len(found) == 3)
    detail = project.api.deployment_requests_get("lab", "model", gone.id)
    assert (detail.status, detail.additional_data.status_code) == ("failed", 499)
    project.api.deployment_versions_update("lab", "model", "v1", {"request_retention_mode": "none"})
    wait_until(lambda: page("GET", "/unstored").status, lambda status: status == 200)
    wait_until(lambda: project.log(system=True), lambda lines: "Service page: GET /unstored 200" in lines)
    assert len(project.api.deployment_requests_list("lab", "model")) == 3


def test_requests_to_services_count_in_metrics(page: Caller, project: TestProject) -> None:
    project.api.services_update("lab", "page", {"request_logging_excluded_paths": "^/unkept"})
    assert page("POST", "/", body=b"12345").data == b"54321"
    assert page("GET", "/unkept").status == 200
    page("GET", "/cut", preload_content=False).close()
    version = project.api.deployment_versions_get("lab", "model", "v1").id
    today = datetime.now(timezone.utc)
    period = {"start_date": today - timedelta(days=1), "end_date": today + timedelta(days=1)}

    def total(metric: str, **labels: str) -> float:
        series = project.api.time_series_data_list("lab", metric=f"deployments.{metric}", **period, **labels)
        values: list[float] = [point.value for point in series.data_points]
        return sum(values)

    wait_until(lambda: total("requests", labels=f"deployment_version_id:{version}"), lambda number: number == 3)
    # Bytes of the bodies: of the one that was sent, and of the answers.
    assert total("input_volume") == 5
    assert total("output_volume") > 8
    assert total("queue_time") == 0


TWO_WAYS = """
    import asyncio
    import threading

    from websockets.asyncio.server import serve

    async def echo(connection):
        async for message in connection:
            if message == "bye":
                await connection.close(4001, "as asked")
            elif message == "gone":
                connection.transport.abort()
            else:
                await connection.send(message)

    def refuse(connection, request):
        if request.path == "/no":
            return connection.respond(418, "not here")

    def set_cookie(connection, request, response):
        response.headers["Set-Cookie"] = "a=b"

    async def run(started):
        options = {"process_request": refuse, "process_response": set_cookie}
        async with serve(echo, "", 8080, **options, subprotocols=["chat"], max_size=None):
            started.set()
            await asyncio.Future()

    class Deployment:
        def __init__(self):
            started = threading.Event()
            threading.Thread(target=lambda: asyncio.run(run(started)), daemon=True).start()
            started.wait()

        def request(self, data):
            return {"y": 1}
""".replace("8080", str(PORT))


def test_websockets(project: TestProject, emulator: Emulator, http: urllib3.PoolManager) -> None:
    project.deploy(TWO_WAYS)
    serve(project)
    caller = Caller(project.api, emulator.token, http, "page")

    def opened(
        path: str, headers: dict[str, str] = caller.headers
    ) -> contextlib.AbstractContextManager[ClientConnection]:
        url = caller.endpoint.replace("http", "ws") + path
        return connect(
            url,
            additional_headers=headers,
            subprotocols=[Subprotocol("other"), Subprotocol("chat")],
            proxy=None,
            max_size=None,
        )

    with opened("/socket?x=1") as channel:
        assert channel.subprotocol == "chat"
        assert channel.response is not None
        assert channel.response.headers["Set-Cookie"] == "a=b"
        for message in ("text", b"bytes", "x" * 2**21):
            channel.send(message)
            assert channel.recv() == message
        channel.send("bye")
        with pytest.raises(ConnectionClosedError) as closed:
            channel.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")
    for path, headers, status in (("/no", caller.headers, 418), ("/", {}, 401)):
        with pytest.raises(InvalidStatus) as refused, opened(path, headers):
            pass
        assert refused.value.response.status_code == status
    project.api.services_update("lab", "page", {"concurrency_limit": 1})
    with opened("/") as channel:
        assert caller("GET", "/").status == 429
        channel.send("gone")
        with pytest.raises(ConnectionClosedError) as closed:
            channel.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
    requests = wait_until(lambda: project.api.deployment_requests_list("lab", "model"), lambda found: len(found) == 3)
    details = [project.api.deployment_requests_get("lab", "model", request.id) for request in requests]
    assert sorted(detail.additional_data.status_code for detail in details) == [101, 101, 418]


CHILDREN = {
    "server.py": """
        import http.server
        import os

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = str(os.getppid()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args):
                pass

        http.server.HTTPServer(("", 8080), Page).serve_forever()
    """,
    "deployment.py": """
        import subprocess
        import sys

        class Deployment:
            def __init__(self, base_directory):
                self.server = subprocess.Popen([sys.executable, f"{base_directory}/server.py"])

            def request(self, data):
                return {"y": 0}
    """,
}


def test_instances_share_no_port(project: TestProject, emulator: Emulator, http: urllib3.PoolManager) -> None:
    """Two instances declare a port that this process has besides."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        project.create_deployment()
        project.create_version()
        files = {name: text.replace("8080", str(port)) for name, text in CHILDREN.items()}
        assert project.upload(files).status == "success"
        project.api.deployment_versions_update("lab", "model", "v1", {"minimum_instances": 2})
        serve(project, "page", port=port)
        wait_ready(project, number=2)
        caller = Caller(project.api, emulator.token, http, "page")
        answered = {caller("GET", "/").data for _ in range(8)}
        assert len(answered) == 2
        project.api.services_update("lab", "page", {"cache_aware_llm_routing": True})
        alike = [b"x" * 1024 + bytes([number]) for number in range(8)]
        assert len({caller("POST", "/", body=body).data for body in alike}) == 1


# Not by Python's sockets, as servers in other languages do; it listens again and again until it may.
OUTSIDE = """
    import _socket
    import threading
    import time

    def listen():
        opened = _socket.socket()
        while True:
            try:
                opened.bind(("127.0.0.1", 8080))
            except OSError:
                time.sleep(0.05)
            else:
                break
        opened.listen()
        while True:
            descriptor, _ = opened._accept()
            connection = _socket.socket(fileno=descriptor)
            connection.recv(65536)
            connection.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi")
            connection.close()

    class Deployment:
        def __init__(self):
            threading.Thread(target=listen, daemon=True).start()

        def request(self, data):
            return {"y": 0}
"""


def test_only_listeners_of_the_instance_are_reached(
    project: TestProject, emulator: Emulator, http: urllib3.PoolManager
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.setblocking(False)
        project.deploy(OUTSIDE.replace("8080", str(port)))
        project.api.services_create("lab", {"name": "page", "deployment": "model", "port": port})
        caller = Caller(project.api, emulator.token, http, "page")
        wait_until(
            lambda: project.log(system=True),
            lambda lines: any("Another process" in line for line in lines) or caller("GET", "/").status != 503,
        )
        assert caller("GET", "/").json() == {
            "error": "No instance of the service is ready; its status says when one is"
        }
        with pytest.raises(BlockingIOError):
            taken.accept()
    wait_ready(project)
    assert caller("GET", "/").data == b"hi"


def test_nothing_is_sent_where_the_port_has_changed_hands_meanwhile() -> None:
    async def ask(port: int) -> None:
        with pytest.raises(InstanceLostError, match="The instance has closed its port"):
            await Exchange(Listener("127.0.0.1", port), lambda: False).__aenter__()

    with socket.create_server(("127.0.0.1", 0)) as other:
        asyncio.run(ask(other.getsockname()[1]))
        connection, _ = other.accept()
        with connection:
            assert connection.recv(1) == b""


HEALTH = PAGE.replace(
    'if self.path == "/moved":',
    'if self.path == "/health":\n                return self.answer(b"", int(open("health").read()))\n'
    '            if self.path == "/moved":',
)


def test_health_checks(project: TestProject, emulator: Emulator, http: urllib3.PoolManager, tmp_path: Path) -> None:
    health = tmp_path / "health"
    health.write_text("503")
    project.deploy(HEALTH.replace('"health"', repr(str(health))))
    check = {"path": "/health", "interval": 1, "failure_threshold": 1}
    project.api.deployment_versions_update("lab", "model", "v1", {"health_check": check})
    project.api.services_create("lab", {"name": "page", "deployment": "model", "port": PORT})
    caller = Caller(project.api, emulator.token, http, "page")
    wait_until(lambda: project.request({"x": 1}), lambda answer: answer == {"y": 200})
    refused = caller("GET", "/")
    assert refused.status == 503
    assert refused.json() == {"error": "No instance of the service is ready; its status says when one is"}
    health.write_text("200")
    assert caller("GET", "/").status == 200
    health.write_text("500")
    # Whether or not somebody asks for the instance.
    failure = f"An instance failed its health check on the port {PORT}"
    wait_until(lambda: project.log(system=True), lambda lines: failure in lines)
    wait_until(lambda: caller("GET", "/").status, lambda status: status == 503)
    for wrong, problem in (({"interval": 0}, "health_check.interval"), ({"path": "x"}, "health_check.path")):
        with pytest.raises(ubiops.ApiException, match=problem):
            project.api.deployment_versions_update("lab", "model", "v1", {"health_check": wrong})


ECHO = """
    import socketserver
    import threading

    class Echo(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(line.upper())

    class Deployment:
        def __init__(self):
            server = socketserver.ThreadingTCPServer(("0.0.0.0", 7000), Echo)
            threading.Thread(target=server.serve_forever, daemon=True).start()

        def request(self, data):
            return {"y": 0}
"""


def test_public_ports(project: TestProject) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        public = free.getsockname()[1]
    project.deploy(ECHO)
    port = {"public_port": public, "deployment_port": 7000, "protocol": "tcp"}
    updated = project.api.deployment_versions_update("lab", "model", "v1", {"ports": [port]})
    assert updated.ports[0].public_port == public

    def ask() -> bytes:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", public)) as connection:
            connection.sendall(b"hello\n")
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(64), b""))
        return b""

    # Nothing is open, or behind it, until an instance listens.
    wait_until(ask, lambda answer: answer == b"HELLO\n")
    project.api.deployment_versions_update("lab", "model", "v1", {"ports": []})
    wait_until(ask, lambda answer: answer == b"")


def test_a_service_follows_its_deployment(page: Caller, project: TestProject) -> None:
    for resource, delete in (
        ("v1", lambda: project.api.deployment_versions_delete("lab", "model", "v1")),
        ("model", lambda: project.api.deployments_delete("lab", "model")),
    ):
        with pytest.raises(ubiops.ApiException, match=f"'{resource}' is served by the service 'page'"):
            delete()
    project.deploy_version(PAGE.replace("{self.path}", "second {self.path}"), "v2")
    project.api.deployments_update("lab", "model", {"default_version": "v2"})
    wait_until(lambda: page("GET", "/").data, lambda data: data.startswith(b"second /"))
    project.api.services_update("lab", "page", {"version": "v1"})
    wait_until(lambda: page("GET", "/").data, lambda data: data.startswith(b"/\n"))
    [version] = [found for found in project.api.deployment_versions_list("lab", "model") if found.version == "v1"]
    assert len(project.api.services_list("lab", deployment_version_ids=version.id)) == 1
    assert project.api.services_list("lab", deployment_version_ids="other") == []
    project.api.services_delete("lab", "page")
    assert page("GET", "/").status == 404
    project.api.deployments_delete("lab", "model")


def test_what_is_refused(project: TestProject) -> None:
    project.create_deployment()
    for data, problem in (
        ({"port": 0}, "port: it must be from 1 to 65535, not 0"),
        ({"port": 2**16}, "port: it must be from 1 to 65535, not 65536"),
        ({"type": "kubernetes_imported"}, "type: the emulator has no cluster"),
        ({"rate_limit": 0}, "rate_limit: it must be from 1 to"),
        ({"request_logging_excluded_paths": "("}, "request_logging_excluded_paths: not a regular expression"),
        ({"deployment": "other"}, "The deployment 'other' was not found"),
        ({"version": "v9"}, "Deployment version was not found: 'v9'"),
    ):
        with pytest.raises(ubiops.ApiException, match=problem):
            project.api.services_create("lab", {"name": "page", "deployment": "model", "port": 80, **data})
    port = {"public_port": 8080, "deployment_port": 80, "protocol": "tcp"}
    for version, problem in (
        ({"command": ["run"]}, "only for deployments with supports_request_format false"),
        ({"ports": [{**port, "protocol": "udp"}]}, "the emulator opens ports for tcp only, not for udp"),
        ({"ports": [{**port, "public_port": 0}]}, "ports.public_port: it must be from 1 to 65535, not 0"),
        ({"ports": [port, port]}, "the public port 8080 is taken"),
    ):
        with pytest.raises(ubiops.ApiException, match=problem):
            project.create_version(**version)
    created = project.api.services_create("lab", {"name": "page", "deployment": "model", "port": 80})
    assert project.api.services_status_get("lab", "page").ready is False
    assert (created.version, created.authentication_required, created.type) == (None, True, "standard")


SERVER = """
import http.server, os, sys

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{sys.argv[1]} {os.environ['PLACE']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

print("serving", flush=True)
http.server.HTTPServer(("0.0.0.0", 8080), Page).serve_forever()
""".replace("8080", str(PORT))


def test_a_deployment_without_the_request_format_runs_a_command(
    project: TestProject, emulator: Emulator, http: urllib3.PoolManager
) -> None:
    api: Any = emulator.client("4.15")
    created = api.deployments_create("lab", {"name": "model", "supports_request_format": False})
    assert (created.supports_request_format, created.input_fields) == (False, [])
    assert [found.name for found in api.deployments_list("lab", supports_request_format=False)] == ["model"]
    assert api.deployments_list("lab", supports_request_format=True) == []
    api.deployment_environment_variables_create("lab", "model", {"name": "PLACE", "value": "here", "secret": False})
    # Of an image's own entry point nothing is known here.
    assert api.deployment_versions_create("lab", "model", {"version": "v0"}).status == "unavailable"
    body = {"version": "v1", "command": ["python", "-c", SERVER], "args": ["one"]}
    version = api.deployment_versions_create("lab", "model", body)
    assert (version.command, version.args) == (body["command"], ["one"])
    wait_until(lambda: api.deployment_versions_get("lab", "model", "v1").status, lambda status: status == "available")
    serve(project, version="v1")
    page = Caller(project.api, emulator.token, http, "page")
    assert page("GET", "/").data == b"one here"
    assert "serving" in project.log()
    with pytest.raises(ubiops.BadRequestError, match="takes no requests; reach it through a service"):
        api.deployment_version_requests_create("lab", "model", "v1", "text")
    with pytest.raises(ubiops.BadRequestError, match="takes no requests, so it can't be in a pipeline"):
        make_line(project)
    with pytest.raises(ubiops.BadRequestError, match="takes no package; its versions run a command"):
        project.upload({"deployment.py": PAGE})
    for wrong in ("run", [1]):
        with pytest.raises(ubiops.ApiException, match="command: it must be a list of strings"):
            api.deployment_versions_update("lab", "model", "v1", {"command": wrong})
    api.deployment_versions_update("lab", "model", "v1", {"args": ["two"]})
    wait_until(lambda: page("GET", "/").data, lambda data: data == b"two here")
    api.deployment_versions_update("lab", "model", "v1", {"command": ["no-such-command"]})
    wait_until(lambda: api.revisions_list("lab", "model", "v1")[-1], lambda revision: revision.status == "failed")
    # What was built before goes on.
    assert page("GET", "/").data == b"two here"
