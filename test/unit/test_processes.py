"""One client in many threads and processes, and how it ends."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import multiprocessing.pool
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import ubiops
from test.server import Answer, Recorded, Server
from test.unit.raw_server import RawServer, silent
from ubiops.exceptions import ApiValueError

# The tests fork where threads are, as programs do; newer Pythons warn of that.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def status_of(client: ubiops.ApiClient) -> int:
    return int(client.call_api("/x", "GET")[1])


def in_a_fork(work: Callable[[], object]) -> int:
    """The exit code of a forked child that does some work; 0 where it did."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            # Past pytest, whose process this is not.
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true in good time: for what a thread does at its end."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def run(program: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program with every warning shown and an error."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


# Threads


@pytest.mark.parametrize("pool_size", [None, 2, 16])
def test_threads_that_share_a_client_need_no_more_connections_than_threads(
    configuration: ubiops.Configuration, server: Server, pool_size: int | None
) -> None:
    if pool_size is not None:
        configuration.connection_pool_maxsize = pool_size
    barrier = threading.Barrier(16)

    def together(request: Recorded) -> Answer:
        barrier.wait(30)
        return Answer.json({"thread": request.target})

    with ubiops.ApiClient(configuration) as client, ThreadPoolExecutor(16) as threads:

        def call(number: int) -> Any:
            return client.call_api(f"/{number}", "GET", response_type="object", _return_http_data_only=True)

        # All at once, so that there are as many connections as there can be; twice, so that it shows what was kept.
        for _ in range(2):
            server.answers = [together] * 16
            assert list(threads.map(call, range(16))) == [{"thread": f"/v2.1/{number}"} for number in range(16)]
        assert list(threads.map(call, range(200))) == [{}] * 200
    assert (server.connections == 16) == (pool_size != 2)


def test_asynchronous_calls_run_in_as_many_threads_as_asked_for(
    configuration: ubiops.Configuration, server: Server
) -> None:
    barrier = threading.Barrier(16)
    server.answers = [lambda request: (barrier.wait(30), Answer.json({}))[1]] * 16
    with ubiops.ApiClient(configuration, pool_threads=16) as client:
        results = [client.call_api("/x", "GET", async_req=True) for _ in range(200)]
        assert [result.get(30)[1] for result in results] == [200] * 200
    assert server.connections == 16


def test_an_asynchronous_call_raises_where_its_result_is_taken(client: ubiops.ApiClient, server: Server) -> None:
    server.default = Answer.json({"error": "gone"}, 404)
    result = ubiops.CoreApi(client).deployments_get("p", "d", async_req=True)
    with pytest.raises(ubiops.exceptions.NotFoundError, match="gone"):
        result.get(30)
    with pytest.raises(ApiValueError, match="_request_timeout"):
        ubiops.CoreApi(client).deployments_get("p", "d", async_req=True, _request_timeout=0)


def test_the_first_calls_of_many_threads_share_one_pool(configuration: ubiops.Configuration, server: Server) -> None:
    barrier = threading.Barrier(8)
    with ubiops.ApiClient(configuration) as client, ThreadPoolExecutor(8) as threads:
        pools = list(threads.map(lambda _: (barrier.wait(30), client.pool)[1], range(8)))
    assert len(set(map(id, pools))) == 1


# Forks


def test_a_child_opens_its_own_connections(client: ubiops.ApiClient, server: Server) -> None:
    assert status_of(client) == 200
    for _ in range(3):
        assert in_a_fork(lambda: [status_of(client) for _ in range(3)] and None) == 0
    for _ in range(3):
        assert status_of(client) == 200
    used = [request.connection for request in server.requests]
    assert used == [1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 1, 1, 1]


def test_a_child_opens_its_own_tls_connections(tls: Any) -> None:
    server = Server(tls.server)
    configuration = ubiops.Configuration(server.url)
    configuration.ssl_ca_cert = tls.ca_file
    try:
        with ubiops.ApiClient(configuration) as client:
            assert status_of(client) == 200
            assert in_a_fork(lambda: status_of(client) and None) == 0
            assert in_a_fork(client.close) == 0
            assert status_of(client) == 200
    finally:
        server.close()
    assert [request.connection for request in server.requests] == [1, 2, 1]


def test_a_child_has_its_own_pool(client: ubiops.ApiClient, server: Server) -> None:
    def call() -> int:
        return int(client.call_api("/x", "GET", async_req=True).get(30)[1])

    assert call() == 200

    def work() -> None:
        assert call() == 200
        client.close()
        assert call() == 200

    assert in_a_fork(work) == 0
    assert call() == 200


def test_a_child_of_a_busy_process_works_too(client: ubiops.ApiClient, server: Server) -> None:
    answered = threading.Event()
    called = threading.Event()

    def late(request: Recorded) -> Answer:
        called.set()
        answered.wait(30)
        return Answer.json({})

    server.answers = [late]
    result = client.call_api("/x", "GET", async_req=True)
    assert called.wait(30)
    assert in_a_fork(lambda: status_of(client) and None) == 0
    answered.set()
    assert result.get(30)[1] == 200


def test_threads_of_a_child_use_the_childs_connections(client: ubiops.ApiClient, server: Server) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: status_of(client), range(8)))
    parents = {request.connection for request in server.requests}
    server.requests.clear()

    def work() -> None:
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(lambda _: status_of(client), range(80))) == [200] * 80

    assert in_a_fork(work) == 0
    assert len(server.requests) == 80
    assert not parents & {request.connection for request in server.requests}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_a_process_that_imports_a_model_imports_it_too(server: Server) -> None:
    program = """
        import os, signal, sys, threading, warnings
        import ubiops

        # Newer Pythons warn of forks where threads are.
        warnings.simplefilter("ignore", DeprecationWarning)
        begun, forked = threading.Event(), threading.Event()

        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "ubiops.models.deployment_detail" and not begun.is_set():
                    begun.set()
                    # A fork waits for the import, so it doesn't come.
                    forked.wait(1)

        sys.meta_path.insert(0, Finder)
        api = ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration(sys.argv[1])))
        thread = threading.Thread(target=api.deployments_get, args=("p", "d"))
        thread.start()
        begun.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            print(type(api.deployments_get("p", "d")).__name__, flush=True)
            os._exit(0)
        forked.set()
        thread.join()
        print(os.waitpid(child, 0)[1])
    """
    done = run(program, server.url)
    assert (done.stdout, done.stderr) == ("DeploymentDetail\n0\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_takes_a_client_along(client: ubiops.ApiClient, server: Server, method: str) -> None:
    status_of(client)
    with multiprocessing.get_context(method).Pool(2) as processes:
        assert processes.map(status_of, [client] * 4) == [200] * 4
    assert status_of(client) == 200
    assert server.last.headers["Authorization"] is None


# Copies


def test_a_client_is_pickled_without_its_sockets(client: ubiops.ApiClient, server: Server) -> None:
    client.set_default_header("X-Mine", "1")
    client.cookie = "c=1"
    client.call_api("/x", "GET", async_req=True).get(30)
    for duplicate in (pickle.loads(pickle.dumps(client)), copy.deepcopy(client)):
        with duplicate:
            duplicate.call_api("/x", "GET", auth_settings=["api_key"])
            assert server.last.headers["X-Mine"] == "1"
            assert server.last.headers["Cookie"] == "c=1"
            assert server.last.headers["Authorization"] == "Token secret-token"
            assert duplicate.rest_client.configuration is duplicate.configuration
            assert duplicate.call_api("/x", "GET", async_req=True).get(30)[1] == 200
    assert status_of(client) == 200
    assert len({request.connection for request in server.requests}) == 3


def test_an_api_is_pickled_with_its_client(api: ubiops.CoreApi, server: Server) -> None:
    duplicate = pickle.loads(pickle.dumps(api))
    with duplicate.api_client:
        duplicate.service_status()
    assert len(server.requests) == 1


# The end


def test_a_client_that_is_dropped_is_collected_and_its_threads_too(
    configuration: ubiops.Configuration, server: Server
) -> None:
    before = set(threading.enumerate())
    client = ubiops.ApiClient(configuration, pool_threads=4)
    client.call_api("/x", "GET")
    client.call_api("/x", "GET", async_req=True).get(30)
    server.answers = [Answer(404)]
    with pytest.raises(ubiops.ApiException):
        client.call_api("/x", "GET", async_req=True).get(30)
    ours = {thread for thread in threading.enumerate() if "process_request" not in repr(thread)} - before
    assert len(ours) >= 4
    collected = weakref.ref(client)
    pool = weakref.ref(client.rest_client.pool_manager)
    del client
    # The error that was caught holds the frames that it came through.
    assert wait_for(lambda: gc.collect() >= 0 and collected() is None)
    assert pool() is None
    assert wait_for(lambda: not ours & set(threading.enumerate()))


def test_a_client_whose_construction_failed_makes_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    configuration = ubiops.Configuration()
    configuration.cert_file = "no such file"
    for fail in (
        lambda: ubiops.ApiClient(configuration),
        lambda: ubiops.CoreApi(ubiops.ApiClient(configuration)),
        lambda: ubiops.ApiClient(no_such_argument=1),  # type: ignore[call-arg]
        lambda: ubiops.ApiClient("no configuration"),  # type: ignore[arg-type]
    ):
        with pytest.raises((ApiValueError, TypeError, AttributeError)):
            fail()
        gc.collect()
    assert capfd.readouterr() == ("", "")


def test_closing_waits_for_nothing_that_hangs() -> None:
    with RawServer(silent) as server:
        configuration = ubiops.Configuration(server.url)
        configuration.retries = 0
        client = ubiops.ApiClient(configuration, pool_threads=2)
        results = [client.call_api("/x", "GET", async_req=True) for _ in range(2)]
        assert wait_for(lambda: len(server.heads) == 2)
        started = time.monotonic()
        client.close()
        client.close()
        del client
        gc.collect()
        assert time.monotonic() - started < 5
        assert not any(result.ready() for result in results)
    for result in results:
        with pytest.raises(ubiops.exceptions.ApiConnectionError):
            result.get(30)


def test_what_was_begun_before_closing_is_finished(client: ubiops.ApiClient, server: Server) -> None:
    results = [client.call_api("/x", "GET", async_req=True) for _ in range(10)]
    client.close()
    assert [result.get(30)[1] for result in results] == [200] * 10


def test_a_pool_that_another_thread_closes_is_replaced(client: ubiops.ApiClient, server: Server) -> None:
    stopped = threading.Event()

    def close() -> None:
        while not stopped.is_set():
            client.close()

    closer = threading.Thread(target=close)
    interval = sys.getswitchinterval()
    # Otherwise the closing thread keeps the interpreter for most of the time.
    sys.setswitchinterval(1e-5)
    closer.start()
    try:
        for _ in range(50):
            assert client.call_api("/x", "GET", async_req=True).get(30)[1] == 200
    finally:
        stopped.set()
        closer.join()
        sys.setswitchinterval(interval)
    client.pool.close()
    assert client.call_api("/x", "GET", async_req=True).get(30)[1] == 200


def test_no_call_is_lost_that_is_handed_over_while_the_pool_closes(
    client: ubiops.ApiClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(multiprocessing.pool.ApplyResult[Any]):
        # The pool has found that it is open, and doesn't know of the call yet: where another thread may close it.
        def __init__(self, pool: Any, *arguments: Any) -> None:
            client.close()
            # Not closed, it doesn't end; a pool that is has nothing to do, and ends at once.
            pool._task_handler.join(0.5)
            super().__init__(pool, *arguments)

    monkeypatch.setattr(multiprocessing.pool, "ApplyResult", Late)
    assert client.call_api("/x", "GET", async_req=True).get(30)[1] == 200
    assert not client._retired


def test_closing_closes_idle_connections_that_an_answer_or_error_keeps(server: Server) -> None:
    configuration = ubiops.Configuration(server.url)
    configuration.retries = 0
    with ubiops.ApiClient(configuration) as client:
        raw, _, _ = client.call_api("/x", "GET", _preload_content=False)
        status_of(client)
        assert client.last_response.urllib3_response._pool is None
        pool: Any = client.rest_client.pool_manager.connection_from_url(server.url)
        connections = [pool._get_conn(), raw._connection]
        pool._put_conn(connections[0])
        assert all(connection.sock is not None for connection in connections)
        client.close()
        # Those in use close when they are given back.
        assert [connection.sock is None for connection in connections] == [True, False]
        assert raw.read() == b"{}"
        assert connections[1].sock is None


def test_a_closed_client_opens_again(client: ubiops.ApiClient, server: Server) -> None:
    assert status_of(client) == 200
    client.close()
    assert status_of(client) == 200
    assert client.call_api("/x", "GET", async_req=True).get(30)[1] == 200
    assert server.connections == 2


def test_the_end_of_a_program_waits_for_its_asynchronous_calls(server: Server) -> None:
    program = """
        import sys
        import ubiops
        client = ubiops.ApiClient(ubiops.Configuration(sys.argv[1]), pool_threads=2)
        calls = [client.call_api("/x", "POST", async_req=True) for _ in range(6)]
        with ubiops.ApiClient(client.configuration) as closed:
            closed.call_api("/x", "POST", async_req=True)
    """
    late = threading.Event()
    server.default = lambda request: (late.wait(0.2), Answer.json({}))[1]
    done = run(program, server.url)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert len(server.requests) == 7


def test_a_program_ends_while_a_call_hangs_and_says_so() -> None:
    program = """
        import sys
        import ubiops, ubiops.api_client
        # 30 s are told about in the docstring of `close`.
        ubiops.api_client._LEAVING = 0.5
        client = ubiops.ApiClient(ubiops.Configuration(sys.argv[1]), pool_threads=2)
        calls = [client.call_api("/x", "GET", async_req=True) for _ in range(3)]
        print("end")
    """
    with RawServer(silent) as server:
        done = run(program, server.url)
    warning = "The program ends while 3 asynchronous calls are under way: get() their results\n"
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", warning, 0)


def test_nothing_is_left_open(server: Server, tmp_path: Any) -> None:
    program = """
        import os, sys
        import ubiops
        from ubiops.exceptions import ApiException

        def use(client):
            api = ubiops.CoreApi(client)
            api.service_status()
            for call in (api.deployments_get, api.blobs_get):
                try:
                    call("p", "missing")
                except ApiException as error:
                    assert error.status == 404, error
                else:
                    raise AssertionError
            api.blobs_create("p", api.blobs_get("p", "b", _preload_content=True))
            with api.blobs_get("p", "b") as response:
                response.read(1)
            api.blobs_get("p", "b")
            try:
                api.blobs_get("p", "broken", _preload_content=True)
            except ApiException as error:
                assert error.status == 0, error
            else:
                raise AssertionError
            api.service_status(async_req=True).get(30)

        configuration = ubiops.Configuration(sys.argv[1])
        configuration.temp_folder_path = sys.argv[2]
        configuration.retries = 0
        with ubiops.ApiClient(configuration) as client:
            use(client)
        use(ubiops.ApiClient(configuration))
        client = ubiops.ApiClient(configuration)
        use(client)
        print("end", flush=True)
    """

    def answer(request: Recorded) -> Answer | bytes:
        if request.path.endswith("missing"):
            return Answer(404, b"x" * (2 << 20))
        if request.path.endswith("broken"):
            return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"
        if "/blobs/" in request.path:
            return Answer(200, b"content")
        return Answer.json({})

    server.default = answer
    done = run(program, server.url, str(tmp_path))
    assert (done.stdout, done.stderr, done.returncode) == ("end\n", "", 0)


def test_neither_descriptors_nor_threads_grow(client: ubiops.ApiClient, server: Server) -> None:
    def held() -> tuple[int, int]:
        ours = [thread for thread in threading.enumerate() if "process_request" not in thread.name]
        return len(os.listdir("/proc/self/fd")), len(ours)

    status_of(client)
    client.call_api("/x", "GET", async_req=True).get(30)
    before = held()
    for _ in range(300):
        status_of(client)
    for _ in range(100):
        client.call_api("/x", "GET", async_req=True).get(30)
    for _ in range(20):
        server.answers = [Answer(500), None, None, None]
        with pytest.raises(ubiops.ApiException):
            client.call_api("/x", "POST")
        with pytest.raises(ubiops.ApiException):
            client.call_api("/x", "POST")
        server.answers.clear()
    status_of(client)
    assert wait_for(lambda: held() <= before)
