"""Models: what they hold, check, print, compare, copy and refuse; what each of them shares with all the others."""

from __future__ import annotations

import abc
import copy
import datetime
import decimal
import enum
import gc
import inspect
import io
import json
import linecache
import math
import numbers
import pickle
import pydoc
import re
import subprocess
import sys
import textwrap
import uuid
import warnings
from collections import OrderedDict
from contextlib import redirect_stdout
from pathlib import Path
from pprint import pformat
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from unittest.mock import ANY

import numpy
import pandas
import pytest

import ubiops
from test.each import each
from test.server import Answer, Server
from test.unit.schemas import bodies, filled, is_nullable, properties, schemas
from ubiops import NULL, ApiValueError, DeploymentVersionCreate, models
from ubiops.display.masking import masked_text
from ubiops.model import UNVALIDATED, Model, field
from ubiops.operation import read_body
from ubiops.schema import Invalid

ALL = sorted(schemas())
ROOT = Path(__file__).parents[2]


def make(name: str) -> Any:
    """A model with every field filled."""
    return getattr(models, name)(**filled(name))


def version(**fields: Any) -> models.DeploymentVersionCreate:
    return models.DeploymentVersionCreate(**{"version": "v1", **fields})


def deployment(**fields: Any) -> models.DeploymentCreate:
    given = {"name": "iris", "input_type": "plain", "output_type": "plain", **fields}
    return models.DeploymentCreate(**given)


# Every model


@each("name", ALL)
def test_values_live_in_the_instance_by_private_name_in_constructor_order(name: str) -> None:
    private = [key for key in vars(make(name)) if key.startswith("_")]
    assert private == [f"_{key}" for key in properties(name)]


@each("name", ALL)
def test_a_model_that_was_read_holds_its_values_in_the_same_way(name: str) -> None:
    cls = getattr(models, name)
    for read in (cls.from_wire(filled(name)), cls.from_input(filled(name))):
        assert list(vars(read)) == list(vars(make(name)))


@each("name", ALL)
def test_every_field_is_a_positional_argument(name: str) -> None:
    assert getattr(models, name)(*map(filled(name).get, properties(name))) == make(name)


@each("name", ALL)
def test_every_field_can_be_read_and_assigned(name: str) -> None:
    cls = getattr(models, name)
    given = filled(name)
    model = cls.from_wire({})
    for key, value in given.items():
        assert getattr(model, key) is None
        setattr(model, key, value)
        held = getattr(model, key)
        assert held is value if held == value else model.to_dict()[key] == value
    assert model == cls(**given)


@each("name", ALL)
def test_to_dict_gives_every_field_by_name(name: str) -> None:
    assert make(name).to_dict() == {**dict.fromkeys(properties(name)), **filled(name)}
    assert list(make(name).to_dict()) == list(properties(name))


@each("name", ALL)
def test_str_is_the_pretty_printed_fields_and_repr_the_same_without_credentials(name: str) -> None:
    model = make(name)
    assert model.to_str() == str(model) == f"{model}" == pformat(model.to_dict())
    assert repr(model) == masked_text(model)
    assert ("***" in repr(model)) == (repr(model) != str(model))


@each("name", ALL)
def test_what_was_given_is_what_is_sent(name: str) -> None:
    assert ubiops.ApiClient().sanitize_for_serialization(make(name)) == filled(name)


@each("name", ALL)
@pytest.mark.parametrize(
    "duplicate", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy], ids=["pickle", "deepcopy"]
)
def test_models_can_be_pickled_and_deep_copied(name: str, duplicate: Any) -> None:
    model = getattr(models, name).from_wire({**filled(name), "new_on_the_server": [1]})
    twin = duplicate(model)
    assert type(twin) is type(model)
    assert twin == model
    assert list(vars(twin)) == list(vars(model))
    assert twin.additional_properties == {"new_on_the_server": [1]}
    assert all(getattr(twin, key) is not getattr(model, key) for key, v in model.to_dict().items() if type(v) is list)


@each("name", ALL)
def test_the_maps_name_every_field(name: str) -> None:
    cls = getattr(models, name)
    assert list(cls.openapi_types) == list(properties(name))
    assert cls.attribute_map == {key: key for key in properties(name)}
    assert cls.discriminator is None


@each("name", ALL)
def test_the_required_fields_must_be_given(name: str) -> None:
    cls = getattr(models, name)
    required = schemas()[name].get("required", [])
    for key in required:
        if "default" in properties(name)[key]:
            continue
        given = filled(name)
        del given[key]
        with pytest.raises(ApiValueError, match=f"^Invalid value for `{key}`, must not be `None`"):
            cls(**given)
        with pytest.raises(ApiValueError, match=f"^Invalid value for `{key}`, must not be `None`"):
            setattr(make(name), key, None)
    in_place = {given["x-required-unless"] for given in properties(name).values() if "x-required-unless" in given}
    assert cls(**{key: filled(name)[key] for key in {*required, *in_place}}) is not None


WRONG = {
    "string": (5, "must be str, not int (5)"),
    "integer": ("5", "must be int, not str ('5')"),
    "number": ("2.5", "must be float, not str ('2.5')"),
    "boolean": (1, "must be bool, not int (1)"),
    "array": ("x", "must be list["),
    "object": ([1], "must be dict, not list ([1])"),
}


def _kind(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", "any")
    return kinds if isinstance(kinds, str) else next(kind for kind in kinds if kind != "null")


@each("name", ALL)
def test_a_wrong_type_is_refused_by_constructor_and_assignment(name: str) -> None:
    for key, schema in properties(name).items():
        if _kind(schema) not in WRONG or schema.get("format"):
            continue
        wrong, problem = WRONG[_kind(schema)]
        with pytest.raises(ValueError, match="Invalid value for") as constructed:
            getattr(models, name)(**{**filled(name), key: wrong})
        with pytest.raises(ValueError, match="Invalid value for") as assigned:
            setattr(make(name), key, wrong)
        assert f"`{key}`, {problem}" in str(constructed.value)
        assert str(assigned.value) == str(constructed.value)


@each("name", ALL)
def test_the_bounds_of_the_document_hold_for_constructor_and_assignment(name: str) -> None:
    for key, schema in properties(name).items():
        broken: list[Any] = []
        if "enum" in schema:
            broken.append("no-such-word")
        if "minLength" in schema:
            broken.append("x" * (schema["minLength"] - 1))
        if "maxLength" in schema:
            broken.append("x" * (schema["maxLength"] + 1))
        if "minimum" in schema:
            broken.append(schema["minimum"] - 1)
        if "maximum" in schema:
            broken.append(schema["maximum"] + 1)
        for wrong in broken:
            with pytest.raises(ApiValueError, match=f"`{key}`"):
                getattr(models, name)(**{**filled(name), key: wrong})
            with pytest.raises(ApiValueError, match=f"`{key}`"):
                setattr(make(name), key, wrong)


@each("name", ALL)
def test_null_is_taken_where_the_document_says_so_and_nowhere_else(name: str) -> None:
    for key, schema in properties(name).items():
        model = make(name)
        if is_nullable(schema):
            setattr(model, key, NULL)
            for null in (model, getattr(models, name)(**{**filled(name), key: NULL})):
                assert getattr(null, key) is None
                assert ubiops.ApiClient().sanitize_for_serialization(null) == {**filled(name), key: None}
        else:
            with pytest.raises(ApiValueError, match=f"`{key}`, must not be NULL"):
                getattr(models, name)(**{**filled(name), key: NULL})
            with pytest.raises(ApiValueError, match=f"`{key}`, must not be NULL"):
                setattr(model, key, NULL)
            assert model == make(name)


@each("name", ALL)
def test_every_model_has_a_signature_and_help(name: str) -> None:
    cls = getattr(models, name)
    parameters = inspect.signature(cls).parameters
    assert list(parameters) == [*properties(name), "local_vars_configuration", "unknown"]
    assert {key: parameters[key].default for key in properties(name)} == {
        key: None if name in bodies("patch") else schema.get("default") for key, schema in properties(name).items()
    }
    text = pydoc.render_doc(cls, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    assert all(f"\n |      {key} (" in text for key in properties(name))


def test_surplus_values_are_refused_by_name_of_the_model() -> None:
    models.Status("ok")
    most = len(properties("Status")) + 2
    with pytest.raises(
        TypeError, match=rf"^Status.__init__\(\) takes from 1 to {most} positional arguments but {most + 1} were given"
    ):
        models.Status("ok", *[None] * (most - 2), "surplus")  # type: ignore[call-arg]


def test_a_model_has_a_signature_before_its_first_use() -> None:
    class Fresh(Model):
        name: str = field("str", required=True)

    assert str(inspect.signature(Fresh)) == "(name=None, local_vars_configuration=None, **unknown)"
    assert not hasattr(Fresh("x"), "__signature__")


# What a model holds


def test_the_attributes_of_a_model_are_those_of_the_older_client() -> None:
    assert list(vars(models.Status(status="ok"))) == [
        "local_vars_configuration",
        *(f"_{name}" for name in properties("Status")),
        "discriminator",
    ]


def test_openapi_types_are_those_of_the_older_client() -> None:
    assert models.BucketCreate.openapi_types == {
        "name": "str",
        "provider": "str",
        "credentials": "dict(str, str)",
        "configuration": "dict(str, str)",
        "ttl": "int",
        "description": "str",
        "labels": "object",
    }


def test_a_printed_model_is_its_fields() -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        print(models.BucketUpdate(ttl=604800, description="scratch"))
    assert out.getvalue() == (
        "{'configuration': None,\n"
        " 'credentials': None,\n"
        " 'description': 'scratch',\n"
        " 'labels': None,\n"
        " 'ttl': 604800}\n"
    )


def test_other_attributes_may_be_set() -> None:
    model = models.Status(status="ok")
    model.seen_at = "noon"  # type: ignore[attr-defined]
    assert model.seen_at == "noon"  # type: ignore[attr-defined]
    assert model.to_dict() == {**dict.fromkeys(properties("Status")), "status": "ok"}
    assert pickle.loads(pickle.dumps(model)).seen_at == "noon"


def test_a_model_holds_no_configuration_and_no_client() -> None:
    configuration = ubiops.Configuration(api_key={"Authorization": "Token secret"})
    model = models.Status(status="ok", local_vars_configuration=configuration)
    assert model.local_vars_configuration.client_side_validation is True
    assert b"secret" not in pickle.dumps(model)
    assert not any(isinstance(held, ubiops.Configuration) for held in gc.get_referents(vars(model)))


def test_equality_compares_class_and_values() -> None:
    same = deployment(input_fields=[{"name": "x", "data_type": "int"}])
    assert deployment(input_fields=[{"name": "x", "data_type": "int"}]) == same
    assert same != deployment(input_fields=[{"name": "y", "data_type": "int"}])
    assert same != same.to_dict()
    assert models.Status(status="ok") != models.DeploymentUpdate(name="ok")
    assert models.Status(status="ok") != "ok"
    assert models.Status(status="ok") == ANY


def test_null_is_not_equal_to_not_given() -> None:
    assert models.DeploymentUpdate(labels=NULL) != models.DeploymentUpdate()
    assert models.DeploymentUpdate(labels=NULL) == models.DeploymentUpdate(labels=NULL)


def test_models_are_not_hashable() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(models.Status(status="ok"))


# Validation


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": ""}, "`version`, length must be greater than or equal to `1`, not 0"),
        ({"maximum_instances": True}, "`maximum_instances`, must be int, not bool (True)"),
        ({"maximum_instances": 2.0}, "`maximum_instances`, must be int, not float (2.0)"),
        ({"static_ip": "false"}, "`static_ip`, must be bool, not str ('false')"),
        (
            {"request_retention_mode": "all"},
            "`request_retention_mode`, must be one of ['none', 'metadata', 'full'], not 'all'",
        ),
        ({"labels": "a:b"}, "`labels`, must be dict, not str ('a:b')"),
        ({"description": ["a"]}, "`description`, must be str, not list (['a'])"),
        ({"description": b"a"}, "`description`, must be str, not bytes (b'a')"),
    ],
)
def test_constructor_and_setter_name_the_field_the_problem_and_the_class(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="Invalid value for") as constructed:
        version(**fields)
    model = version()
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match="Invalid value for") as assigned:
        setattr(model, *fields.popitem())
    assert isinstance(constructed.value, ApiValueError)
    assert isinstance(assigned.value, ApiValueError)
    assert str(constructed.value) == str(assigned.value) == f"Invalid value for {message} (DeploymentVersionCreate)"
    assert model == before


def test_a_long_wrong_value_is_cut_in_the_message() -> None:
    with pytest.raises(ApiValueError) as raised:
        deployment(description=["x" * 10_000])
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, "1", True, decimal.Decimal("1.5"), 1j, 10**400])
def test_a_float_field_takes_finite_numbers_alone(wrong: Any) -> None:
    with pytest.raises(ApiValueError, match="`credits`"):
        models.ProjectCreate(name="p", organization_name="o", credits=wrong)
    with pytest.raises(ApiValueError, match="`credits`"):
        models.ProjectUpdate().credits = wrong


def test_a_value_that_has_no_repr_is_refused_by_name() -> None:
    # Python writes no int of more than 4,300 digits.
    with pytest.raises(ApiValueError, match="`name`, must be str, not int"):
        models.ProjectCreate(name=10**5000, organization_name="o")  # type: ignore[arg-type]


def test_an_int_serves_where_a_float_is_due() -> None:
    assert models.ProjectUpdate(credits=3).credits == 3


class Bounded(Model):
    """Fields with every kind of bound, some of which no body of the API has."""

    number: float | None = field("float", minimum=0, maximum=1)
    count: int | None = field("int", minimum=1, maximum=5)
    names: list[str] | None = field("list[str]", min_length=1, max_length=2)
    level: int | None = field("int", enum=(1, 2))
    day: datetime.date | str | None = field("date")
    moment: datetime.datetime | str | None = field("datetime")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"number": -0.1}, "`number`, must be a value greater than or equal to `0`, not -0.1"),
        ({"number": 1.5}, "`number`, must be a value less than or equal to `1`, not 1.5"),
        ({"count": 0}, "`count`, must be a value greater than or equal to `1`, not 0"),
        ({"count": 6}, "`count`, must be a value less than or equal to `5`, not 6"),
        ({"names": []}, "`names`, length must be greater than or equal to `1`, not 0"),
        ({"names": ["a", "b", "c"]}, "`names`, length must be less than or equal to `2`, not 3"),
        ({"names": ["a", 1]}, "`names[1]`, must be str, not int (1)"),
        ({"names": "ab"}, "`names`, must be list[str], not str ('ab')"),
        ({"level": 3}, "`level`, must be one of [1, 2], not 3"),
        ({"day": 20221103}, "`day`, must be date or str (ISO 8601), not int (20221103)"),
        ({"moment": 1667467812.0}, "`moment`, must be datetime or str (ISO 8601), not float (1667467812.0)"),
    ],
)
def test_every_kind_of_bound_holds(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiValueError) as constructed:
        Bounded(**fields)
    with pytest.raises(ApiValueError) as assigned:
        setattr(Bounded(), *fields.popitem())
    assert str(constructed.value) == str(assigned.value) == f"Invalid value for {message} (Bounded)"


def test_a_free_form_value_may_be_required() -> None:
    class Free(Model):
        data: Any = field("object", required=True)

    assert Free([None]).data == [None]
    for wrong in (None, NULL):
        with pytest.raises(ApiValueError, match="`data`, must not be"):
            Free(wrong)


def test_bounds_belong_to_what_is_allowed() -> None:
    for fields in ({"number": 0}, {"number": 1.0}, {"count": 1}, {"count": 5}, {"names": ["a"]}, {"names": ("a", "b")}):
        assert {
            key: value for key, value in Bounded(**fields).to_dict().items() if value is not None
        }.keys() == fields.keys()


def test_date_fields_accept_strings_dates_and_datetimes() -> None:
    day, moment = datetime.date(2023, 1, 31), datetime.datetime(2023, 1, 31, 12, tzinfo=datetime.timezone.utc)
    given = Bounded(day="2023-01-31", moment="2023-01-31T12:00:00Z")
    assert (given.day, given.moment) == ("2023-01-31", "2023-01-31T12:00:00Z")
    client = ubiops.ApiClient()
    assert client.sanitize_for_serialization(Bounded(day=day, moment=moment)) == {
        "day": "2023-01-31",
        "moment": "2023-01-31T12:00:00+00:00",
    }
    assert client.sanitize_for_serialization(Bounded(moment=day)) == {"moment": "2023-01-31"}


def test_validation_can_be_switched_off_for_a_model() -> None:
    configuration = ubiops.Configuration()
    configuration.client_side_validation = False
    model: Any = models.DeploymentCreate(name=5, input_type="x", local_vars_configuration=configuration)  # type: ignore[arg-type]
    assert model.to_dict()["name"] == 5
    assert model.output_type is None
    model.output_type = 7
    model.name = None
    assert model.to_dict() == {**dict.fromkeys(properties("DeploymentCreate")), "input_type": "x", "output_type": 7}
    assert list(vars(model)) == list(vars(make("DeploymentCreate")))
    twin = pickle.loads(pickle.dumps(model))
    twin.input_type = 8
    assert twin.input_type == 8


def test_the_validation_of_one_model_is_that_model_s_alone() -> None:
    first, second = models.Status(status="a"), models.Status(status="b")
    read = models.Status.from_wire({"status": "c"})
    twin = copy.deepcopy(first)
    first.local_vars_configuration.client_side_validation = False
    first.status = None  # type: ignore[assignment]
    assert list(vars(first)) == list(vars(second))
    for other in (second, read, twin, models.Status(status="d")):
        assert other.local_vars_configuration.client_side_validation is True
        with pytest.raises(ValueError, match="`status`, must not be `None`"):
            other.status = None  # type: ignore[assignment]
    for copied in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        copied.status = None
        copied.local_vars_configuration.client_side_validation = True
        with pytest.raises(ValueError, match="`status`, must not be `None`"):
            copied.status = None
    assert first.local_vars_configuration.client_side_validation is False
    with pytest.raises(AttributeError):
        vars(models.Status(status="e"))["local_vars_configuration"].client_side_validation = True


def test_validation_can_be_switched_off_for_requests(server: Server, api: ubiops.CoreApi) -> None:
    configuration = copy.deepcopy(api.api_client.configuration)
    configuration.client_side_validation = False
    api = ubiops.CoreApi(ubiops.ApiClient(configuration))
    api.deployments_create("p", {"name": 5, "labels": None, "widget": {"type": NULL}})
    assert server.last.json == {"name": 5, "labels": None, "widget": {"type": None}}
    unchecked = models.DeploymentCreate(name=5, input_fields=[{"name": 6}], local_vars_configuration=configuration)  # type: ignore[arg-type]
    api.deployments_create("p", unchecked)
    assert server.last.json == {"name": 5, "input_fields": [{"name": 6}]}


# Nested models


def test_a_nested_model_may_be_given_as_a_dict(server: Server, api: ubiops.CoreApi) -> None:
    given = {"name": "x", "data_type": "int", "widget": {"type": "slider", "configuration": {"min": "0"}}}
    made, assigned = deployment(input_fields=[given]), deployment()
    assigned.input_fields = (given,)  # type: ignore[assignment]
    for model in (made, assigned):
        assert type(model.input_fields) is list
        [field] = model.input_fields
        assert type(field) is models.DeploymentInputFieldCreate
        assert type(field.widget) is models.InputFieldWidgetCreate
        assert (field.name, field.widget.configuration) == ("x", {"min": "0"})
        api.deployments_create("p", model)
        assert server.last.json["input_fields"] == [given]
    assert type(given) is dict


def test_to_dict_has_all_fields_of_a_nested_model_that_was_given_as_a_dict() -> None:
    version = models.PipelineVersionUpdate(objects=[{"name": "o", "reference_name": "d"}])
    assert version.objects[0].name == "o"  # type: ignore[index]
    assert version.to_dict()["objects"] == [
        {**dict.fromkeys(properties("PipelineVersionObjectCreate")), "reference_type": "deployment"}
        | {"name": "o", "reference_name": "d"}
    ]


def test_a_nested_model_may_be_one_of_another_class(server: Server, api: ubiops.CoreApi) -> None:
    widget = {"type": "slider", "configuration": {"min": "0"}}
    read = models.InputOutputFieldDetail.from_wire({"id": "1", "name": "x", "data_type": "int", "widget": widget})
    model = deployment(input_fields=[read])
    assert type(model.input_fields[0]) is models.DeploymentInputFieldCreate  # type: ignore[index]
    assert model.to_dict()["input_fields"] == [{"name": "x", "data_type": "int", "widget": widget}]
    api.deployments_create("p", model)
    assert server.last.json["input_fields"] == [{"name": "x", "data_type": "int", "widget": widget}]


def test_a_list_of_models_stays_the_caller_s_own(server: Server, api: ubiops.CoreApi) -> None:
    fields: list[Any] = []
    model = deployment(input_fields=fields)
    fields.append(models.DeploymentInputFieldCreate("x", "int"))
    model.output_fields = outputs = [models.DeploymentOutputFieldCreate("y", "int")]
    outputs.append({"name": "z", "data_type": "int"})  # type: ignore[arg-type]
    api.deployments_create("p", model)
    assert server.last.json["input_fields"] == [{"name": "x", "data_type": "int"}]
    assert [field["name"] for field in server.last.json["output_fields"]] == ["y", "z"]


def test_what_a_model_of_another_class_has_beside_its_fields_is_sent(server: Server, api: ubiops.CoreApi) -> None:
    with pytest.warns(UserWarning, match="InputOutputFieldDetail has no field `unit`"):
        made = models.InputOutputFieldDetail(name="x", data_type="int", unit="m")
    with pytest.warns(UserWarning, match="DeploymentInputFieldCreate has no field `unit`") as caught:
        model = deployment(input_fields=[made])
    assert caught[0].filename == __file__
    api.deployments_create("p", model)
    assert server.last.json["input_fields"] == [{"name": "x", "data_type": "int", "unit": "m"}]


def test_a_model_of_another_class_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ApiValueError, match=r"`input_fields\[0\].name`, must not be `None`"):
        deployment(input_fields=[models.Status(status="ok")])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_fields": [{"name": "x", "data_type": "integer"}]}, r"`input_fields\[0\].data_type`, must be one of"),
        ({"input_fields": [{"name": "x", "data_type": "int", "widget": {}}]}, r"`input_fields\[0\].widget.type`"),
        ({"input_fields": [None]}, r"`input_fields\[0\]`, must be DeploymentInputFieldCreate or dict, not NoneType"),
        ({"input_fields": {"name": "x"}}, r"`input_fields`, must be list\[DeploymentInputFieldCreate\], not dict"),
        ({"input_fields": ["x"]}, r"`input_fields\[0\]`, must be DeploymentInputFieldCreate or dict, not str"),
    ],
)
def test_the_error_leads_to_the_nested_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiValueError, match=f"^Invalid value for {message}"):
        deployment(**fields)
    with pytest.raises(ApiValueError, match=f"^Invalid value for {message}"):
        setattr(deployment(), *fields.popitem())


def test_what_is_put_in_a_list_later_is_checked_when_it_is_sent(server: Server, api: ubiops.CoreApi) -> None:
    model = deployment(input_fields=[])
    model.input_fields.append({"name": "x", "data_type": "integer"})  # type: ignore[arg-type, union-attr]
    with pytest.raises(ApiValueError, match=r"`data.input_fields\[0\].data_type` when calling `deployments_create`"):
        api.deployments_create("p", model)
    assert server.requests == []


def test_a_caller_s_data_is_not_changed(server: Server, api: ubiops.CoreApi) -> None:
    data = {
        "name": "x",
        "input_type": "structured",
        "output_type": "plain",
        "labels": None,
        "input_fields": [{"name": "a", "data_type": "int", "widget": {"type": "slider", "configuration": None}}],
        "creation_date": "2022-11-03T09:30:12Z",
    }
    before = copy.deepcopy(data)
    api.deployments_create("p", data)
    assert data == before
    wire = {"status": "ok", "new": {"a": [1]}}
    models.Status.from_wire(wire)
    nested = {"name": "x", "input_fields": [{"name": "a", "creation_date": "2022-11-03T09:30:12Z"}]}
    models.DeploymentList.from_wire(nested)
    assert wire == {"status": "ok", "new": {"a": [1]}}
    assert nested == {"name": "x", "input_fields": [{"name": "a", "creation_date": "2022-11-03T09:30:12Z"}]}


def test_to_dict_converts_nested_models_wherever_they_stand() -> None:
    status = models.Status(status="ok")
    model = models.ScheduleCreate(
        "s", "deployment", "d", schedule="* * * * *", request_data={"a": [status, (status,)], "b": {"c": status}}
    )
    plain = status.to_dict()
    assert model.to_dict()["request_data"] == {"a": [plain, [plain]], "b": {"c": plain}}


def test_to_dict_shares_no_container_with_the_model() -> None:
    data = {"a": [{"b": [1]}]}
    model = models.ScheduleCreate("s", "deployment", "d", schedule="* * * * *", request_data=data, labels={"k": "v"})
    result = model.to_dict()
    result["request_data"]["a"][0]["b"].append(2)
    result["request_data"]["a"].append(3)
    result["labels"]["x"] = "y"
    assert data == {"a": [{"b": [1]}]}
    assert model.labels == {"k": "v"}


class Containers(Model):
    """Models in containers that no schema of the API has yet, and that the document can express."""

    by_name: dict[str, Any] | None = field("dict(str, DeploymentInputFieldCreate)")
    table: list[list[Any]] | None = field("list[list[DeploymentInputFieldCreate]]")


def test_models_may_stand_in_dicts_and_in_lists_of_lists() -> None:
    plain: dict[str, Any] = {"name": "x", "data_type": "int"}
    sent = ubiops.ApiClient().sanitize_for_serialization(
        Containers(by_name={"a": plain, "b": models.DeploymentInputFieldCreate(**plain)}, table=[[plain], []])
    )
    assert sent == {"by_name": {"a": plain, "b": plain}, "table": [[plain], []]}
    read = Containers.from_wire(sent)
    assert type(read.by_name["a"]) is type(read.table[0][0]) is models.DeploymentInputFieldCreate  # type: ignore[index]


def test_models_in_dicts_and_in_lists_of_lists_are_checked_when_given_and_when_sent() -> None:
    for fields, place in (({"by_name": {"a": {}}}, "by_name.a.name"), ({"table": [[], [{}]]}, "table[1][0].name")):
        with pytest.raises(ApiValueError, match=re.escape(f"`{place}`, must not be `None`")):
            Containers(**fields)
    changed = Containers(by_name={}, table=[[]])
    changed.by_name["a"] = {}  # type: ignore[index]
    with pytest.raises(Invalid) as raised:
        changed.to_wire()
    assert raised.value.place() == "by_name.a.name"
    changed = Containers(table=[[], []])
    changed.table[1].append({})  # type: ignore[index]
    with pytest.raises(Invalid) as raised:
        changed.to_wire()
    assert raised.value.place() == "table[1][0].name"


# Dicts and JSON


@each("name", ALL)
def test_a_model_can_be_made_of_its_dict_and_of_its_json(name: str) -> None:
    cls = getattr(models, name)
    read = cls.from_wire(filled(name))
    assert cls.from_dict(read.to_dict()) == read
    assert json.loads(read.to_json()).keys() == properties(name).keys()
    assert cls.from_dict(json.loads(read.to_json())).to_json() == read.to_json()


def test_dates_and_nested_models_survive_json() -> None:
    read = models.DeploymentDetail.from_wire(filled("DeploymentDetail"))
    again = models.DeploymentDetail.from_dict(json.loads(read.to_json()))
    assert again == read
    assert (type(again.creation_date), type(again.input_fields[0])) == (  # type: ignore[index]
        datetime.datetime,
        models.InputOutputFieldDetail,
    )


def test_what_the_api_returned_is_taken_as_it_was() -> None:
    odd = {"status": "paused", "deployment": None, "newer": [1]}
    made = models.DeploymentVersionDetail.from_dict(odd)
    assert (made.status, made.deployment, made.language) == ("paused", None, None)
    assert made.additional_properties == {"newer": [1]}


def test_a_body_is_checked_and_has_its_defaults() -> None:
    made = models.DeploymentVersionCreate.from_dict({"version": "v1", "static_ip": None})
    assert made == models.DeploymentVersionCreate(version="v1", static_ip=None)
    assert made.language == "python3.7"
    nested = {"version": "v1", "objects": [{"name": "o", "reference_name": 5}]}
    with pytest.raises(ApiValueError, match=r"`objects\[0\].reference_name`, must be str.*\(PipelineVersionCreate\)"):
        models.PipelineVersionCreate.from_dict(nested)
    with pytest.warns(UserWarning, match="no field `nme`"):
        models.DeploymentUpdate.from_dict({"nme": "x"})
    for wrong in ("x", [1], None, made):
        with pytest.raises(ubiops.ApiTypeError, match=r"`DeploymentVersionCreate.from_dict`, must be dict, not "):
            models.DeploymentVersionCreate.from_dict(wrong)  # type: ignore[arg-type]


def test_json_holds_no_nan() -> None:
    request = models.DeploymentRequestCreateResponse.from_wire({"result": {"x": [math.nan]}})
    with pytest.raises(ApiValueError, match=r"`result.x\[0\]`, is nan.*\(DeploymentRequestCreateResponse\)"):
        request.to_json()


@pytest.mark.parametrize("wrap", [lambda inner: {"a": inner}, lambda inner: [inner]], ids=["dicts", "lists"])
def test_an_answer_that_is_nested_400_deep_can_be_used(wrap: Any) -> None:
    deep: Any = 1
    for _ in range(400):
        deep = wrap(deep)
    answer = json.dumps({"id": "1", "result": deep}).encode()
    read, same = (read_body(answer, "DeploymentRequestSingleDetail") for _ in range(2))
    assert read == same
    assert read.to_dict()["result"] == deep
    assert all(
        str(deep) in text.replace("\n", "").replace(" ", "") or len(text) > 800 for text in (repr(read), str(read))
    )
    assert copy.deepcopy(read) == pickle.loads(pickle.dumps(read)) == copy.copy(read) == read
    assert type(read).from_dict(json.loads(read.to_json())) == read
    assert read._repr_html_()


# Attributes that are no fields


def test_an_attribute_with_a_name_close_to_a_field_s_warns() -> None:
    model = models.DeploymentUpdate(name="n")
    for name, near in (("descripton", "description"), ("label", "labels"), ("Description", "description")):
        with pytest.warns(
            UserWarning, match=f"^DeploymentUpdate has no field `{name}`; did you mean `{near}`"
        ) as caught:
            setattr(model, name, "x")
        assert caught[0].filename == __file__
        assert getattr(model, name) == "x"
    assert model.description is None


def test_other_attributes_and_fields_are_set_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    model = models.DeploymentUpdate(name="n")
    model.owner = model.url = model.note = model._descripton = "x"  # type: ignore[attr-defined]
    model.description = "x"
    model.fields = ["a"]  # type: ignore[misc, assignment]
    model.local_vars_configuration = ubiops.Configuration()
    models.DeploymentUpdate.shared = 1  # type: ignore[attr-defined]
    model.shared = 2  # type: ignore[attr-defined]
    del models.DeploymentUpdate.shared  # type: ignore[attr-defined]
    assert list(recwarn) == []
    assert (model.owner, model.description) == ("x", "x")  # type: ignore[attr-defined]


# Unknown fields


def test_a_read_model_creates_its_like(recwarn: pytest.WarningsRecorder) -> None:
    read = models.DeploymentVersionDetail.from_wire(
        filled("DeploymentVersionDetail") | {"request_retention_mode": "full", "environment": None}
    )
    created = models.DeploymentVersionCreate(**read.to_dict())
    assert created.additional_properties == {}
    assert created.instance_type == read.instance_type
    assert list(recwarn) == []


READ = [(name, read) for name in ALL for read in schemas()[name].get("x-read-schemas", [])]


@each(("name", "read"), READ)
def test_the_fields_of_the_read_schemas_are_left_out_silently(name: str, read: str) -> None:
    read_only = {key: value for key, value in filled(read).items() if key not in properties(name)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = getattr(models, name)(**filled(name), **read_only)
    assert model == make(name)
    assert list(vars(model)) == list(vars(make(name)))


def test_an_unknown_field_is_kept_and_sent_with_a_warning_that_names_the_nearest(
    server: Server, api: ubiops.CoreApi
) -> None:
    with pytest.warns(UserWarning, match="no field") as caught:
        model = version(maximum_instance=3)
    assert [str(warning.message) for warning in caught] == [
        "DeploymentVersionCreate has no field `maximum_instance`: it is sent as it is; "
        "did you mean `maximum_instances`?"
    ]
    assert model.additional_properties == {"maximum_instance": 3}
    assert model.to_dict()["maximum_instance"] == 3
    api.deployment_versions_create("p", "d", model)
    assert server.last.json["maximum_instance"] == 3


def test_the_warning_points_to_the_caller_s_line() -> None:
    with pytest.warns(UserWarning, match="no field") as caught:
        models.Status(status="ok", zzz="here")
    assert caught[0].filename == __file__
    assert linecache.getline(__file__, caught[0].lineno).strip() == 'models.Status(status="ok", zzz="here")'


def test_the_warning_for_a_dict_body_points_to_the_call(server: Server, api: ubiops.CoreApi) -> None:
    with pytest.warns(UserWarning, match=r"DeploymentCreate has no field `nme`.* did you mean `name`") as caught:
        api.deployments_create("p", {"name": "x", "input_type": "plain", "output_type": "plain", "nme": 1})
    assert caught[0].filename == __file__
    assert "api.deployments_create(" in linecache.getline(__file__, caught[0].lineno)
    assert len(caught) == 1
    assert server.last.json["nme"] == 1


def test_an_unknown_key_of_a_nested_dict_is_sent_with_a_warning(server: Server, api: ubiops.CoreApi) -> None:
    with pytest.warns(
        UserWarning, match="DeploymentInputFieldCreate has no field `data_typ`.* did you mean `data_type`"
    ):
        model = deployment(input_fields=[{"name": "x", "data_type": "int", "data_typ": "y"}])
    api.deployments_create("p", model)
    assert server.last.json["input_fields"] == [{"name": "x", "data_type": "int", "data_typ": "y"}]


def test_an_unknown_field_with_nothing_near_is_warned_of_without_a_guess() -> None:
    with pytest.warns(UserWarning, match="no field") as caught:
        models.Status(status="ok", zzz=1)
    assert str(caught[0].message) == "Status has no field `zzz`: it is sent as it is"


def test_an_unknown_field_that_is_none_was_not_given(recwarn: pytest.WarningsRecorder) -> None:
    assert models.Status(status="ok", zzz=None).additional_properties == {}
    assert list(recwarn) == []


def test_an_unknown_field_is_kept_where_validation_is_off(server: Server, api: ubiops.CoreApi) -> None:
    configuration = ubiops.Configuration()
    configuration.client_side_validation = False
    with pytest.warns(UserWarning, match="no field `nme`"):
        model = models.DeploymentUpdate(nme="x", local_vars_configuration=configuration)
    api.deployments_update("p", "d", model)
    assert server.last.json == {"nme": "x"}


def test_unknown_fields_survive_pickle_and_are_compared() -> None:
    with pytest.warns(UserWarning, match="no field"):
        model = models.Status(status="ok", zzz=1)
    twin = pickle.loads(pickle.dumps(model))
    assert twin.additional_properties == {"zzz": 1}
    assert twin == model
    assert model != models.Status(status="ok")


# Values that JSON knows no type for


class Color(enum.Enum):
    RED = "red"


class Mode(str, enum.Enum):
    FULL = "full"


class Size(enum.IntEnum):
    BIG = 3


class Int64:
    """What NumPy's integers are to Python: registered as Integral, no `int`."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __int__(self) -> int:
        return self.value

    def tolist(self) -> int:
        return self.value


class Float32:
    """What NumPy's narrow floats are to Python: registered as Real, no `float`."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


numbers.Integral.register(Int64)
numbers.Real.register(Float32)


class Array:
    def tolist(self) -> list[int]:
        return [1, 2]


ID = uuid.UUID("5f0c1e2a-8d3b-4c57-9a61-7be2d40f93c8")
CONVERTED = [
    (datetime.datetime(2022, 11, 3, 9, 30, tzinfo=datetime.timezone.utc), "2022-11-03T09:30:00+00:00"),
    (datetime.datetime(2022, 11, 3, 9, 30), "2022-11-03T09:30:00"),
    (datetime.date(2022, 11, 3), "2022-11-03"),
    (datetime.time(9, 30), "09:30:00"),
    (ID, str(ID)),
    (Color.RED, "red"),
    (Mode.FULL, "full"),
    (Size.BIG, 3),
    (Int64(7), 7),
    (Float32(0.5), 0.5),
    ((1, 2), [1, 2]),
    (OrderedDict(a=1), {"a": 1}),
    (MappingProxyType({"a": (1, NULL)}), {"a": [1, None]}),
    (models.Status(status="ok"), {"status": "ok"}),
    (NULL, None),
    (None, None),
]


@pytest.mark.parametrize(("given", "sent"), CONVERTED, ids=[type(given).__name__ for given, _ in CONVERTED])
def test_what_has_a_plain_form_is_converted(server: Server, api: ubiops.CoreApi, given: Any, sent: Any) -> None:
    api.deployment_requests_create("p", "d", {"values": [given]})
    assert server.last.json == {"values": [sent]}
    plain = api.api_client.sanitize_for_serialization({"values": [given]})
    assert json.loads(json.dumps(plain)) == {"values": [sent]}


def test_sanitized_containers_are_new_and_of_the_same_kind() -> None:
    client = ubiops.ApiClient()
    given = {"list": [1, [2]], "tuple": (1, (2, NULL)), "dict": {"a": {"b": 1.5}}, "ordered": OrderedDict(a=[1])}
    plain = client.sanitize_for_serialization(given)
    assert plain == {"list": [1, [2]], "tuple": (1, (2, None)), "dict": {"a": {"b": 1.5}}, "ordered": {"a": [1]}}
    assert type(plain["ordered"]) is dict
    plain["list"][1].append(3)
    plain["dict"]["a"]["b"] = 2
    plain["ordered"]["a"].append(3)
    assert (given["list"], given["dict"], given["ordered"]) == ([1, [2]], {"a": {"b": 1.5}}, {"a": [1]})


circular: dict[str, Any] = {"a": []}
circular["a"].append(circular)

REFUSED = [
    ({"x": [math.nan]}, "data.x[0]", "is nan, which JSON can't represent: send None or a number"),
    ({"x": math.inf}, "data.x", "is inf, which JSON can't represent: send None or a number"),
    ({"x": Float32(math.nan)}, "data.x", "is nan, which JSON can't represent: send None or a number"),
    ({"x": {1, 2}}, "data.x", "is of type set: JSON can't represent it, send a list"),
    ({"x": frozenset()}, "data.x", "is of type frozenset: JSON can't represent it, send a list"),
    ({"x": b"abc"}, "data.x", "is of type bytes: JSON can't represent it, send text (for instance base64) or a file"),
    ({"x": decimal.Decimal("1.5")}, "data.x", "is of type Decimal: JSON can't represent it"),
    ({"x": 1j}, "data.x", "is of type complex: JSON can't represent it"),
    ({"x": [0, object()]}, "data.x[1]", "is of type object: JSON can't represent it"),
    ({"x": Array()}, "data.x", "is of type Array: JSON can't represent it, send its .tolist()"),
    ({"x": {(1, 2): 3}}, "data.x", "has a key of type tuple ((1, 2)): JSON accepts only strings"),
    ({"x": {1: math.nan}}, "data.x[1]", "is nan, which JSON can't represent: send None or a number"),
    (circular, "data.a[0]", "contains itself: JSON can't represent a circular value"),
    ([{"deep": [{"er": {1}}]}], "data[0].deep[0].er", "is of type set: JSON can't represent it, send a list"),
]


@pytest.mark.parametrize(
    ("data", "place", "problem"), REFUSED, ids=[place + problem[:12] for _, place, problem in REFUSED]
)
def test_what_json_has_no_form_for_is_refused_by_name_and_place(
    server: Server, api: ubiops.CoreApi, data: Any, place: str, problem: str
) -> None:
    with pytest.raises(ApiValueError) as raised:
        api.deployment_requests_create("p", "d", data)
    assert str(raised.value) == f"Invalid value for `{place}` when calling `deployment_requests_create`, {problem}"
    assert server.requests == []


def test_what_json_has_no_form_for_is_refused_in_a_free_form_field(server: Server, api: ubiops.CoreApi) -> None:
    model = models.ScheduleCreate("s", "deployment", "d", schedule="* * * * *", request_data={"x": [math.nan]})
    with pytest.raises(
        ApiValueError, match=r"`data.request_data.x\[0\]` when calling `request_schedules_create`, is nan"
    ):
        api.request_schedules_create("p", model)
    assert server.requests == []


def test_data_that_is_nested_too_deeply_is_refused(server: Server, api: ubiops.CoreApi) -> None:
    data: list[Any] = []
    for _ in range(200_000):
        data = [data]
    with pytest.raises(ApiValueError, match="`data` when calling `deployment_requests_create`"):
        api.deployment_requests_create("p", "d", data)
    assert server.requests == []


NO_VALUES = {
    "NaT": pandas.NaT,
    "numpy NaT": numpy.datetime64("NaT", "s"),
    "numpy duration": numpy.timedelta64("NaT", "s"),
    "NA": pandas.NA,
    "float32": numpy.float32("nan"),
    "Decimal": decimal.Decimal("NaN"),
    "signalling": decimal.Decimal("sNaN"),
}


@pytest.mark.parametrize("nothing", NO_VALUES.values(), ids=NO_VALUES)
def test_what_stands_for_no_value_is_refused_by_name(server: Server, api: ubiops.CoreApi, nothing: Any) -> None:
    named = re.escape(repr(nothing))
    for data, place in (({"x": [nothing]}, r"data.x\[0\]"), ([{}, {"y": nothing}], r"data\[1\].y")):
        with pytest.raises(ApiValueError, match=f"^Invalid value for `{place}` when calling .*{named}"):
            api.deployment_requests_create("p", "d", data)
    with pytest.raises(ApiValueError, match=f"`data.schedule` when calling .*{named}"):
        api.request_schedules_update("p", "s", {"schedule": nothing})
    with pytest.raises(ApiValueError, match=rf"`request_data.x\[0\]`.*{named}"):
        api.api_client.sanitize_for_serialization(models.ScheduleUpdate(request_data={"x": [nothing]}))
    for name in ("maximum_instances", "static_ip", "description"):
        with pytest.raises(ApiValueError, match=f"`{name}`.*{named}"):
            version(**{name: nothing})
        model = version()
        with pytest.raises(ApiValueError, match=f"`{name}`.*{named}"):
            setattr(model, name, nothing)
    with pytest.raises(ApiValueError, match=f"`day`.*{named}"):
        Bounded(day=nothing)
    with pytest.raises(ApiValueError, match=f"`number`.*{named}"):
        Bounded(number=nothing)
    with pytest.raises(ApiValueError, match=rf"`names\[1\]`.*{named}"):
        Bounded(names=["a", nothing])
    for arguments in ({"limit": nothing}, {"start_date": nothing}, {"status": nothing}):
        with pytest.raises(ApiValueError, match=f"`{next(iter(arguments))}` when calling .*{named}"):
            api.deployment_requests_list("p", "d", **arguments)
    with pytest.raises(ApiValueError, match=f"`project_name` when calling .*{named}"):
        api.deployments_list(nothing)
    assert server.requests == []


def test_a_duration_of_numpy_is_no_number(server: Server, api: ubiops.CoreApi) -> None:
    with pytest.raises(ApiValueError, match=r"`data.x` when calling .* is of type timedelta64"):
        api.deployment_requests_create("p", "d", {"x": numpy.timedelta64(5, "s")})
    with pytest.raises(ApiValueError, match="`maximum_instances`, must be int, not timedelta64"):
        version(maximum_instances=numpy.timedelta64(5, "s"))
    assert server.requests == []


@pytest.mark.parametrize(
    ("given", "sent"),
    [(ID, str(ID)), (Mode.FULL, "full"), (Color.RED, "red"), (datetime.date(2022, 11, 3), "2022-11-03")],
)
def test_a_text_field_takes_what_has_a_text_form(server: Server, api: ubiops.CoreApi, given: Any, sent: str) -> None:
    api.deployments_create("p", deployment(name=given))
    assert server.last.json["name"] == sent


def test_members_of_enumerations_stand_for_their_value(server: Server, api: ubiops.CoreApi) -> None:
    api.deployment_versions_create("p", "d", version(request_retention_mode=Mode.FULL, maximum_instances=Size.BIG))
    assert (server.last.json["request_retention_mode"], server.last.json["maximum_instances"]) == ("full", 3)
    with pytest.raises(ApiValueError, match=r"must be one of \['none', 'metadata', 'full'\], not 'red'"):
        version(request_retention_mode=Color.RED)
    with pytest.raises(ApiValueError, match="`name`, length must be less than or equal to `64`, not 65"):
        deployment(name=enum.Enum("Long", {"NAME": "x" * 65}).NAME)  # type: ignore[attr-defined]


def test_numpy_like_scalars_are_numbers(server: Server, api: ubiops.CoreApi) -> None:
    api.deployment_versions_create("p", "d", version(maximum_instances=Int64(4)))
    assert server.last.json["maximum_instances"] == 4
    api.projects_update("p", models.ProjectUpdate(credits=Float32(2.5)))  # type: ignore[arg-type]
    assert server.last.json == {"credits": 2.5}
    with pytest.raises(ApiValueError, match="`maximum_instances`, must be int, not Float32"):
        version(maximum_instances=Float32(4))


# Subclasses


T = TypeVar("T")


class Renamed(models.ProjectCreate):
    """No fields and no constructor of its own."""


class Prepared(models.ProjectCreate):
    """A constructor of its own."""

    def __init__(self, name: str, *, owner: str) -> None:
        super().__init__(name=name.lower(), organization_name=owner)
        self.owner = owner


class Tagged(models.ProjectCreate):
    """A field of its own."""

    tag: str | None = field("str", max_length=3)


class TaggedAndPrepared(models.ProjectCreate):
    """Both."""

    tag: str | None = field("str")

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, tag="a", **named)


class Mixed(models.ProjectCreate, Generic[T], abc.ABC):
    """Other bases beside it."""


SUBCLASSES = [
    lambda: Renamed("p", "o"),
    lambda: Prepared("P", owner="o"),
    lambda: Tagged("p", "o", tag="a"),
    lambda: TaggedAndPrepared("p", "o"),
    lambda: Mixed("p", "o"),
]


@pytest.mark.parametrize("first", [False, True], ids=["again", "after-the-base"])
@pytest.mark.parametrize("make", SUBCLASSES)
def test_a_subclass_behaves_as_its_base(server: Server, api: ubiops.CoreApi, make: Any, first: bool) -> None:
    if first:
        models.ProjectCreate("x", "y")
    for _ in range(2):
        model = make()
        assert (model.name, model.organization_name, model.advanced_permissions) == ("p", "o", False)
        api.projects_create(model)
        expected = {"name": "p", "organization_name": "o", "advanced_permissions": False}
        assert server.last.json == expected | ({"tag": "a"} if hasattr(model, "tag") else {})
        assert pickle.loads(pickle.dumps(model)) == model
        with pytest.raises(ApiValueError, match="`name`"):
            model.name = None
    assert type(models.ProjectCreate("x", "y")) is models.ProjectCreate
    assert models.ProjectCreate("x", "y").to_dict().keys() == properties("ProjectCreate").keys()


def test_a_subclass_may_be_generic() -> None:
    assert Mixed.__parameters__ == (T,)  # type: ignore[attr-defined]


def test_the_fields_of_a_subclass_follow_those_of_its_base() -> None:
    models.ProjectCreate("x", "y")
    assert list(Tagged.fields) == [*models.ProjectCreate.fields, "tag"]
    values = [None] * (len(properties("ProjectCreate")) - 2)
    assert Tagged("p", "o", *values, "a").tag == "a"  # type: ignore[call-arg]


def test_the_fields_of_a_subclass_are_checked_too() -> None:
    with pytest.raises(ApiValueError, match="`tag`, length must be less than or equal to `3`"):
        Tagged("p", "o", tag="long")


def test_a_nested_model_of_a_subclass_is_sent_whole(server: Server, api: ubiops.CoreApi) -> None:
    class Described(models.DeploymentInputFieldCreate):
        description: str | None = field("str")

    api.deployments_create("p", deployment(input_fields=[Described("x", "int", description="d")]))
    assert server.last.json["input_fields"] == [{"name": "x", "data_type": "int", "description": "d"}]


def test_a_subclass_is_read_as_itself() -> None:
    read = Tagged.from_wire({"name": "p", "tag": "a"})
    assert type(read) is Tagged
    assert (read.name, read.tag) == ("p", "a")
    assert type(Renamed.from_wire({})) is Renamed


def test_a_constructor_of_a_subclass_has_its_own_signature() -> None:
    assert list(inspect.signature(Prepared).parameters) == ["name", "owner"]
    assert list(inspect.signature(Tagged).parameters)[-3:] == ["tag", "local_vars_configuration", "unknown"]


def test_attributes_of_any_name_may_be_set_on_a_model() -> None:
    model = models.DeploymentUpdate(name="n")
    model.fields = ["a"]  # type: ignore[misc, assignment]
    assert model.to_dict()["name"] == "n"
    assert ubiops.ApiClient().sanitize_for_serialization(model) == {"name": "n"}
    assert copy.deepcopy(model) == model


def test_the_base_itself_has_no_fields() -> None:
    assert Model().to_dict() == {}
    assert make("Status").status == "xxx"


# Generations of the API


class Place(Model, body=True, read_only=("id",), excludes=("by_name", "by_code")):
    """A body of which newer clients know more than 3.12."""

    name: str = field("str", required=True)
    kind: str | None = field("str", default="old", withheld=True)
    fixed: bool | None = field("bool", default=False, withheld=True)
    mode: str | None = field("str", default="full")
    shape: str | None = field("str", required_unless="free")
    free: bool | None = field("bool", since="4.8")
    by_name: str | None = field("str", since="4.6")
    by_code: str | None = field("str", since="4.15")


def test_what_3_12_sends_is_sent_as_ever() -> None:
    assert Place("a", shape="round").to_wire() == {
        "name": "a",
        "kind": "old",
        "fixed": False,
        "mode": "full",
        "shape": "round",
    }


def test_a_newer_field_withholds_the_defaults_that_only_3_12_sends() -> None:
    for model in (
        Place("a", shape="round", by_name="n"),
        Place.from_dict({"name": "a", "shape": "round", "by_name": "n"}),
    ):
        assert model.to_wire() == {"name": "a", "mode": "full", "shape": "round", "by_name": "n"}
        assert (model.kind, model.fixed) == ("old", False)
    given = Place("a", kind="new", fixed=True, shape="round", by_name="n")
    assert given.to_wire() == {
        "name": "a", "kind": "new", "fixed": True, "mode": "full", "shape": "round", "by_name": "n"
    }  # fmt: skip
    assert Place("a", shape="round").to_wire(withhold=True) == {"name": "a", "mode": "full", "shape": "round"}


def test_a_default_that_the_program_wrote_is_sent_with_newer_fields() -> None:
    class Mine(DeploymentVersionCreate):
        def __init__(self, version: str, **rest: Any) -> None:
            super().__init__(version, **rest)

    written: dict[str, Any] = {"version": "v1", "language": "python3.7", "static_ip": False}
    later = DeploymentVersionCreate("v1", "python3.7", static_ip=False)
    assert vars(later).keys() == vars(DeploymentVersionCreate("v1")).keys()
    later.environment = "e"
    assigned = DeploymentVersionCreate("v1", environment="e")
    assigned.language, assigned.static_ip = "python3.7", False
    unchecked = DeploymentVersionCreate(**written, environment="e", local_vars_configuration=UNVALIDATED)  # type: ignore[arg-type]
    for model in (
        later,
        assigned,
        unchecked,
        DeploymentVersionCreate.from_dict({**written, "environment": "e"}),
        DeploymentVersionCreate.from_wire({**written, "environment": "e"}),
        DeploymentVersionCreate.from_input(models.DeploymentVersionDetail.from_wire({**written, "environment": "e"})),
    ):
        for same in (model, copy.copy(model), copy.deepcopy(model), *unpickled(model)):
            wire = same.to_wire(withhold=True)
            assert {name: wire.get(name) for name in written} == written
    for cls in (DeploymentVersionCreate, Mine):
        assert cls("v1", static_ip=False, environment="e").to_wire() == {
            "version": "v1",
            "request_retention_mode": "full",
            "static_ip": False,
            "restart_request_interruption": False,
            "environment": "e",
        }
    assert inspect.signature(DeploymentVersionCreate).parameters["static_ip"].default is False


def unpickled(model: Model) -> list[Any]:
    return [pickle.loads(pickle.dumps(model, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]


def test_a_field_is_due_unless_the_other_is_given() -> None:
    problem = r"^Invalid value for `shape`, must not be `None` \(Place\)"
    for make in (lambda: Place("a"), lambda: Place("a", shape=None), lambda: Place.from_dict({"name": "a"})):
        with pytest.raises(ApiValueError, match=problem):
            make()
    free, round_ = Place("a", free=False), Place("a", shape="round")
    assert free.shape is None
    for name, model in (("free", free), ("shape", round_)):
        with pytest.raises(ApiValueError, match=problem):
            setattr(model, name, None)
    assert (free.free, round_.shape) == (False, "round")
    with pytest.raises(Invalid) as raised:
        Place.from_input({"name": "a"})
    assert raised.value.place() == "shape"
    round_.local_vars_configuration.client_side_validation = False
    round_.shape = None
    assert round_.to_wire() == {"name": "a", "kind": "old", "fixed": False, "mode": "full"}


def test_fields_that_exclude_each_other_are_refused() -> None:
    problem = "^Invalid value for `by_code`, must not be given with `by_name`: one excludes the other"
    both = {"name": "a", "shape": "round", "by_name": "n", "by_code": "c"}
    for make in (lambda: Place(**both), lambda: Place.from_dict(both)):
        with pytest.raises(ApiValueError, match=problem):
            make()
    model = Place("a", shape="round", by_name="n")
    with pytest.raises(ApiValueError, match=problem):
        model.by_code = "c"
    assert model.by_code is None
    model.by_name = None
    model.by_code = "c"
    assert model.by_code == "c"


class Listed(Model):
    """What a list holds."""

    id: str | None = field("str")
    build: str | None = field("str", read_from="revision")
    revision: str | None = field("str")
    made: Any = field("date", with_time=True)


class Detailed(Listed):
    """What one holds: all fields of the list and its own, in its own order."""

    id: str | None = field("str")
    size: int | None = field("int")
    build: str | None = field("str", read_from="revision")
    revision: str | None = field("str")
    made: Any = field("date", with_time=True)


def test_a_derived_model_has_its_own_order_and_is_one_of_its_base() -> None:
    detail = Detailed.from_wire({"id": "1", "size": 2, "revision": "r"})
    assert list(Detailed.openapi_types) == ["id", "size", "build", "revision", "made"]
    assert isinstance(detail, Listed)
    assert detail.to_dict() == {"id": "1", "size": 2, "build": "r", "revision": "r", "made": None}
    assert Detailed("1", 2) == Detailed(id="1", size=2)
    assert Listed.from_wire({"id": "1"}) != Detailed.from_wire({"id": "1"})
    assert Listed.from_input(detail) is detail


def test_a_field_that_an_answer_lacks_is_read_from_another() -> None:
    assert Listed.from_wire({"revision": "r"}).build == "r"
    assert Listed.from_wire({"build": None, "revision": "r"}).build == "r"
    assert Listed.from_wire({"build": "b", "revision": "r"}).build == "b"
    assert Listed.from_wire({}).build is None


def test_a_date_with_a_time_is_read_as_a_datetime() -> None:
    for text, read in (
        ("2022-11-03", datetime.date(2022, 11, 3)),
        ("20221103", datetime.date(2022, 11, 3)),
        ("2022-11-03T09:30:12Z", datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=datetime.timezone.utc)),
        ("2022-11-03 09:30:12", datetime.datetime(2022, 11, 3, 9, 30, 12)),
        ("soon", "soon"),
        (5, 5),
    ):
        made = Listed.from_wire({"made": text}).made
        assert (type(made), made) == (type(read), read)


def test_an_answer_of_one_of_two_types_is_told_by_its_shape() -> None:
    either = "list[Usage] | Status"
    assert read_body(b'[{"metric": "m"}]', either) == [models.Usage.from_wire({"metric": "m"})]
    assert read_body(b'{"status": "ok"}', either) == models.Status("ok")
    assert (read_body(b"[]", either), read_body(b"", either), read_body(b"null", either)) == ([], [], None)
    for wrong, problem in ((b"5", "expected list.*Status, got int"), (b"[1]", "an item isn't an object")):
        with pytest.raises(ValueError, match=problem):
            read_body(wrong, either)


# First use


def test_threads_may_use_a_model_for_the_first_time_at_once() -> None:
    # A process of its own: here the models have been used.
    code = """
        import sys, threading
        from ubiops import models
        sys.setswitchinterval(1e-6)
        barrier, problems = threading.Barrier(16), []
        def use():
            barrier.wait()
            try:
                for _ in range(20):
                    field = models.DeploymentInputFieldCreate("x", "int", {"type": "slider"})
                    made = models.DeploymentCreate("d", None, "plain", "plain", [field])
                    read = models.DeploymentList.from_wire({"name": "d", "input_fields": [{"name": "x"}]})
                    assert made.to_wire()["input_fields"][0]["widget"] == {"type": "slider"}
                    assert read.input_fields[0].name == "x"
            except BaseException as error:
                problems.append(error)
        threads = [threading.Thread(target=use) for _ in range(16)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert not problems, problems
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True, timeout=60)


def test_methods_have_signatures_and_help() -> None:
    parameters = inspect.signature(ubiops.CoreApi.deployments_update).parameters
    assert list(parameters) == ["self", "project_name", "deployment_name", "data", "options"]
    text = pydoc.render_doc(ubiops.CoreApi.deployments_update, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    assert "project_name" in text
    assert "Args:" in text


def test_a_client_and_a_model_do_not_keep_each_other(server: Server, api: ubiops.CoreApi) -> None:
    server.default = Answer.json({"status": "ok"})
    status = api.service_status()
    assert status == models.Status(status="ok")
    assert b"127.0.0.1" not in pickle.dumps(status)
