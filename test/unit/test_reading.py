"""Reading answers: tolerantly, with nothing invented, and with a clear error where there is nothing to read."""

from __future__ import annotations

import copy
import datetime
import math
import pickle
import time
from typing import Any

import pytest

import ubiops
from test.each import each
from test.server import Answer, Server
from test.unit.schemas import filled, properties, schemas
from ubiops import ApiException, models
from ubiops.model import Model, field
from ubiops.operation import decode_body, read_body

UTC = datetime.timezone.utc


def zone(hours: float) -> datetime.timezone:
    return datetime.timezone(datetime.timedelta(hours=hours))


def read(server: Server, api: ubiops.CoreApi, **fields: Any) -> models.DeploymentVersionDetail:
    """What the client reads of an answer with these fields."""
    server.answers.append(Answer.json(fields))
    return api.deployment_versions_get("p", "d", "v")


# Tolerance


@each("name", sorted(schemas()))
def test_every_field_is_read(name: str) -> None:
    given = filled(name)
    model = getattr(models, name).from_wire(filled(name))
    expected = {key: _read(schema, given[key]) for key, schema in properties(name).items() if key in given}
    assert {key: _plain(getattr(model, key)) for key in expected} == expected
    assert model.additional_properties == {}


def _read(schema: dict[str, Any], wire: Any) -> Any:
    if schema.get("format") == "date-time":
        return datetime.datetime(2022, 11, 3, 9, 30, 12, 421000, tzinfo=UTC)
    if schema.get("format") == "date":
        return datetime.date(2022, 11, 3)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name, {key: _read(inner, wire[key]) for key, inner in properties(name).items()}
    if "items" in schema:
        return [_read(schema["items"], item) for item in wire]
    return wire


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, ubiops.model.Model):
        name = type(value).__name__
        return name, {key: _plain(getattr(value, key)) for key in properties(name)}
    return value


@each("name", sorted(schemas()))
def test_nothing_of_an_answer_is_required(name: str) -> None:
    model = getattr(models, name).from_wire({})
    nulls = getattr(models, name).from_wire(dict.fromkeys(properties(name)))
    assert model == nulls
    assert set(model.to_dict().values()) == {None}


def test_an_unknown_enumeration_value_is_read(server: Server, api: ubiops.CoreApi) -> None:
    server.answers.append(Answer.json([{"id": "1", "status": "paused"}, {"id": "2", "status": ""}]))
    assert [request.status for request in api.deployment_requests_list("p", "d")] == ["paused", ""]


def test_a_missing_or_null_required_field_is_read_as_none(server: Server, api: ubiops.CoreApi) -> None:
    version = read(server, api, deployment=None)
    assert (version.deployment, version.version, version.instance_type) == (None, None, None)


def test_a_value_out_of_bounds_is_read(server: Server, api: ubiops.CoreApi) -> None:
    version = read(server, api, version="v" * 500, language="", instance_type="")
    assert (version.version, version.language, version.instance_type) == ("v" * 500, "", "")


@pytest.mark.parametrize("value", ["false", 0, 1.5, ["a"], {"a": 1}, "2022-11-03T09:30:12Z"])
def test_a_value_of_another_type_is_given_as_it_came(server: Server, api: ubiops.CoreApi, value: Any) -> None:
    for name in ("static_ip", "description", "maximum_instances", "labels"):
        got = getattr(read(server, api, **{name: value}), name)
        assert (type(got), got) == (type(value), value)


@pytest.mark.parametrize("value", [0, 1.5, True, ["2022-11-03"], {"a": 1}, ""])
def test_a_timestamp_of_another_type_is_given_as_it_came(server: Server, api: ubiops.CoreApi, value: Any) -> None:
    server.answers += [Answer.json({"creation_date": value})] * 2
    for got in (api.deployments_get("p", "d").creation_date, api.projects_get("p").creation_date):
        assert (type(got), got) == (type(value), value)


@pytest.mark.parametrize("value", ["abc", 5, True, {"name": "x"}, ["abc", None, 3]])
def test_what_is_due_to_hold_models_and_does_not_is_given_as_it_came(
    server: Server, api: ubiops.CoreApi, value: Any
) -> None:
    server.answers.append(Answer.json({"name": "d", "input_fields": value}))
    assert api.deployments_get("p", "d").input_fields == value


def test_models_are_read_beside_what_is_none(server: Server, api: ubiops.CoreApi) -> None:
    fields = [{"name": "x", "widget": {"type": "slider"}}, None, "y", {"name": "z", "widget": "slider"}]
    server.answers.append(Answer.json({"input_fields": fields}))
    first, second, third, fourth = api.deployments_get("p", "d").input_fields  # type: ignore[misc]
    assert type(first) is models.InputOutputFieldDetail
    assert type(first.widget) is models.InputOutputWidgetList
    assert (first.widget.type, second, third, fourth.widget) == ("slider", None, "y", "slider")


@pytest.mark.parametrize(
    ("value", "read"), [(3, 3.0), (0, 0.0), (-(2**70), -(2.0**70)), (10**400, 10**400), (True, True), ("3", "3")]
)
def test_a_whole_number_reads_as_a_float_where_one_is_declared(
    server: Server, api: ubiops.CoreApi, value: Any, read: Any
) -> None:
    server.answers.append(Answer.json({"credits": value}))
    credits = api.projects_get("p").credits
    assert (type(credits), credits) == (type(read), read)


def test_an_int_stays_exact_and_a_float_too(server: Server, api: ubiops.CoreApi) -> None:
    server.answers.append(Answer(200, b'{"credits": 0.1, "name": 12345678901234567890}'))
    project = api.projects_get("p")
    assert (project.credits, project.name) == (0.1, 12345678901234567890)


def test_what_python_calls_json_beyond_the_standard_is_read(server: Server, api: ubiops.CoreApi) -> None:
    server.answers.append(Answer(200, b'{"credits": NaN}'))
    assert math.isnan(api.projects_get("p").credits)  # type: ignore[arg-type]


# Fields that the client doesn't know


def test_unknown_fields_are_kept_and_can_be_read(server: Server, api: ubiops.CoreApi) -> None:
    version = read(server, api, version="v1", replicas={"now": [2]}, zone=None)
    assert version.version == "v1"
    assert version.additional_properties == {"replicas": {"now": [2]}, "zone": None}
    assert models.Status.from_wire({"status": "ok"}).additional_properties == {}


def test_unknown_fields_of_nested_models_are_kept(server: Server, api: ubiops.CoreApi) -> None:
    server.answers.append(Answer.json({"input_fields": [{"name": "x", "unit": "m"}]}))
    (field,) = api.deployments_get("p", "d").input_fields  # type: ignore[misc]
    assert field.additional_properties == {"unit": "m"}


def test_unknown_fields_that_were_read_are_not_sent_back(
    server: Server, api: ubiops.CoreApi, recwarn: pytest.WarningsRecorder
) -> None:
    version = read(server, api, instance_type="512mb", replicas=2)
    version.description = "x"
    api.deployment_versions_update("p", "d", "v", version)  # type: ignore[call-overload]
    assert server.last.json == {"instance_type": "512mb", "description": "x"}
    api.deployment_versions_update("p", "d", "v", version.to_dict())
    assert server.last.json == {"instance_type": "512mb", "description": "x"}
    twin = pickle.loads(pickle.dumps(copy.deepcopy(version)))
    api.deployment_versions_update("p", "d", "v", twin)
    assert server.last.json == {"instance_type": "512mb", "description": "x"}
    assert list(recwarn) == []


def test_unknown_fields_of_nested_models_are_not_sent_back(server: Server, api: ubiops.CoreApi) -> None:
    fields = [{"name": "x", "data_type": "int", "unit": "m"}]
    server.answers.append(
        Answer.json({"name": "d", "input_type": "plain", "output_type": "plain", "input_fields": fields})
    )
    api.deployments_create("p", api.deployments_get("p", "d"))  # type: ignore[call-overload]
    assert server.last.json == {
        "name": "d",
        "input_type": "plain",
        "output_type": "plain",
        "input_fields": [{"name": "x", "data_type": "int"}],
    }


# Timestamps

MOMENTS = [
    ("2022-11-03T09:30:12Z", datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=UTC)),
    ("2022-11-03T09:30:12z", datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=UTC)),
    ("2022-11-03T09:30:12.421Z", datetime.datetime(2022, 11, 3, 9, 30, 12, 421000, tzinfo=UTC)),
    ("2022-11-03T09:30:12.421+00:00", datetime.datetime(2022, 11, 3, 9, 30, 12, 421000, tzinfo=UTC)),
    ("2022-11-03T09:30:12.421987+00:00", datetime.datetime(2022, 11, 3, 9, 30, 12, 421987, tzinfo=UTC)),
    ("2022-11-03T09:30:12+05:30", datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=zone(5.5))),
    ("2022-11-03T09:30:12-08:00", datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=zone(-8))),
    ("2022-11-03T09:30:12+0200", datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=zone(2))),
    ("2022-11-03T09:30:12-05", datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=zone(-5))),
    *(
        (
            f"2022-11-03T09:30:12.{'123456789'[:digits]}Z",
            datetime.datetime(2022, 11, 3, 9, 30, 12, int("123456789"[:digits].ljust(6, "0")[:6]), tzinfo=UTC),
        )
        for digits in range(1, 10)
    ),
    ("2022-11-03T09:30:12,5Z", datetime.datetime(2022, 11, 3, 9, 30, 12, 500000, tzinfo=UTC)),
    ("2022-11-03 09:30:12.421000+00:00", datetime.datetime(2022, 11, 3, 9, 30, 12, 421000, tzinfo=UTC)),
    ("2022-11-03 09:30:12", datetime.datetime(2022, 11, 3, 9, 30, 12)),
    ("2022-11-03T09:30:12", datetime.datetime(2022, 11, 3, 9, 30, 12)),
    ("2022-11-03T09:30:12.4", datetime.datetime(2022, 11, 3, 9, 30, 12, 400000)),
    ("2022-11-03T09:30", datetime.datetime(2022, 11, 3, 9, 30)),
    ("20221103T093012Z", datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=UTC)),
    ("2022-11-03", datetime.datetime(2022, 11, 3)),
    ("2022-11", datetime.datetime(2022, 11, 1)),
    ("2022-11-03T24:00:00Z", datetime.datetime(2022, 11, 4, tzinfo=UTC)),
    ("1969-12-31T23:59:59Z", datetime.datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ("9999-12-31T23:59:59Z", datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
]


@pytest.mark.parametrize(("text", "moment"), MOMENTS, ids=[text for text, _ in MOMENTS])
def test_timestamps_become_datetimes_with_the_zone_that_was_sent(
    server: Server, api: ubiops.CoreApi, text: str, moment: datetime.datetime
) -> None:
    got = read(server, api, creation_date=text).creation_date
    assert type(got) is datetime.datetime
    assert (got, got.utcoffset()) == (moment, moment.utcoffset())


@pytest.mark.parametrize(("text", "moment"), MOMENTS, ids=[text for text, _ in MOMENTS])
def test_a_zone_is_one_of_the_standard_library_however_it_was_read(text: str, moment: datetime.datetime) -> None:
    got = models.DeploymentVersionDetail.from_wire({"creation_date": text}).creation_date
    assert isinstance(got, datetime.datetime)
    assert type(got.tzinfo) is type(moment.tzinfo)
    assert repr(got) == repr(moment)


NO_MOMENTS = [
    "2016-12-31T23:59:60Z",
    "2022-13-03T09:30:12Z",
    "2022-02-30",
    "2022-11-03T25:00:00Z",
    "2022-11-03T09:30:12+99:99",
    "0000-01-01T00:00:00Z",
    "9999-12-31T24:00:00Z",
    "Thu, 03 Nov 2022 09:30:12 GMT",
    "09:30",
    "November",
    "1667467812",
    "now",
    "",
    " ",
    "Z",
    "é2022-11-03",
    "\uff12\uff10\uff12\uff12-11-03",
    "2022-11-03\ud800",
    "2022-11-03T09:30:12Z" + "0" * 10_000,
]


@pytest.mark.parametrize("text", NO_MOMENTS, ids=ascii)
def test_what_is_no_timestamp_stays_a_string(text: str) -> None:
    assert models.DeploymentVersionDetail.from_wire({"creation_date": text}).creation_date == text
    assert models.ProjectDetail.from_wire({"creation_date": text}).creation_date == text


@pytest.mark.parametrize("text", ["2022", "2022-11", "2022-11-03", "2022-11-03T09"])
def test_the_missing_parts_of_a_date_are_never_today_s(text: str) -> None:
    got = models.DeploymentVersionDetail.from_wire({"creation_date": text}).creation_date
    assert isinstance(got, datetime.datetime)
    assert got.isoformat().startswith(text)
    assert got.isoformat()[len(text) :].strip("-T:0") in ("", "1", "1-01", "01", "01-01")
    assert got.tzinfo is None


@pytest.mark.parametrize("text", ["2022-11-03", "20221103"])
def test_dates_are_read(text: str) -> None:
    got = models.ProjectDetail.from_wire({"creation_date": text}).creation_date
    assert (type(got), got) == (datetime.date, datetime.date(2022, 11, 3))


def test_the_local_zone_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        for text, moment in MOMENTS:
            got = models.DeploymentVersionDetail.from_wire({"creation_date": text}).creation_date
            assert isinstance(got, datetime.datetime)
            assert (got, got.utcoffset()) == (moment, moment.utcoffset())
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_was_read_is_sent_with_its_zone(server: Server, api: ubiops.CoreApi) -> None:
    got = read(server, api, creation_date="2022-11-03T09:30:12.421+05:30").creation_date
    api.deployment_requests_create("p", "d", {"when": got})
    assert server.last.json == {"when": "2022-11-03T09:30:12.421000+05:30"}


class Times(Model):
    """Timestamps in containers that no schema of the API has yet, and that the document can express."""

    by_name: dict[str, Any] | None = field("dict(str, datetime)")
    listed: list[Any] | None = field("list[date]")
    texts: dict[str, Any] | None = field("dict(str, str)")


def test_timestamps_in_containers_are_read() -> None:
    times = Times.from_wire(
        {
            "by_name": {"a": "2022-11-03T09:30:12Z", "b": None},
            "listed": ["2022-11-03", "x"],
            "texts": {"a": "2022-11-03"},
        }
    )
    assert times.by_name == {"a": datetime.datetime(2022, 11, 3, 9, 30, 12, tzinfo=UTC), "b": None}
    assert times.listed == [datetime.date(2022, 11, 3), "x"]
    assert times.texts == {"a": "2022-11-03"}


def test_containers_of_another_type_are_given_as_they_came() -> None:
    times = Times.from_wire({"by_name": ["2022-11-03"], "listed": {"a": "2022-11-03"}})
    assert (times.by_name, times.listed) == (["2022-11-03"], {"a": "2022-11-03"})


# Bodies


@pytest.mark.parametrize("answer", [Answer(200), Answer(204), Answer(200, b" \n")], ids=str)
def test_an_empty_body_is_none_and_of_a_list_operation_an_empty_list(
    server: Server, api: ubiops.CoreApi, answer: Answer
) -> None:
    server.default = answer
    assert api.deployments_get("p", "d") is None
    assert api.deployments_get_with_http_info("p", "d")[:2] == (None, answer.status)
    assert api.deployments_list("p") == []
    assert api.deployments_list_with_http_info("p")[:2] == ([], answer.status)


def test_null_is_none(server: Server, api: ubiops.CoreApi) -> None:
    server.default = Answer(200, b"null")
    assert api.deployments_get("p", "d") is None
    assert api.deployments_list("p") is None


def test_a_list_is_read_item_by_item(server: Server, api: ubiops.CoreApi) -> None:
    server.answers += [Answer.json([]), Answer.json([{"name": "a"}, {"name": "b"}])]
    assert api.deployments_list("p") == []
    deployments = api.deployments_list("p")
    assert [type(deployment) for deployment in deployments] == [models.DeploymentList] * 2
    assert [deployment.name for deployment in deployments] == ["a", "b"]


CHARSETS = [
    (None, "utf-8"),
    (None, "utf-8-sig"),
    ("application/json", "utf-8"),
    ("application/json; charset=utf-8", "utf-8-sig"),
    ("application/json; charset=ISO-8859-1", "latin-1"),
    ('application/json;CharSet="utf-16"; x=y', "utf-16"),
    ("application/json; charset=utf-16-le", "utf-16-le"),
    ("text/plain; note=charset; charset=cp1252", "cp1252"),
]


@pytest.mark.parametrize(("content_type", "encoding"), CHARSETS)
def test_the_declared_charset_is_honoured_and_a_byte_order_mark_ignored(
    content_type: str | None, encoding: str
) -> None:
    text = '{"status": "é"}'
    assert read_body(text.encode(encoding), "Status", content_type) == models.Status(status="é")
    assert read_body("\ufeff" + text, "Status") == models.Status(status="é")
    assert decode_body(text.encode(encoding), content_type) == text


@pytest.mark.parametrize("charset", ["klingon", "hex", "utf-8"])
def test_a_body_that_is_not_in_its_charset_is_a_value_error(charset: str) -> None:
    with pytest.raises(ValueError, match=charset):
        read_body(b'{"status": "\xff"}', "Status", f"application/json; charset={charset}")


@pytest.mark.parametrize("charset", ["idna", "punycode", "unicode_escape", "Raw_Unicode_Escape", "undefined", "rot13"])
def test_a_codec_that_is_no_charset_is_refused(charset: str) -> None:
    # That of punycode takes minutes for a megabyte.
    with pytest.raises(ValueError, match=r"is not a charset|is not a text encoding"):
        decode_body(b"a-" + b"kva" * 300_000, f"application/json; charset={charset}")


UNREADABLE = {
    "html": (b"<html>It works!</html>", "Status"),
    "text": (b"ok", "Status"),
    "truncated": (b'{"status": "o', "Status"),
    "two values": (b'{"status": "ok"}{}', "Status"),
    "list for an object": (b"[]", "expected Status, got list"),
    "string for an object": (b'"ok"', "expected Status, got str"),
    "number for an object": (b"5", "expected Status, got int"),
    "not UTF-8": (b'{"status": "\xff\xfe"}', "Status"),
    "Latin-1": ('{"status": "é"}'.encode("latin-1"), "Status"),
    "UTF-16": ('{"status": "ok"}'.encode("utf-16"), "Status"),
    "too deep": (b"[" * 200_000 + b"]" * 200_000, "Status"),
}


@pytest.mark.parametrize(("body", "problem"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_can_not_be_read_raises_with_status_and_text(
    server: Server, api: ubiops.CoreApi, body: bytes, problem: str
) -> None:
    server.default = Answer(200, body, {"X-Request-Id": "7"})
    for call in (api.service_status, api.service_status_with_http_info):
        with pytest.raises(ApiException) as raised:
            call()
        assert raised.value.status == 200
        assert raised.value.reason is not None
        assert raised.value.reason.startswith("OK: the answer can't be read as ")
        assert problem in raised.value.reason
        assert raised.value.body == body.decode(errors="replace")
        assert raised.value.headers is not None
        assert raised.value.headers["x-request-id"] == "7"
        assert raised.value.operation == "service_status"
        assert isinstance(raised.value.__cause__, ValueError)


@pytest.mark.parametrize("body", [b"{}", b'{"name": "a"}', b'"a"', b"[1]", b'["a"]', b"[null]", b"[[]]"])
def test_a_list_of_another_shape_raises(server: Server, api: ubiops.CoreApi, body: bytes) -> None:
    server.default = Answer(200, body)
    with pytest.raises(ApiException, match=r"can't be read as list\[DeploymentList\]") as raised:
        api.deployments_list("p")
    assert (raised.value.status, raised.value.body) == (200, body.decode())


def test_an_answer_without_a_type_is_not_read(server: Server, api: ubiops.CoreApi) -> None:
    server.default = Answer(200, b"<html>gone</html>")
    assert api.deployments_delete("p", "d") is None


def test_answers_are_never_validated_whatever_the_configuration(server: Server, api: ubiops.CoreApi) -> None:
    for checks in (True, False):
        api.api_client.configuration.client_side_validation = checks
        assert read(server, api, version=None, instance_type="").instance_type == ""


def test_a_model_that_was_read_checks_assignments(server: Server, api: ubiops.CoreApi) -> None:
    version = read(server, api, version="v1", instance_type="")
    with pytest.raises(ValueError, match="`instance_type`, length must be"):
        version.instance_type = ""
    with pytest.raises(ValueError, match="`version`, must not be `None`"):
        version.version = None  # type: ignore[assignment]
