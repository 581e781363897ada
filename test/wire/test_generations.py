"""What the generation of the service decides: where a call goes, what is refused, what an error says."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import pytest

import ubiops
from test.server import Answer, Server
from test.wire.test_doors import Recorder
from ubiops.operation import Operation, Path, Query

DROPPED = Operation("old_list", "GET", "/old/{name}", Path("name"), until="3.16", successor="new_list")
ADDED = Operation("new_list", "GET", "/new", since="4.15")


def client_of(wire: Server, generation: str | None = None) -> ubiops.ApiClient:
    return ubiops.ApiClient(ubiops.Configuration(wire.url, {"Authorization": "Token t"}, generation=generation))


@pytest.mark.parametrize(("generation", "operation"), [("4.14", DROPPED), ("4.15", DROPPED), ("4.14", ADDED)])
def test_what_the_set_generation_lacks_is_refused(wire: Server, generation: str, operation: Operation) -> None:
    with client_of(wire, generation) as client, pytest.raises(ubiops.ApiValueError) as caught:
        operation.call(client, ["n"][: len(operation.parameters)], {})
    assert f"generation {generation} has no operation `{operation.name}`" in str(caught.value)
    assert ("`new_list` follows it" in str(caught.value)) == (operation is DROPPED)
    assert wire.requests == []


@pytest.mark.parametrize(("generation", "operation"), [("3.12", DROPPED), ("4.15", ADDED), (None, DROPPED)])
def test_what_it_has_is_sent_and_so_is_all_where_none_is_set(
    wire: Server, generation: str | None, operation: Operation
) -> None:
    with client_of(wire, generation) as client:
        operation.call(client, ["n"][: len(operation.parameters)], {})
    assert len(wire.requests) == 1


def notes(error: BaseException) -> list[str]:
    """What a traceback adds to the error; Python 3.10 has no notes, there it stands at the end of the text."""
    return getattr(error, "__notes__", None) or str(error).splitlines()


@pytest.mark.parametrize("status", [404, 405])
def test_an_error_of_a_dropped_operation_names_what_follows_it(wire: Server, status: int) -> None:
    wire.default = Answer.json({"error": "Gone"}, status)
    with client_of(wire) as client, pytest.raises(ubiops.ApiException) as caught:
        DROPPED.call(client, ["n"], {})
    assert "Installations newer than client 3.16 have no `old_list`: `new_list` follows it" in notes(caught.value)
    assert "\nError: Gone\n" in str(caught.value)
    assert "new_list" not in str(caught.value) or sys.version_info < (3, 11)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_another_error_of_it_does_not(wire: Server) -> None:
    wire.default = Answer.json({"error": "No"}, 403)
    with client_of(wire) as client, pytest.raises(ubiops.ApiException) as caught:
        DROPPED.call(client, ["n"], {})
    assert not any("new_list" in note for note in notes(caught.value))


BY_NAME = Operation(
    "metrics_get",
    "GET",
    "/metrics/{metric}",
    Path("metric", alias="metric_name"),
    Query("start"),
    Query("end"),
    Query("unit"),
    together=(("start", "end"), ("unit",)),
)


def test_an_argument_may_have_two_names(wire: Server) -> None:
    with client_of(wire) as client:
        BY_NAME.call(client, [None, None, None, None], {"metric_name": "requests"})
        BY_NAME.call(client, ["requests", None, None, None], {})
        with pytest.raises(ubiops.ApiTypeError, match="Got both `metric` and its other name `metric_name`"):
            BY_NAME.call(client, ["requests", None, None, None], {"metric_name": "requests"})
        with pytest.raises(ubiops.ApiValueError, match="Missing the required parameter `metric`"):
            BY_NAME.call(client, [None, None, None, None], {})
    assert [request.target for request in wire.requests] == ["/v2.1/metrics/requests"] * 2


@pytest.mark.parametrize(("given", "missing"), [(["2024", None, None], "end"), ([None, None, "day"], "start")])
def test_of_arguments_that_belong_together_none_may_be_missing(wire: Server, given: list[Any], missing: str) -> None:
    with client_of(wire) as client:
        with pytest.raises(ubiops.ApiValueError, match=f"Missing the required parameter `{missing}`"):
            BY_NAME.call(client, ["m", *given], {})
        BY_NAME.call(client, ["m", "2024", "2025", None], {})
    assert [request.target for request in wire.requests] == ["/v2.1/metrics/m?start=2024&end=2025"]


@pytest.mark.parametrize("client_class", [ubiops.ApiClient, Recorder])
def test_below_v2_the_defaults_that_3_12_alone_has_are_left_out(
    wire: Server, client_class: type[ubiops.ApiClient]
) -> None:
    def sent(path: str, data: Any) -> Any:
        with client_class(ubiops.Configuration(wire.origin + path, {"Authorization": "Token t"})) as client:
            ubiops.CoreApi(client).deployment_versions_create("p", "d", data)
        return wire.last.json

    everywhere = {"version": "v1", "request_retention_mode": "full", "restart_request_interruption": False}
    for data in ({"version": "v1"}, ubiops.DeploymentVersionCreate("v1")):
        assert sent("/v2", data) == sent("/v2/", data) == everywhere
        assert sent("/v2.1", data) == {**everywhere, "language": "python3.7", "static_ip": False}
    # A field that 3.12 doesn't know tells that the service is newer.
    newer = {"version": "v1", "environment": "python3-12"}
    assert sent("/v2.1", newer) == sent("/v2", newer) == {**everywhere, "environment": "python3-12"}
    given = {"version": "v1", "language": "python3.9", "static_ip": True}
    assert sent("/v2", given) == {**everywhere, **given}


class Recording(ubiops.ApiClient):
    """Remembers where a request was to go: the default host can't be reached from a test."""

    def _send(self, request: Any, url: str, *args: Any) -> Any:
        self.url = url


def test_on_the_default_host_what_is_new_in_4_15_goes_to_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UBIOPS_API_HOST", raising=False)
    for operation, version in ((ADDED, "v2"), (Operation("x", "GET", "/new", since="4.14"), "v2.1")):
        client = Recording(ubiops.Configuration(api_key={"Authorization": "Token t"}))
        operation.call(client, [], {})
        assert client.url == f"https://api.ubiops.com/{version}/new"
