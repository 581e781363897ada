"""Properties that hold whatever is put in, by hypothesis: any answer, any Location, any text in a request."""

from __future__ import annotations

import copy
import http.client
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import urllib3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import ubiops
from test.faults import fuzz
from test.faults.answers import DATE, right_answer
from test.faults.faults import FAULTS, serving
from test.faults.helpers import KINDS, impatient
from test.faults.oracle import body_of
from test.faults.table import hurried
from test.server import Answer, Server
from test.unit.raw_server import RawServer
from ubiops import utils
from ubiops.connections import _Lines
from ubiops.exceptions import ApiException, ApiTypeError, ApiValueError, OpenApiException
from ubiops.files import filename_of
from ubiops.urls import origin_of, redirect_target, same_origin, split

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")

EXAMPLES = int(os.environ.get("FAULTS_EXAMPLES", "20"))
RIGHT = FAULTS["nothing wrong"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
HOSTS = st.sampled_from(["evil.test", "api.test", "api.test:443", ""])
MARKS = st.sampled_from(["", "/", "@", "\\@", "\\", "#@", "?@", " @", "\t@", "%40", "."]) | st.text(
    "/\\@:?#", max_size=2
)
# One server serves all examples of a test.
SHARED = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
OPERATIONS = [
    lambda api: api.deployments_get("p", "d"),
    lambda api: api.deployments_list("p"),
    lambda api: api.projects_create({"name": "p", "organization_name": "o"}),
    lambda api: api.deployments_delete("p", "d"),
    lambda api: api.deployment_requests_create("p", "d", {"a": 1}),
    lambda api: api.pipeline_versions_get("p", "n", "v"),
    lambda api: api.blobs_get("p", "b", _preload_content=True),
]


@pytest.fixture
def one_attempt(api: ubiops.CoreApi, tmp_path: Any) -> ubiops.CoreApi:
    configuration = api.api_client.configuration
    configuration.retries, configuration.temp_folder_path = 0, str(tmp_path)
    return api


@pytest.fixture
def other() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@SHARED
@given(body=JSON, status=st.sampled_from([200, 201, 204, 400, 404, 500]), which=st.sampled_from(OPERATIONS))
def test_any_json_as_an_answer_is_read_or_a_typed_error(
    one_attempt: ubiops.CoreApi, server: Server, body: Any, status: int, which: Any
) -> None:
    server.default = Answer(status, json.dumps(body).encode())
    _typed(lambda: which(one_attempt))


@SHARED
@given(body=st.binary(max_size=200), which=st.sampled_from(OPERATIONS))
def test_any_bytes_as_a_body_are_read_or_a_typed_error(
    one_attempt: ubiops.CoreApi, server: Server, body: bytes, which: Any
) -> None:
    server.default = Answer(200, body)
    _typed(lambda: which(one_attempt))


def _one_of(choices: Any) -> Any:
    """One of several texts or bytes, that are written with bars between them."""
    return st.sampled_from(choices.split("|" if isinstance(choices, str) else b"|"))


# Answers that are nearly right: what parsers have read differently, each at its place.
STATUS_LINES = _one_of(
    b"HTTP/1.1 200 OK|HTTP/1.1 200|HTTP/1.0 200 OK|HTTP/1.1 2000 OK|HTTP/1.1 +200 OK|HTTP/1.1 20_0 OK|HTTP/1.2 200 OK"
    b"|HTTP/2 200|http/1.1 200 OK| HTTP/1.1 200 OK|HTTP/1.1  200 OK|HTTP/1.1 204 No|HTTP/1.1 99 OK|PRI * HTTP/2.0"
    b"|HTTP/1.1 200 \rOK"
)
NUMBER_MARKS = _one_of(b"+|-|0x|_| |\t|\xa0|\x0b|\xb2|\0|,")
LINE_ENDS = st.just(b"\r\n") | _one_of(b"\r\n|\n|\r|\r\r\n|\n\n")
CODINGS = st.just(b"chunked") | _one_of(b"Chunked|identity|gzip|chunked, chunked|gzip, chunked|x chunked|\x0bchunked")
OTHER_HEADERS = _one_of(
    b"X-A: 1|X-A : 1|X-A| folded|: 1|X A: 1|From me|From me: 1|X-A: \0|X-A: 1\rX-B: 2|X-A: \xff|Content-Length : 3"
    b"|Content-Length\t: 3|Content Length: 3|X-A: 1\n Content-Length: 3"
)


class _Near:
    """Draws the parts of an answer: right ones, but for those of one place in it."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self.wrong = draw(
            _one_of("status|line end|header|length|number|number|coding|extension|after a chunk|trailer|cut")
        )

    def part(self, place: str, right: Any, wrong: Any) -> Any:
        return self._draw(wrong) if place == self.wrong and self._draw(st.booleans()) else right

    def line(self, text: bytes) -> Any:
        return text + self.part("line end", b"\r\n", LINE_ENDS)

    def number(self, number: int, form: str = "") -> Any:
        number = max(self.part("length", number, st.integers(number - 2, number + 2)), 0)
        text = f"{number:{form}}".encode()
        at = self.part("number", None, st.sampled_from([0, 0, len(text) // 2, len(text)]))
        return text if at is None else text[:at] + self._draw(NUMBER_MARKS) + text[at:]

    def chunks(self, parts: list[bytes]) -> Any:
        chunks = []
        for data in [*parts, b""]:
            extension = self.part("extension", b"", _one_of(b';a=b| ;a|;\n|; a="\r\n"'))
            after = self.part("after a chunk", b"\r\n", _one_of(b"\n||xx|\r\r|\n\n"))
            chunks.append(self.line(self.number(len(data), "x") + extension) + data + (after if data else b""))
        trailer = self.part("trailer", b"\r\n", _one_of(b"|X-A: 1\r\n\r\n|X-A: 1\r\n|\n|X-A\r\n\r\n"))
        return b"".join(chunks) + trailer


@st.composite
def near_answers(draw: Any) -> Any:
    near = _Near(draw)
    parts = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=3))
    body, headers = b"".join(parts), [b"X-A: 1"]
    in_chunks, with_length = draw(st.sampled_from([(True, False), (False, True), (False, False), (True, True)]))
    if with_length:
        lengths = [near.number(len(body)) for _ in range(near.part("length", 1, st.integers(1, 3)))]
        name = near.part("header", b"Content-Length: ", _one_of(b"content-length:|Content-Length:\r\n "))
        headers += [name + b", ".join(lengths)] if draw(st.booleans()) else [name + length for length in lengths]
    if in_chunks:
        body = near.chunks(parts)
        headers.append(b"Transfer-Encoding: " + near.part("coding", b"chunked", CODINGS))
        headers += near.part(
            "coding", [], st.lists(CODINGS.map(lambda coding: b"Transfer-Encoding: " + coding), max_size=1)
        )
    headers += near.part("header", [], st.lists(OTHER_HEADERS, max_size=2))
    head = [near.part("status", b"HTTP/1.1 200 OK", STATUS_LINES), *draw(st.permutations(headers)), b""]
    first = draw(_one_of(b"||HTTP/1.1 100 So\r\n\r\n|HTTP/1.1 103 So\r\nX-A: 1\r\n\r\n"))
    answer = first + b"".join(map(near.line, head)) + body + draw(_one_of(b"||surplus"))
    return answer[: near.part("cut", len(answer), st.integers(0, len(answer)))]


@settings(SHARED, max_examples=8 * EXAMPLES)
@given(answer=near_answers() | st.binary(max_size=300))
def test_a_nearly_right_answer_is_read_as_a_strict_reader_does_or_refused(
    one_attempt: ubiops.CoreApi, server: Server, answer: bytes
) -> None:
    server.default = answer
    _typed(lambda: one_attempt.deployments_get("p", "d", _request_timeout=60))
    try:
        body = one_attempt.deployments_get("p", "d", _preload_content=False, _request_timeout=60).read()
    except (ApiException, urllib3.exceptions.HTTPError):
        return
    assert body == body_of(answer)


# Parts of heads in which parsers find other lines, names or values.
HEAD_PARTS = _one_of(
    b"X-A|Content-Length|Transfer-Encoding|From| |\t|:|: |,|1|chunked|\r\n|\r\n|\n|\r|\0|\x0b|\x0c|\x1c|\x85|\xa0|\xff"
    b'|"|=?utf-8?q?a?='
)
PLAIN_HEADERS = st.lists(
    st.tuples(
        st.text("!#$%&'*+.^_`|~-09azAZ", min_size=1, max_size=9),
        st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=9).map(
            lambda value: value.lstrip(" \t")
        ),
    ).filter(lambda header: header[0].lower() not in ("content-length", "transfer-encoding")),
    max_size=6,
)


def _headers_of(head: bytes) -> Any:
    return list(_Lines(io.BytesIO(head)).headers().raw_items())


@settings(SHARED, max_examples=8 * EXAMPLES)
@given(head=st.lists(st.lists(HEAD_PARTS, max_size=8).map(b"".join), max_size=5).map(b"\r\n".join))
def test_any_head_is_read_as_the_standard_library_does_or_refused(head: bytes) -> None:
    file = io.BytesIO(head + b"\r\n\r\n")
    try:
        ours = list(_Lines(file).headers().raw_items())
    except http.client.HTTPException:
        return
    end = file.tell()
    file.seek(0)
    theirs = http.client.parse_headers(file)
    assert file.tell() == end
    assert ours == [(name, re.sub(r"\r?\n[ \t]+", " ", value)) for name, value in theirs.raw_items()]
    assert not any("\n" in value or "\r" in value for _, value in ours)


@settings(SHARED, max_examples=5 * EXAMPLES)
@given(headers=PLAIN_HEADERS)
def test_a_plain_head_is_never_refused(headers: list[tuple[str, str]]) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    assert _headers_of(head.encode("latin-1") + b"\r\n") == headers


@settings(SHARED, max_examples=EXAMPLES)
@given(parts=st.lists(st.binary(min_size=1, max_size=20), max_size=4), informed=st.booleans(), frame=st.integers(0, 2))
def test_a_right_answer_is_read(
    one_attempt: ubiops.CoreApi, server: Server, parts: list[bytes], informed: bool, frame: int
) -> None:
    body = b"".join(parts)
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])
    frames = [
        b"Transfer-Encoding: chunked\r\n\r\n" + chunked,
        b"content-length: %d\r\n\r\n%s" % (len(body), body),
        b"\r\n" + body,
    ]
    # The server closes its connection after each answer, which the client may see too late.
    one_attempt.api_client.configuration.retries = 2
    server.default = b"HTTP/1.1 103 So\r\n\r\n" * informed + b"HTTP/1.1 200 OK\r\n" + frames[frame]
    assert one_attempt.deployments_get("p", "d", _preload_content=False, _request_timeout=60).read() == body


HOSTILE = st.sampled_from(
    [None, True, 0, -1, 1.5, float("nan"), float("inf"), 10**400, "", "\ud800", "\0", [], {}, [[]], [None], {"": {}}]
) | _one_of("x|0001-01-01T00:00:00Z|9999-12-31T23:59:59.999999Z|2026-02-30T25:61:61|file:///etc/passwd|http://[::1")


def _with(value: Any, place: list[int], hostile: Any) -> Any:
    """A value of JSON with another at some place in it."""
    if not place or not isinstance(value, (dict, list)) or not value:
        return hostile
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = keys[place[0] % len(value)]
    changed = copy.copy(value)
    changed[key] = _with(value[key], place[1:], hostile)
    return changed


@settings(SHARED, max_examples=2 * EXAMPLES)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    nth=st.integers(0, 6),
    place=st.lists(st.integers(0, 20), max_size=3),
    hostile=HOSTILE | JSON,
)
@example(kind="download_files", nth=0, place=[0, 0, 0], hostile=None)
def test_any_shape_of_an_answer_to_any_kind_of_call_is_taken_or_a_typed_error(
    kind: str, nth: int, place: list[int], hostile: Any
) -> None:
    def answer(server: RawServer, head: str) -> bytes:
        # From the n-th answer on, since the first are asked for again.
        return right_answer(
            server, head, lambda value: _with(value, place, hostile) if len(server.heads) > nth else value
        )

    with hurried(), impatient(), tempfile.TemporaryDirectory() as folder, RawServer(serving(RIGHT, answer)) as server:
        configuration = ubiops.Configuration(server.url)
        configuration.retries = 0
        with ubiops.ApiClient(configuration) as client, suppress(OpenApiException, urllib3.exceptions.HTTPError):
            KINDS[kind].run(ubiops.CoreApi(client), Path(folder))


PAGE = [{"id": str(number), "name": "a", "date": DATE, "creation_date": DATE, "log": "x"} for number in range(3)]
LISTS: dict[str, tuple[Any, Any]] = {
    "whole": (lambda api: utils.paginate(api.deployments_list, "p"), PAGE),
    "by offset": (lambda api: utils.paginate(api.deployment_requests_list, "p", "d", page_size=2), PAGE),
    "by date": (lambda api: utils.paginate(api.blobs_list, "p", page_size=2), PAGE),
    "by line": (lambda api: utils.paginate(api.projects_log_list, "p", data={"date_range": -60}, page_size=2), PAGE),
    "by cursor": (
        lambda api: utils.paginate(api.instances_list, "o"),
        {"results": PAGE, "next": "x", "previous": None},
    ),
    "by token": (
        lambda api: utils.paginate(api.files_list, "p", "b"),
        {"files": PAGE, "prefixes": [], "continuation_token": "x"},
    ),
}


@settings(SHARED, max_examples=5 * EXAMPLES)
@given(
    kind=st.sampled_from(sorted(LISTS)),
    place=st.lists(st.integers(0, 5), max_size=3),
    hostile=HOSTILE | JSON,
    everywhere=st.booleans(),
)
@example(kind="by cursor", place=[1], hostile="http://[::1", everywhere=False)
@example(kind="by cursor", place=[0], hostile=5, everywhere=False)
@example(kind="by token", place=[0], hostile=5, everywhere=False)
@example(kind="by offset", place=[0, 0], hostile=[], everywhere=False)
@example(kind="by date", place=[0, 3], hostile="9999-12-31T23:59:59.999999Z", everywhere=True)
@example(kind="by date", place=[0, 3], hostile="2026-11-27T10:00:00", everywhere=False)
def test_any_shape_of_a_page_is_taken_or_a_typed_error(
    one_attempt: ubiops.CoreApi, server: Server, kind: str, place: list[int], hostile: Any, everywhere: bool
) -> None:
    read, page = LISTS[kind]
    wrong = _with(page, place, hostile)
    if everywhere and isinstance(page, list) and len(place) == 2:
        wrong = [_with(item, place[1:], hostile) for item in page]
    server.default = Answer(200, json.dumps(wrong).encode())
    # A server may go on and on, and so does the iterator.
    _typed(lambda: list(islice(read(one_attempt), 20)))


LOCATION_HOSTS = st.sampled_from(
    ["{own}", "{other}", "localhost:{o}", "[::1]:{o}", "127.1:{o}", "", "evil.test", "{own}.", "0:{o}"]
)


@settings(SHARED, max_examples=3 * EXAMPLES)
@given(
    scheme=st.sampled_from(["http:", "HTTP:", "https:", "", "file:", "http:/", "ftp:"]),
    slashes=st.sampled_from(["//", "///", "/\\", "\\\\", "/", ""]),
    hosts=st.lists(st.tuples(LOCATION_HOSTS, MARKS), min_size=1, max_size=3),
    path=st.sampled_from(["/v2.1/x", "", "?q", "#f", ";x"]) | st.text(max_size=4),
)
def test_any_location_sends_nothing_to_another_host(
    one_attempt: ubiops.CoreApi, server: Server, other: Server, scheme: str, slashes: str, hosts: Any, path: str
) -> None:
    text = scheme + slashes + "".join(host + mark for host, mark in hosts) + path
    own, elsewhere = (f"127.0.0.1:{one.port}" for one in (server, other))
    location = text.replace("{own}", own).replace("{other}", elsewhere).replace("{o}", str(other.port))
    moved = b"HTTP/1.1 302 So\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % location.encode(errors="replace")
    server.default = lambda request: moved if request.path.endswith("/deployments/d") else Answer.json({})
    _typed(lambda: one_attempt.deployments_get("p", "d", _request_timeout=60))
    assert other.connections == 0


@settings(SHARED, max_examples=2 * EXAMPLES)
@given(
    header=st.lists(
        _one_of(
            "attachment|;|filename|filename*|filename*0|filename*1*|=|\"|'|UTF-8''|\\|/|..|%2e%2e|%2F|%00|\xff|a|.part"
            "|utf-16''| |=?utf-8?q?=2E=2E?=|C:|" + "x" * 300
        ),
        max_size=14,
    ).map("".join)
)
@example(header="attachment; filename*=a; filename*0=b")
@example(header=f"attachment; filename*{'1' * 5000}=a")
def test_any_content_disposition_names_a_file_in_the_folder(
    one_attempt: ubiops.CoreApi, server: Server, header: str
) -> None:
    # The server closes its connection after each answer, which the client may see too late.
    one_attempt.api_client.configuration.retries = 2
    server.default = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Disposition: %s\r\n\r\nx" % header.encode(
        "latin-1"
    )
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder, "inner")
        inner.mkdir()
        one_attempt.api_client.configuration.temp_folder_path = str(inner)
        path: Any = one_attempt.blobs_get("p", "b", _preload_content=True, _request_timeout=60)
        assert [str(found) for found in inner.iterdir()] == [path]
        assert Path(path).read_bytes() == b"x"
        assert os.listdir(folder) == ["inner"]


@settings(SHARED, max_examples=400)
@given(
    location=st.text()
    | st.tuples(st.sampled_from(["https:", ""]), st.sampled_from(["//", "/\\", ""]), HOSTS, MARKS, HOSTS, MARKS).map(
        "".join
    )
)
def test_any_location_leads_where_urllib3_connects(location: str) -> None:
    url = "https://api.test/v2.1/x"
    target = redirect_target(url, location)
    if target is None or not same_origin(target, url):
        return
    assert urllib3.util.parse_url(target).host == "api.test"
    manager = urllib3.PoolManager()
    assert manager.connection_from_url(target).host == "api.test"
    assert origin_of(split(target)[0]) == ("https", "api.test", 443)


@settings(SHARED, max_examples=200)
@given(header=st.one_of(st.text(), st.text().map(lambda text: f'attachment; filename="{text}"')))
def test_any_content_disposition_gives_a_name_that_stays_in_its_folder(header: str) -> None:
    name = filename_of(header)
    assert name is None or (name not in ("", ".", "..") and not set("/\\\0") & set(name) and len(name.encode()) < 256)


@SHARED
@given(text=st.text(max_size=30), header=st.text(max_size=30))
def test_any_text_arrives_as_it_is_or_is_refused_before(
    one_attempt: ubiops.CoreApi, server: Server, text: str, header: str
) -> None:
    server.default = Answer.json({})
    server.requests.clear()
    try:
        one_attempt.api_client.call_api(
            "/{name}", "GET", {"name": text}, {"q": text}, {"X-Text": header}, _request_timeout=60
        )
    except (ApiValueError, ApiTypeError):
        assert server.requests == []
        return
    request = server.last
    assert request.segments == [text]
    assert request.query == {"q": text}
    # Whether the blanks around a value arrive is the server's parser's business.
    assert request.headers["X-Text"].strip(" \t") == header.strip(" \t")


def test_what_the_fuzzer_has_found_is_read_as_it_should_be() -> None:
    found = sorted(fuzz.CORPUS.iterdir())
    assert len(found) > 20
    for path in found:
        fuzz.read(path.read_bytes())


def _typed(call: Any) -> None:
    with suppress(OpenApiException, urllib3.exceptions.HTTPError):
        call()
