"""None, NULL and defaults: what is sent where something is not given, is null, or has a default."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import ubiops
from test.each import each
from test.server import Server
from test.unit.schemas import bodies, filled, is_nullable, properties, schemas
from ubiops import NULL, ApiValueError, models
from ubiops.model import Model, field
from ubiops.schema import Null

VERSION: dict[str, Any] = {"version": "v1"}
SENT_BY_DEFAULT = {
    "version": "v1",
    "language": "python3.7",
    "request_retention_mode": "full",
    "static_ip": False,
    "restart_request_interruption": False,
}


# None


def test_none_in_a_constructor_is_not_sent(server: Server, api: ubiops.CoreApi) -> None:
    api.deployments_update("p", "d", models.DeploymentUpdate(name=None, description="x", labels=None))
    assert server.last.json == {"description": "x"}


def test_none_by_assignment_is_not_sent(server: Server, api: ubiops.CoreApi) -> None:
    model = models.DeploymentUpdate(name="n", labels={"a": "b"}, description="x")
    model.name = None
    model.labels = None
    api.deployments_update("p", "d", model)
    assert server.last.json == {"description": "x"}


def test_none_in_a_dict_body_is_not_sent(server: Server, api: ubiops.CoreApi) -> None:
    api.deployments_update("p", "d", {"name": None, "labels": None, "description": "x"})
    assert server.last.json == {"description": "x"}


def test_none_in_a_nested_dict_is_not_sent(server: Server, api: ubiops.CoreApi) -> None:
    fields = [
        {"name": "x", "data_type": "int", "widget": None},
        {"name": "y", "data_type": "int", "widget": {"type": "a"}},
    ]
    api.deployments_create("p", {"name": "n", "input_type": "plain", "output_type": "plain", "input_fields": fields})
    assert server.last.json["input_fields"] == [
        {"name": "x", "data_type": "int"},
        {"name": "y", "data_type": "int", "widget": {"type": "a"}},
    ]


@each("name", sorted(schemas()))
def test_none_is_not_sent_in_any_field(name: str) -> None:
    # Without checks, so that the required fields can be left out too; the defaults are a matter of their own.
    configuration = ubiops.Configuration()
    configuration.client_side_validation = False
    empty = getattr(models, name)(**dict.fromkeys(properties(name)), local_vars_configuration=configuration)
    sent = ubiops.ApiClient().sanitize_for_serialization(empty)
    assert {key: value for key, value in sent.items() if "default" not in properties(name)[key]} == {}


def test_an_argument_that_is_none_was_not_given(server: Server, api: ubiops.CoreApi) -> None:
    api.deployment_requests_create("p", "d", data={"x": 1}, timeout=None)
    assert server.last.query == {}


def test_a_required_argument_may_not_be_none(server: Server, api: ubiops.CoreApi) -> None:
    with pytest.raises(ApiValueError, match="Missing the required parameter `data` when calling `deployments_update`"):
        api.deployments_update("p", "d", None)  # type: ignore[call-overload]
    assert server.requests == []


# NULL


def test_null_in_a_model_is_sent_as_null(server: Server, api: ubiops.CoreApi) -> None:
    api.deployment_versions_update("p", "d", "v", models.DeploymentVersionUpdate(monitoring=NULL, description="x"))
    assert server.last.json == {"monitoring": None, "description": "x"}


def test_null_by_assignment_is_sent_as_null(server: Server, api: ubiops.CoreApi) -> None:
    model = models.DeploymentVersionUpdate(monitoring="group")
    model.monitoring = NULL
    api.deployment_versions_update("p", "d", "v", model)
    assert server.last.json == {"monitoring": None}


def test_null_in_a_dict_body_is_sent_as_null(server: Server, api: ubiops.CoreApi) -> None:
    api.deployment_versions_update("p", "d", "v", {"monitoring": NULL, "description": None})
    assert server.last.json == {"monitoring": None}


def test_null_in_a_nested_dict_is_sent_as_null(server: Server, api: ubiops.CoreApi) -> None:
    given = {"name": "o", "reference_name": "d", "version": NULL}
    api.pipeline_versions_create("p", "l", {"version": "v1", "objects": [given]})
    assert server.last.json["objects"] == [
        {"name": "o", "reference_type": "deployment", "reference_name": "d", "version": None}
    ]


def test_null_in_a_nested_model_of_another_class_is_sent_as_null(server: Server, api: ubiops.CoreApi) -> None:
    read = models.PipelineVersionObjectList.from_wire({"name": "o", "reference_name": "d", "version": "v1"})
    read.version = NULL  # type: ignore[assignment]
    api.pipeline_versions_create("p", "l", {"version": "v1", "objects": [read]})
    # Its `reference_type` is None, which is no default.
    assert server.last.json["objects"] == [{"name": "o", "reference_name": "d", "version": None}]


def test_null_in_free_form_data_is_sent_as_null(server: Server, api: ubiops.CoreApi) -> None:
    api.deployment_requests_create("p", "d", {"x": NULL, "y": [NULL]})
    assert server.last.json == {"x": None, "y": [None]}


def test_a_schedule_s_data_can_be_set_to_null(server: Server, api: ubiops.CoreApi) -> None:
    api.request_schedules_update("p", "s", models.ScheduleUpdate(request_data=NULL))
    assert server.last.json == {"request_data": None}
    api.request_schedules_update("p", "s", models.ScheduleUpdate(request_data=None, enabled=False))
    assert server.last.json == {"enabled": False}


def test_null_reads_back_as_none() -> None:
    model = models.DeploymentUpdate(labels=NULL)
    assert model.labels is None
    assert model.to_dict()["labels"] is None
    assert vars(model)["_labels"] is None


def test_a_value_after_null_takes_its_place(server: Server, api: ubiops.CoreApi) -> None:
    model = models.DeploymentUpdate(labels=NULL)
    model.labels = {"a": "b"}
    api.deployments_update("p", "d", model)
    assert server.last.json == {"labels": {"a": "b"}}


def test_none_after_null_takes_it_back(server: Server, api: ubiops.CoreApi) -> None:
    model = models.DeploymentUpdate(labels=NULL, name="n")
    model.labels = None
    api.deployments_update("p", "d", model)
    assert server.last.json == {"name": "n"}
    assert model == models.DeploymentUpdate(name="n")


def test_null_of_one_model_is_not_another_s(server: Server, api: ubiops.CoreApi) -> None:
    first, second = models.DeploymentUpdate(labels=NULL), models.DeploymentUpdate(name="n")
    twin = copy.deepcopy(first)
    twin.labels = None
    api.deployments_update("p", "d", second)
    assert server.last.json == {"name": "n"}
    api.deployments_update("p", "d", first)
    assert server.last.json == {"labels": None}


@pytest.mark.parametrize("duplicate", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy, copy.copy])
def test_null_in_a_model_survives_copies(server: Server, api: ubiops.CoreApi, duplicate: Any) -> None:
    api.deployments_update("p", "d", duplicate(models.DeploymentUpdate(labels=NULL)))
    assert server.last.json == {"labels": None}


def test_null_for_a_field_that_is_not_nullable_is_refused(server: Server, api: ubiops.CoreApi) -> None:
    with pytest.raises(ApiValueError, match="`name`, must not be NULL: the API doesn't accept null here"):
        models.DeploymentUpdate(name=NULL)  # type: ignore[arg-type]
    with pytest.raises(ApiValueError, match="`name`, must not be NULL"):
        models.DeploymentUpdate().name = NULL  # type: ignore[assignment]
    with pytest.raises(ApiValueError, match=r"`data.name` when calling `deployments_update`, must not be NULL"):
        api.deployments_update("p", "d", {"name": NULL})
    with pytest.raises(ApiValueError, match="`data` when calling `deployments_update`"):
        api.deployments_update("p", "d", NULL)  # type: ignore[call-overload]
    with pytest.raises(ApiValueError, match="`timeout` when calling `deployment_requests_create`, must not be NULL"):
        api.deployment_requests_create("p", "d", {}, timeout=NULL)  # type: ignore[call-overload]
    assert server.requests == []


def test_null_in_a_field_that_the_client_does_not_know_is_sent(server: Server, api: ubiops.CoreApi) -> None:
    with pytest.warns(UserWarning, match="no field `brand_new`"):
        api.deployments_update("p", "d", {"brand_new": NULL})
    assert server.last.json == {"brand_new": None}


def test_null_is_a_falsy_singleton() -> None:
    assert not NULL
    assert repr(NULL) == "NULL"
    assert Null() is NULL
    assert ubiops.NULL is NULL
    assert NULL is not None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_null_survives_pickle(protocol: int) -> None:
    assert pickle.loads(pickle.dumps(NULL, protocol)) is NULL
    assert pickle.loads(pickle.dumps({"x": [NULL]}, protocol)) == {"x": [NULL]}


def test_null_survives_copies() -> None:
    assert copy.copy(NULL) is NULL
    assert copy.deepcopy(NULL) is NULL
    assert copy.deepcopy([NULL])[0] is NULL


# Free-form values


@pytest.mark.parametrize("value", [None, {"a": None}, [None, {"b": [None]}], "", 0, False, {}, []])
def test_free_form_data_is_sent_as_it_is(server: Server, api: ubiops.CoreApi, value: Any) -> None:
    api.deployment_requests_create("p", "d", {"x": value})
    assert server.last.json == {"x": value}


def test_none_in_labels_and_configuration_is_sent(server: Server, api: ubiops.CoreApi) -> None:
    api.deployments_update("p", "d", {"labels": {"a": None}})
    assert server.last.json == {"labels": {"a": None}}
    api.buckets_update("p", "b", models.BucketUpdate(configuration={"prefix": None}))  # type: ignore[dict-item]
    assert server.last.json == {"configuration": {"prefix": None}}


@pytest.mark.parametrize("value", ["", 0, False, {}, []])
def test_empty_values_are_given(server: Server, api: ubiops.CoreApi, value: Any) -> None:
    api.request_schedules_update("p", "s", {"request_data": value})
    assert server.last.json == {"request_data": value}


def test_with_validation_off_a_dict_body_is_sent_as_it_is(server: Server, api: ubiops.CoreApi) -> None:
    api.api_client.configuration.client_side_validation = False
    api = ubiops.CoreApi(ubiops.ApiClient(api.api_client.configuration))
    api.deployment_versions_create("p", "d", {"version": None, "nmae": 1, "labels": {"a": None}, "static_ip": NULL})
    assert server.last.json == {"version": None, "nmae": 1, "labels": {"a": None}, "static_ip": None}


# Defaults


def test_a_body_that_creates_sends_the_defaults(server: Server, api: ubiops.CoreApi) -> None:
    for body in (models.DeploymentVersionCreate(**VERSION), VERSION):
        api.deployment_versions_create("p", "d", body)
        assert server.last.json == SENT_BY_DEFAULT


def test_none_for_a_field_with_a_default_is_not_sent(server: Server, api: ubiops.CoreApi) -> None:
    # Left out is not None: what the server has for it is not overruled.
    given: dict[str, Any] = {**VERSION, "language": None, "static_ip": None}
    made, assigned = models.DeploymentVersionCreate(**given), models.DeploymentVersionCreate(**VERSION)
    assert (assigned.language, assigned.static_ip) == ("python3.7", False)
    assigned.language = assigned.static_ip = None
    for body in (made, assigned, given):
        api.deployment_versions_create("p", "d", body)
        sent = {"version": "v1", "request_retention_mode": "full", "restart_request_interruption": False}
        assert server.last.json == sent
    for model in (made, assigned):
        assert (model.language, model.static_ip) == (None, None)


def test_none_in_a_nested_dict_with_a_default_is_not_sent(server: Server, api: ubiops.CoreApi) -> None:
    objects = [{"name": "a", "reference_name": "d"}, {"name": "b", "reference_name": "d", "reference_type": None}]
    api.pipeline_versions_create("p", "l", {"version": "v1", "objects": objects})
    assert server.last.json["objects"] == [
        {"name": "a", "reference_name": "d", "reference_type": "deployment"},
        {"name": "b", "reference_name": "d"},
    ]


def test_a_default_is_not_shared_between_models() -> None:
    class Filtered(Model):
        tags: list[str] | None = field("list[str]", default=["new"])
        limits: dict[str, Any] | None = field("dict(str, object)", default={"most": 1})

    first, second = Filtered(), Filtered()
    assert str(inspect.signature(Filtered)).startswith("(tags=['new'], limits={'most': 1}, ")
    assert Filtered(tags=None).tags is None
    first.tags.append("mine")  # type: ignore[union-attr]
    first.limits["most"] = 2  # type: ignore[index]
    read = Filtered.from_input({})
    read.tags.append("other")  # type: ignore[union-attr]
    for model in (second, Filtered(), Filtered.from_input({})):
        assert (model.tags, model.limits) == (["new"], {"most": 1})


def test_a_default_gives_way_to_a_value(server: Server, api: ubiops.CoreApi) -> None:
    api.deployment_versions_create("p", "d", {**VERSION, "static_ip": True, "language": "python3.9"})
    assert server.last.json == {**SENT_BY_DEFAULT, "static_ip": True, "language": "python3.9"}


@each("name", sorted(bodies("post") - bodies("patch")))
def test_every_body_that_creates_has_the_defaults_of_the_document(name: str) -> None:
    required = {*schemas()[name].get("required", [])}
    required |= {key for key, schema in properties(name).items() if "x-required-unless" in schema}
    given = {key: value for key, value in filled(name).items() if key in required}
    defaults = {key: schema["default"] for key, schema in properties(name).items() if "default" in schema}
    sent = ubiops.ApiClient().sanitize_for_serialization(getattr(models, name)(**given))
    assert sent == {**defaults, **given}


@each("name", sorted(bodies("patch")))
def test_a_body_that_updates_sends_what_the_caller_gave_and_nothing_else(name: str) -> None:
    cls, client = getattr(models, name), ubiops.ApiClient()
    required = {key: filled(name)[key] for key in schemas()[name].get("required", [])}
    for key, value in filled(name).items():
        given = {**required, key: value}
        assert client.sanitize_for_serialization(cls(**given)) == given
        model = cls(**required)
        setattr(model, key, value)
        assert client.sanitize_for_serialization(model) == given


def test_an_update_resets_nothing(server: Server, api: ubiops.CoreApi) -> None:
    for body in (models.DeploymentVersionUpdate(description="x"), {"description": "x"}):
        api.deployment_versions_update("p", "d", "v", body)
        assert server.last.json == {"description": "x"}
    nothings: list[Any] = [models.OrganizationUserUpdate(), {}]
    for nothing in nothings:
        api.organization_users_update("o", "u", nothing)
        assert server.last.json == {}


def test_an_update_of_a_user_does_not_take_admin_away(server: Server, api: ubiops.CoreApi) -> None:
    api.organization_users_update("o", "u", models.OrganizationUserUpdate())
    assert server.last.json == {}


def test_nullable_fields_exist() -> None:
    # Else the tests above that go by the document would check nothing.
    nullable = [key for name in bodies("patch") for key, schema in properties(name).items() if is_nullable(schema)]
    assert len(nullable) > 10
