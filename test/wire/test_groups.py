"""The groups of CoreApi: the same methods, with the same client, and twins that return what client 4.x returned."""

from __future__ import annotations

import datetime
import importlib
import uuid
from typing import Any
from unittest import mock

import pytest

import ubiops
from test.document import document
from test.server import Answer, Server
from ubiops.api.base import Api
from ubiops.api.deployments import Deployments


def groups() -> dict[str, set[str]]:
    """The operations of each group, as the document has them."""
    found: dict[str, set[str]] = {}
    for item in document()["paths"].values():
        for operation in item.values():
            found.setdefault(operation["x-group"], set()).add(operation["operationId"])
    return found


def test_each_group_is_a_module_with_a_class_that_has_its_methods() -> None:
    assert len(groups()) == 18
    for name, operations in groups().items():
        cls = getattr(ubiops.CoreApi, name)
        module = importlib.import_module(f"ubiops.api.{name}")
        assert cls is getattr(module, "".join(word.capitalize() for word in name.split("_")))
        assert issubclass(ubiops.CoreApi, cls)
        methods = {method for method in dir(cls) if hasattr(getattr(cls, method), "operation")}
        assert methods == {*operations, *(f"{operation}_with_http_info" for operation in operations)}


def test_a_group_of_an_instance_is_made_once_with_its_client(wire_api: Any) -> None:
    assert isinstance(wire_api.deployments, Deployments)
    assert wire_api.deployments is wire_api.deployments
    assert wire_api.deployments is not wire_api.files
    assert wire_api.deployments.api_client is wire_api.api_client


def test_a_twin_returns_the_data_on_a_group_and_a_tuple_on_the_api(wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json([])
    assert wire_api.deployments.deployments_list_with_http_info("lab") == []
    data, status, _ = wire_api.deployments.deployments_list_with_http_info("lab", _return_http_data_only=False)
    assert (data, status) == ([], 200)
    data, status, _ = wire_api.deployments_list_with_http_info("lab")
    assert (data, status) == ([], 200)
    assert wire_api.deployments_list_with_http_info("lab", _return_http_data_only=True) == []


def test_a_group_stands_alone(wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json([])
    group: Api = Deployments(wire_api.api_client)
    assert group.deployments_list("lab") == []  # type: ignore[attr-defined]


def test_doubles_have_groups() -> None:
    api = mock.create_autospec(ubiops.CoreApi, instance=True)
    api.deployments.deployments_list("lab")
    api.deployments.deployments_list.assert_called_once_with("lab")
    with pytest.raises(AttributeError):
        _ = api.deployments.deployments_lists
    with pytest.raises(TypeError):
        api.deployments_list()


@pytest.mark.parametrize(
    ("given", "sent"),
    [(7, "7"), (uuid.UUID(int=1), str(uuid.UUID(int=1))), (datetime.date(2024, 5, 1), "2024-05-01")],
)
def test_a_text_in_path_or_query_may_be_given_as_what_it_stands_for(
    wire: Server, wire_api: Any, given: Any, sent: str
) -> None:
    wire.default = Answer.json([])
    wire_api.deployments_list(given, labels=given)
    assert wire.last.target == f"/v2.1/projects/{sent}/deployments?labels={sent}"


@pytest.mark.parametrize("given", [True, b"lab", ["lab"], {"lab": 1}, 1.5], ids=repr)
def test_anything_else_is_refused(wire: Server, wire_api: Any, given: Any) -> None:
    with pytest.raises(ubiops.ApiValueError, match="`project_name` when calling `deployments_list`"):
        wire_api.deployments_list(given)
    assert wire.requests == []


def test_options_of_the_newer_clients_are_taken(wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json([])
    wire_api.deployments_list("lab", _headers={"X-Trace": "1"}, _request_stream=False, _progress_bar=False)
    assert wire.last.headers["X-Trace"] == "1"
