"""Properties that hold whatever is put in, by hypothesis: any answer, any Location, any text in a request."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ubiops
from test.server import Answer, Server
from ubiops.exceptions import ApiException, ApiTypeError, ApiValueError
from ubiops.files import filename_of
from ubiops.urls import origin_of, redirect_target, same_origin, split

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")

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


@SHARED
@given(
    answer=st.one_of(
        st.binary(max_size=300),
        st.builds(lambda head, body: b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body, st.binary(), st.binary()),
        st.builds(
            lambda coding, body: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + coding + b"\r\n\r\n" + body,
            st.sampled_from([b"chunked", b"gzip, chunked", b"CHUNKED"]),
            st.binary(),
        ),
        st.builds(
            lambda coding, body: b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding + b"\r\n\r\n" + body,
            st.sampled_from([b"gzip", b"deflate", b"gzip, deflate", b"br"]),
            st.binary(),
        ),
    )
)
def test_any_bytes_as_an_answer_are_read_or_a_typed_error(
    one_attempt: ubiops.CoreApi, server: Server, answer: bytes
) -> None:
    server.default = answer
    _typed(lambda: one_attempt.deployments_get("p", "d", _request_timeout=60))
    _typed(lambda: one_attempt.deployments_get("p", "d", _preload_content=False, _request_timeout=60).read())


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
    assert request.headers["X-Text"] == header.strip(" \t")


def _typed(call: Any) -> None:
    with suppress(ApiException, urllib3.exceptions.HTTPError):
        call()
