"""Every schema goes out and comes back, with every field filled, with null and with fields of a newer server."""

from __future__ import annotations

import json
from typing import Any

import ubiops
from test.server import Answer, Recorded, Server
from test.wire.document import kind, nullable, same, sample, schemas, sent
from test.wire.each import each_case, each_schema
from test.wire.test_operations import WITH_ANSWER, WITH_MODEL, values_of


def referring_to(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def turns(name: str) -> range:
    """As many turns as it takes to use every member of every enum."""
    fields = schemas()[name]["properties"].values()
    return range(max((len(given["enum"]) for given in fields if "enum" in given), default=2))


def echo(request: Recorded) -> Answer:
    return Answer(200, request.body, {"Content-Type": "application/json"})


@each_schema
def test_model_goes_out_and_comes_back_with_every_field(name: str, wire: Server, wire_api: Any) -> None:
    wire.default = echo
    client: ubiops.ApiClient = wire_api.api_client
    for turn in turns(name):
        plain = sample(referring_to(name), turn)
        model = getattr(ubiops.models, name)(**plain)
        back = client.call_api("/echo", "POST", body=model, response_type=name, _return_http_data_only=True)
        assert wire.last.json == sent(referring_to(name), plain)
        assert same(referring_to(name), back, wire.last.json)
        again = client.call_api("/echo", "POST", body=back, response_type=name, _return_http_data_only=True)
        assert again == back


@each_schema
def test_model_by_position_is_the_model_by_keyword(name: str) -> None:
    cls = getattr(ubiops.models, name)
    plain = sample(referring_to(name))
    assert cls(*map(plain.get, schemas()[name]["properties"])) == cls(**plain)


@each_schema
def test_dict_of_a_model_makes_the_model_again(name: str) -> None:
    cls = getattr(ubiops.models, name)
    model = cls(**sample(referring_to(name)))
    assert cls(**model.to_dict()).to_dict() == model.to_dict()


@each_schema
def test_what_a_server_leaves_out_or_sends_as_null_is_none(name: str, wire: Server, wire_api: Any) -> None:
    fields = schemas()[name]["properties"]
    for answer in ({}, dict.fromkeys(fields)):
        wire.default = Answer.json(answer)
        model = wire_api.api_client.call_api("/x", "GET", response_type=name, _return_http_data_only=True)
        assert type(model).__name__ == name
        assert [getattr(model, field) for field in fields] == [None] * len(fields)


@each_schema
def test_what_a_newer_server_sends_is_kept(name: str, wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json({**sample(referring_to(name)), "news": {"a": [1]}})
    model = wire_api.api_client.call_api("/x", "GET", response_type=name, _return_http_data_only=True)
    assert model.additional_properties == {"news": {"a": [1]}}
    wire.default = echo
    wire_api.api_client.call_api("/x", "PUT", body=model)
    assert "news" not in wire.last.json


@each_schema
def test_class_attributes_are_those_of_the_schema(name: str) -> None:
    cls = getattr(ubiops.models, name)
    fields = schemas()[name]["properties"]
    assert list(cls.openapi_types) == list(fields)
    assert cls.attribute_map == {field: field for field in fields}
    assert cls.discriminator is None
    simple = {"integer": "int", "number": "float", "boolean": "bool", "free": "object"}
    formats = {"date": "date", "date-time": "datetime"}
    for field, given in fields.items():
        if kind(given) == "string":
            assert cls.openapi_types[field] == formats.get(given.get("format"), "str")
        elif kind(given) in simple:
            assert cls.openapi_types[field] == given.get("x-python-type", simple[kind(given)])
        elif kind(given) == "model":
            assert given["$ref"] == f"#/components/schemas/{cls.openapi_types[field]}"
        else:
            assert cls.openapi_types[field].startswith({"array": "list[", "object": "dict(str, "}[kind(given)])


@each_case(WITH_MODEL)
def test_null_goes_out_wherever_the_document_takes_one(case: Any, wire: Server, wire_api: Any) -> None:
    assert case.body is not None
    name = case.body.schema["$ref"].rpartition("/")[2]
    wire.default = Answer(204)
    body = sample(case.body.schema, full=False)
    due = sent(case.body.schema, body, updates=case.updates)
    fields = [field for field, given in schemas()[name]["properties"].items() if nullable(given)]
    for field in fields:
        nulled = {**due, field: None}
        as_dict = {**body, field: ubiops.NULL}
        as_model = getattr(ubiops.models, name)(**as_dict)
        assigned = getattr(ubiops.models, name)(**body)
        setattr(assigned, field, ubiops.NULL)
        for data in (as_dict, as_model, assigned):
            getattr(wire_api, case.name)(**{**values_of(case.required), "data": data})
            assert wire.last.json == nulled
        assert getattr(as_model, field) is None


@each_case(WITH_MODEL)
def test_none_in_a_body_is_not_sent(case: Any, wire: Server, wire_api: Any) -> None:
    """Nor a default in its place."""
    assert case.body is not None
    name = case.body.schema["$ref"].rpartition("/")[2]
    wire.default = Answer(204)
    body = sample(case.body.schema, full=False)
    data = {**dict.fromkeys(schemas()[name]["properties"]), **body}
    for given in (data, getattr(ubiops.models, name)(**data)):
        getattr(wire_api, case.name)(**{**values_of(case.required), "data": given})
        assert wire.last.json == sent(case.body.schema, body, updates=True)


@each_case(WITH_MODEL)
def test_model_of_what_the_server_returned_stands_for_a_body(case: Any, wire: Server, wire_api: Any) -> None:
    """The read schemas of the same resource may be given where one is created or updated."""
    assert case.body is not None
    name = case.body.schema["$ref"].rpartition("/")[2]
    fields = schemas()[name]["properties"]
    for read in schemas()[name].get("x-read-schemas", ()):
        full = {**sample(referring_to(read)), **sample(case.body.schema)}
        # A server answers with one of the fields that exclude each other.
        excluded = schemas()[name].get("x-excludes", [])[1:]
        known = schemas()[read]["properties"].keys() - excluded
        common = {field: value for field, value in full.items() if field in known}
        if not set(schemas()[name].get("required", ())) <= set(common):
            continue
        wire.default = Answer.json(common)
        model = wire_api.api_client.call_api("/x", "GET", response_type=read, _return_http_data_only=True)
        wire.default = Answer(204)
        getattr(wire_api, case.name)(**{**values_of(case.required), "data": model})
        given = {field: value for field, value in common.items() if field in fields}
        assert set(wire.last.json) >= set(sent(case.body.schema, given, updates=case.updates))
        assert set(wire.last.json) <= set(fields)


@each_case(WITH_ANSWER)
def test_answer_is_printed_as_its_dict(case: Any, wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json(case.example, case.status)
    data = getattr(wire_api, case.name)(**values_of(case.required))
    for item in data if isinstance(data, list) else [data]:
        if not isinstance(item, (dict, str)):
            assert str(item) == item.to_str()
            assert list(item.to_dict()) == list(schemas()[type(item).__name__]["properties"])
            assert json.loads(json.dumps(wire_api.api_client.sanitize_for_serialization(item)))
