"""Many files up and down, against the emulator; and what is left of them where one fails or Ctrl-C is pressed."""

from __future__ import annotations

import io
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.project import TestProject
from test.server import Answer, Recorded, Server
from test.utils.storage import Signer, Storage, below, make
from ubiops.emulator import Emulator
from ubiops.emulator.faults import Fault
from ubiops.emulator.handlers import files
from ubiops.exceptions import (
    ApiFileError,
    ApiTypeError,
    ApiValueError,
    ForbiddenError,
    NotFoundError,
    TooManyRequestsError,
)
from ubiops.utils import (
    IncompleteTransfer,
    UbiOpsFile,
    download_file,
    download_files,
    handle_file_input,
    polling,
    upload_file,
    upload_files,
)
from ubiops.utils.files import parallel
from ubiops.utils.files.parallel import Transfer

if TYPE_CHECKING:
    from ubiops.utils.files.transfer import Report

READ = """
    class Deployment:
        def request(self, data):
            with open(data["text"]) as file:
                return {"found": file.read()}
"""


@pytest.fixture(autouse=True)
def _threads_end_with_their_test() -> Iterator[None]:
    yield
    wait_for_threads()


def transferring() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ubiops-transfer"]


def wait_for_threads() -> None:
    for thread in transferring():
        thread.join(30)
        assert not thread.is_alive()


class TestEmulator:
    def test_a_tree_goes_up_and_comes_down_again(self, project: TestProject, folder: Path) -> None:
        names = [f"{year}/{month:02}/sales ü {day}.csv" for year in (2021, 2022) for month in (1, 2) for day in (1, 2)]
        make(folder / "data", *names, "notes.txt")
        uris = upload_files(project.api, "lab", "data", file_prefix="raw", parallel_uploads=3)
        assert uris == [f"ubiops-file://default/raw/{name}" for name in sorted([*names, "notes.txt"])]
        paths = download_files(project.api, "lab", output_path="copy", parallel_downloads=3)
        assert paths == [f"copy/raw/{name}" for name in sorted([*names, "notes.txt"])]
        assert below(folder / "copy" / "raw") == below(folder / "data")

    def test_a_prefix_picks_files_and_keeps_their_names(self, project: TestProject, folder: Path) -> None:
        make(folder / "data", "2021/a", "2022/b", "2022-old/c")
        upload_files(project.api, "lab", "data")
        assert download_files(project.api, "lab", prefix="2022/") == ["./2022/b"]
        assert download_files(project.api, "lab", prefix="2022", output_path=Path("all")) == [
            "all/2022-old/c",
            "all/2022/b",
        ]
        assert download_files(project.api, "lab", prefix="none", output_path="nothing") == []
        assert not (folder / "nothing").exists()

    def test_the_list_is_read_to_its_last_page(
        self, project: TestProject, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Replaced: the emulator's own pages hold 100 files.
        monkeypatch.setattr(files, "_DEFAULT_LIMIT", 3)
        make(folder / "data", *"abcdefg")
        upload_files(project.api, "lab", "data")
        assert len(download_files(project.api, "lab", output_path="copy")) == 7
        assert below(folder / "copy") == below(folder / "data")

    def test_bucket_and_client_are_the_callers(self, project: TestProject, folder: Path) -> None:
        project.api.buckets_create("lab", {"name": "own", "provider": "azure_blob_storage",
            "credentials": {"connection_string": "x"}, "configuration": {"container": "x"}})  # fmt: skip
        make(folder, "x")
        client = project.api.api_client
        assert upload_files(client, "lab", "x", "own") == ["ubiops-file://own/x"]
        assert download_files(client, "lab", "own", output_path="copy") == ["copy/x"]
        assert download_files(client, "lab", output_path="copy") == []

    def test_what_is_on_disk_is_replaced(self, project: TestProject, folder: Path) -> None:
        make(folder, "data/x", "copy/x", "copy/y")
        upload_files(project.api, "lab", "data")
        (folder / "copy" / "x").chmod(0o640)
        download_files(project.api, "lab", output_path="copy")
        assert below(folder / "copy") == {"x": "data/x", "y": "copy/y"}
        assert (folder / "copy" / "x").stat().st_mode & 0o777 == 0o640

    def test_a_broken_connection_is_mended(self, emulator: Emulator, project: TestProject, folder: Path) -> None:
        (folder / "big").write_bytes(content := bytes(range(256)) * 20_000)
        uri = upload_file(project.api, "lab", "big")
        emulator.faults.add(Fault("GET", "/_emulator/storage/*", truncate=True))
        assert Path(download_file(project.api, "lab", file_uri=uri, output_path="copy")).read_bytes() == content

    def test_a_uri_object_names_what_to_download(self, project: TestProject, folder: Path) -> None:
        make(folder, "x")
        upload_file(project.api, "lab", "x", file_name="deep/x")
        assert download_file(project.api, "lab", file_uri=UbiOpsFile("default", "deep/x"), output_path="y") == "y"
        assert (folder / "y").read_text() == "x"

    def test_an_input_of_a_request(self, project: TestProject, folder: Path) -> None:
        project.deploy(
            READ,
            input_fields=[{"name": "text", "data_type": "file"}],
            output_fields=[{"name": "found", "data_type": "string"}],
        )
        make(folder, "note.txt")
        uri = handle_file_input(project.api, "lab", "note.txt", file_prefix="in/1")
        assert uri == "ubiops-file://default/in/1/note.txt"
        for value in (uri, UbiOpsFile.from_uri(uri)):
            assert project.request({"text": value}) == {"found": "note.txt"}

    def test_no_such_project_or_bucket(self, project: TestProject, folder: Path) -> None:
        make(folder, "x")
        with pytest.raises(IncompleteTransfer, match="'other' was not found") as caught:
            upload_files(project.api, "other", "x")
        assert isinstance(caught.value.__cause__, NotFoundError)
        for arguments in (("other",), ("lab", "none")):
            with pytest.raises(NotFoundError, match="was not found"):
                download_files(project.api, *arguments)

    def test_a_token_without_permission(self, project: TestProject, callers: Callers, folder: Path) -> None:
        make(folder, "x")
        upload_file(project.api, "lab", "x")
        nobody = callers.service_user()
        with pytest.raises(IncompleteTransfer, match="permission") as caught:
            upload_files(nobody, "lab", ["x"])
        assert isinstance(caught.value.failed["x"], ForbiddenError)
        with pytest.raises(ForbiddenError):
            download_files(nobody, "lab")
        # May list, but not read.
        with pytest.raises(ForbiddenError):
            download_file(nobody, "lab", file_name="x", output_path="copy")
        assert os.listdir(folder) == ["x"]

    def test_the_rate_limit_is_waited_for(
        self, emulator: Emulator, project: TestProject, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(folder / "data", *"abcdefgh")
        project.api.api_client.configuration.retries = 0
        # Replaced: it is a matter of minutes.
        monkeypatch.setattr(polling.Backoff, "first", 0.01)
        emulator.faults.add(Fault("POST", "*/files/*", times=12, status=429))
        assert len(upload_files(project.api, "lab", "data", parallel_uploads=2)) == 8
        emulator.faults.add(Fault("GET", "*/download", times=12, status=429))
        assert len(download_files(project.api, "lab", output_path="copy")) == 8

    def test_a_rate_limit_that_does_not_end(
        self, emulator: Emulator, project: TestProject, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(folder, "x")
        project.api.api_client.configuration.retries = 0
        monkeypatch.setattr(polling.Backoff, "first", 0.01)
        monkeypatch.setattr(parallel, "_PATIENCE", 0.05)
        emulator.faults.add(Fault("POST", "*/files/*", times=1000, status=429))
        with pytest.raises(IncompleteTransfer) as caught:
            upload_files(project.api, "lab", "x")
        assert isinstance(caught.value.failed["x"], TooManyRequestsError)


@pytest.mark.parametrize("file", ["ubiops-file://b/x", UbiOpsFile("b", "x")])
def test_a_uri_of_a_file_that_is_there_is_given_back(file: Any, client: ubiops.ApiClient, server: Server) -> None:
    server.answers = [Answer.json({"file": "x", "size": 1}), Answer(404)]
    uri = handle_file_input(client, "p", file)
    assert (uri, type(uri)) == ("ubiops-file://b/x", str)
    with pytest.raises(NotFoundError):
        handle_file_input(client, "p", file)


class TestInput:
    @pytest.fixture(autouse=True)
    def _nothing_is_sent(self, server: Server) -> Iterator[None]:
        yield
        assert server.requests == []

    @pytest.mark.parametrize("file", ["ubiops-file://", "ubiops-file://b", "ubiops-file://b/"])
    def test_a_uri_that_is_none(self, file: str, client: ubiops.ApiClient) -> None:
        with pytest.raises(ApiValueError, match="when calling `handle_file_input`, must be ubiops-file://bucket/name"):
            handle_file_input(client, "p", file)

    @pytest.mark.parametrize("file", ["missing", ".", None, 7, "http://host/x", b"content"])
    def test_what_is_no_file(self, file: Any, client: ubiops.ApiClient) -> None:
        with pytest.raises((ApiFileError, ApiTypeError), match="`file` when calling `handle_file_input`"):
            handle_file_input(client, "p", file)

    def test_a_prefix_that_is_none(self, client: ubiops.ApiClient) -> None:
        with pytest.raises(ApiTypeError, match="`file_prefix` when calling `handle_file_input`"):
            handle_file_input(client, "p", io.BytesIO(), file_prefix=7)  # type: ignore[arg-type]


@pytest.fixture
def hurried(client: ubiops.ApiClient, signer: Signer) -> ubiops.ApiClient:
    """A client that doesn't try again, so that the threads which a test leaves behind end with the test's servers."""
    client.configuration.retries = 0
    return client


class TestFailure:
    def test_the_rest_of_what_runs_is_finished(self, hurried: ubiops.ApiClient, storage: Storage, folder: Path) -> None:
        make(folder, *"abcdef")
        failing, running = threading.Event(), threading.Event()

        def behave(request: Recorded) -> Answer:
            if request.path == "/b":
                # Fails while another runs.
                assert running.wait(30)
                failing.set()
                return Answer.json({"error": "quota exceeded"}, 507)
            if request.path == "/c":
                running.set()
                assert failing.wait(30)
            storage.files[request.path[1:]] = request.body
            return Answer(200)

        storage.default = behave
        with pytest.raises(IncompleteTransfer) as caught:
            upload_files(hurried, "p", list("abcdef"), parallel_uploads=2)
        error = caught.value
        assert error.completed.keys() | error.failed.keys() | {*error.remaining} == {*"abcdef"}
        assert error.completed["a"] == "ubiops-file://default/a"
        assert {"a", "c"} <= error.completed.keys() == storage.files.keys()
        assert isinstance(error, ubiops.OpenApiException)
        assert list(error.failed) == ["b"]
        assert error.__cause__ is error.failed["b"]
        assert str(error).startswith(f"{len(error.completed)} of 6 files were uploaded. 1 failed: 'b': ")
        assert "quota exceeded" in str(error)

    def test_nothing_is_begun_after_a_failure(self, hurried: ubiops.ApiClient, storage: Storage, folder: Path) -> None:
        make(folder, *"abcd")
        storage.answers = [Answer(200), Answer(500)]
        with pytest.raises(IncompleteTransfer) as caught:
            upload_files(hurried, "p", list("abcd"), parallel_uploads=1)
        assert (list(caught.value.completed), list(caught.value.failed)) == (["a"], ["b"])
        assert caught.value.remaining == ["c", "d"]
        assert len(storage.requests) == 2
        assert str(caught.value).endswith("2 were not started or abandoned")

    def test_a_download_that_fails_leaves_what_is_complete(
        self, hurried: ubiops.ApiClient, storage: Storage, folder: Path
    ) -> None:
        storage.files = {name: name.encode() for name in "abc"}
        storage.answers = [storage.whole, storage.cut(0)]
        with pytest.raises(IncompleteTransfer, match="1 of 3 files were downloaded") as caught:
            download_files(hurried, "p", parallel_downloads=1)
        assert caught.value.completed == {"a": "./a"}
        assert (list(caught.value.failed), caught.value.remaining) == (["b"], ["c"])
        assert below(folder) == {"a": "a"}

    def test_a_file_that_vanishes_meanwhile(self, hurried: ubiops.ApiClient, storage: Storage, folder: Path) -> None:
        make(folder, "data/a", "data/b")

        def vanish(request: Recorded) -> Answer:
            (folder / "data" / "b").unlink()
            return Answer(200)

        storage.answers = [vanish]
        with pytest.raises(IncompleteTransfer) as caught:
            upload_files(hurried, "p", "data", parallel_uploads=1)
        assert caught.value.completed == {"data/a": "ubiops-file://default/a"}
        assert isinstance(caught.value.failed["data/b"], ApiFileError)

    def test_a_message_names_a_few_and_the_error_all(
        self, hurried: ubiops.ApiClient, storage: Storage, folder: Path
    ) -> None:
        storage.files = {name: b"" for name in ("../a", "../b", "../c", "../d")}
        with pytest.raises(IncompleteTransfer) as caught:
            download_files(hurried, "p")
        assert "'../c'" in str(caught.value)
        assert "'../d'" not in str(caught.value)
        assert str(caught.value).endswith("; and others")
        assert len(caught.value.failed) == 4
        copy = pickle.loads(pickle.dumps(caught.value))
        assert (str(copy), copy.completed, copy.remaining) == (str(caught.value), {}, [])
        assert copy.failed.keys() == caught.value.failed.keys()

    def test_a_disk_that_is_full(
        self, hurried: ubiops.ApiClient, storage: Storage, server: Server, folder: Path
    ) -> None:
        storage.files = {"big": bytes(3 << 20), "small": b"x"}
        program = textwrap.dedent(
            """
            import resource, signal, sys
            import ubiops
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            client = ubiops.ApiClient(ubiops.Configuration(sys.argv[1]))
            try:
                ubiops.utils.download_file(client, "p", file_name="big")
            except OSError as error:
                print(error)
            try:
                ubiops.utils.download_files(client, "p")
            except ubiops.utils.IncompleteTransfer as error:
                print(*error.failed.values())
            """
        )
        command = [sys.executable, "-W", "error", "-c", program, server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.stderr) == ("[Errno 27] File too large: './big'\n" * 2, "")
        assert [name for name in os.listdir(folder) if name != "small"] == []


def pressing_ctrl_c(then: Callable[[Recorded], Any]) -> Callable[[Recorded], Any]:
    def behave(request: Recorded) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return then(request)

    return behave


class TestCtrlC:
    @pytest.fixture
    def silence(self) -> Iterator[Callable[[Recorded], None]]:
        """A server that doesn't answer until the test is over."""
        over = threading.Event()

        def behave(request: Recorded) -> None:
            over.wait(60)

        yield behave
        over.set()

    def test_it_stops_downloads_and_leaves_no_part(
        self, hurried: ubiops.ApiClient, storage: Storage, folder: Path, silence: Any
    ) -> None:
        storage.files = {name: name.encode() for name in "abcdef"}
        # The first comes whole; of the others, two are waited for when the signal comes.
        storage.answers = [storage.whole, silence, pressing_ctrl_c(silence)]
        with pytest.raises(KeyboardInterrupt) as caught:
            download_files(hurried, "p", parallel_downloads=2)
        cause = caught.value.__cause__
        assert isinstance(cause, IncompleteTransfer)
        assert cause.failed == {}
        (done,) = cause.completed
        assert sorted([done, *cause.remaining]) == list("abcdef")
        assert below(folder) == {done: done}

    def test_it_stops_uploads_and_says_what_is_there(
        self, hurried: ubiops.ApiClient, storage: Storage, folder: Path, silence: Any
    ) -> None:
        make(folder, *"abc")
        storage.answers = [Answer(200), pressing_ctrl_c(silence)]
        with pytest.raises(KeyboardInterrupt) as caught:
            upload_files(hurried, "p", list("abc"), parallel_uploads=1)
        cause = caught.value.__cause__
        assert isinstance(cause, IncompleteTransfer)
        assert cause.completed == {"a": "ubiops-file://default/a"}
        assert cause.remaining == ["b", "c"]
        assert str(cause) == "1 of 3 files were uploaded. 2 were not started or abandoned"

    def test_who_was_left_behind_writes_nothing_later(
        self, hurried: ubiops.ApiClient, storage: Storage, folder: Path
    ) -> None:
        storage.files = {name: bytes(5 << 20) for name in "ab"}
        interrupted = threading.Event()

        def whole(request: Recorded) -> Answer:
            assert interrupted.wait(30)
            return storage.whole(request)

        storage.answers = [whole, pressing_ctrl_c(whole)]
        with pytest.raises(KeyboardInterrupt):
            download_files(hurried, "p", parallel_downloads=2)
        left = transferring()
        assert len(left) == 2
        # So that the program can end without them.
        assert all(thread.daemon for thread in left)
        interrupted.set()
        wait_for_threads()
        assert os.listdir(folder) == []

    def test_who_runs_is_stopped_at_the_next_block(self) -> None:
        def work(transfer: Transfer, report: Report) -> str:
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                report(0)

        with pytest.raises(KeyboardInterrupt):
            parallel.transfer_all([Transfer("a", "b", 1)], work, 1, "upload", False)
        wait_for_threads()

    def test_a_single_download_leaves_no_part(
        self, hurried: ubiops.ApiClient, storage: Storage, folder: Path, silence: Any
    ) -> None:
        storage.answers = [pressing_ctrl_c(silence)]
        with pytest.raises(KeyboardInterrupt):
            download_file(hurried, "p", file_name="x")
        assert os.listdir(folder) == []


class Bar:
    """Stands in for a terminal's: what is told to it is what is tested."""

    made: list[Bar]

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.n = 0
        self.state = ""
        self.made.append(self)

    def update(self, amount: int) -> None:
        self.n += amount

    def refresh(self) -> None:
        pass

    def set_postfix_str(self, state: str, refresh: bool = True) -> None:
        self.state = state

    def close(self) -> None:
        pass


class TestProgress:
    @pytest.fixture
    def bars(self, monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
        bars: list[Bar] = []
        monkeypatch.setattr(Bar, "made", bars, raising=False)
        monkeypatch.setattr("ubiops.utils.progress_bar._watched", lambda: True)
        monkeypatch.setattr("ubiops.utils.progress_bar._make_bar", Bar)
        return bars

    def test_bytes_are_counted(self, hurried: ubiops.ApiClient, folder: Path, bars: list[Bar]) -> None:
        make(folder, "data/one", "data/three", "data/empty")
        (folder / "data" / "empty").write_bytes(b"")
        size = len("data/one") + len("data/three")
        upload_files(hurried, "p", "data", file_prefix="raw")
        download_files(hurried, "p", output_path="copy")
        upload_file(hurried, "p", "data/one")
        download_file(hurried, "p", file_name="one", output_path="copy")
        shown = [(bar.description, bar.total, bar.n, bar.unit) for bar in bars]
        assert shown == [
            ("Uploading 3 files", size, size, "B"),
            ("Downloading 3 files", size, size, "B"),
            ("Uploading one", 8, 8, "B"),
            ("Downloading one", 8, 8, "B"),
        ]
        assert bars[0].state == bars[1].state == "3 of 3 files"

    def test_who_wants_none_gets_none(
        self, hurried: ubiops.ApiClient, folder: Path, bars: list[Bar], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "ubiops.utils")
        make(folder, "x")
        upload_files(hurried, "p", "x", _progress_bar=False)
        upload_file(hurried, "p", "x", _progress_bar=False)
        handle_file_input(hurried, "p", "x", _progress_bar=False)
        download_files(hurried, "p", _progress_bar=False)
        download_file(hurried, "p", file_name="x", _progress_bar=False)
        assert bars == []
        assert caplog.messages == []

    def test_a_pipe_gets_a_line_per_file(
        self, hurried: ubiops.ApiClient, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "ubiops.utils")
        make(folder, "x", "y")
        upload_files(hurried, "p", ["x", "y"], parallel_uploads=1)
        assert [message.partition(": ")[2] for message in caplog.messages] == [
            "started",
            "1 of 2 files",
            "2 of 2 files",
            "finished",
        ]
