"""Models as data frames."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from typing import Any

import pandas
import pytest

import ubiops
from test.each import each
from test.emulator.project import TestProject
from test.unit.schemas import filled, properties, schemas
from ubiops import models
from ubiops.utils import MissingExtra, to_dataframe

UTC = datetime.timezone.utc
NOON = datetime.datetime(2022, 11, 13, 12, tzinfo=UTC)


def request(**fields: Any) -> Any:
    return models.DeploymentRequestSingleDetail.from_wire(fields)


def values(column: Any) -> list[Any]:
    """The values of a column, None where one is missing."""
    return [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]


@pytest.mark.usefixtures("deployed")
def test_requests_of_the_api_are_rows(project: TestProject) -> None:
    ids = [item.id for item in project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}, {"x": 2}])]
    project.finished(ids)
    frame = to_dataframe(project.api.deployment_requests_batch_get("lab", "model", ids)).set_index("id").loc[ids]
    assert values(frame["request_data.x"]) == [1, 2]
    assert values(frame["result.y"]) == [2, 4]
    assert (frame["result.y"] / frame["request_data.x"]).tolist() == [2, 2]
    assert str(frame["time_completed"].dt.tz) == "UTC"
    assert (frame["time_completed"] >= frame["time_started"]).all()


@each("name", sorted(schemas()))
def test_the_columns_are_the_fields_in_the_order_of_the_api(name: str) -> None:
    model = getattr(models, name).from_wire(filled(name))
    frame = to_dataframe([model, model], flatten=())
    assert list(frame.columns) == list(properties(name))
    assert len(frame) == 2


def test_what_the_client_does_not_know_stands_in_the_last_columns() -> None:
    items = [models.Status.from_wire({"status": "ok", "region": "eu"}), models.Status.from_wire({"status": "slow"})]
    frame = to_dataframe(items)
    assert list(frame.columns) == ["status", "reason", "region"]
    assert values(frame["region"]) == ["eu", None]


@pytest.mark.parametrize("wrap", [list, tuple, iter, lambda items: (item for item in items)])
def test_any_iterable_will_do(wrap: Any) -> None:
    frame = to_dataframe(wrap([request(id="a"), {"id": "b", "extra": 1}]))
    assert values(frame["id"]) == ["a", "b"]
    assert values(frame["extra"]) == [None, 1]


def test_a_single_model_or_dict_is_one_row() -> None:
    assert values(to_dataframe(request(id="a"))["id"]) == ["a"]
    assert values(to_dataframe({"id": "b"})["id"]) == ["b"]


def test_no_items_make_an_empty_frame() -> None:
    frame = to_dataframe([])
    assert (len(frame), len(frame.columns)) == (0, 0)


def test_items_without_fields_are_rows_all_the_same() -> None:
    assert len(to_dataframe([{}, {}])) == 2


# Dates


def test_dates_are_datetimes_and_missing_ones_nat() -> None:
    frame = to_dataframe([request(time_created="2022-11-13T12:00:00+00:00"), request()])
    assert str(frame["time_created"].dt.tz) == "UTC"
    assert frame["time_created"][0] == NOON
    assert frame["time_created"][1] is pandas.NaT


def test_a_date_that_none_has_is_one_nevertheless() -> None:
    frame = to_dataframe([request(), request()])
    assert str(frame["time_completed"].dt.tz) == "UTC"
    assert (frame["time_completed"] - frame["time_started"]).dt.total_seconds().isna().all()


def test_the_zone_is_kept_and_several_become_utc() -> None:
    there = "2022-11-13T14:00:00+02:00"
    frame = to_dataframe(
        [request(time_created=there, time_started=there), request(time_created="2022-11-13T12:00:00Z")]
    )
    assert str(frame["time_started"].dt.tz) == "UTC+02:00"
    assert str(frame["time_created"].dt.tz) == "UTC"
    assert frame["time_created"].tolist() == [NOON, NOON]


def test_no_zone_is_invented() -> None:
    bare, zoned = "2022-11-13T12:00:00", "2022-11-13T12:00:00Z"
    frame = to_dataframe([request(time_created=bare, time_started=bare), request(time_created=zoned)])
    assert str(frame["time_started"].dtype) == "datetime64[us]"
    assert frame["time_created"].tolist() == [NOON.replace(tzinfo=None), NOON]


def test_dates_beyond_those_of_nanoseconds_are_kept() -> None:
    frame = to_dataframe([request(time_created="9999-12-31T00:00:00Z")])
    assert frame["time_created"][0].year == 9999


def test_a_date_that_can_not_be_read_stays_as_it_came() -> None:
    frame = to_dataframe([request(time_created="soon"), request(time_created="2022-11-13T12:00:00Z")])
    assert frame["time_created"].tolist() == ["soon", NOON]


# Nested values


def test_data_and_results_are_spread_over_columns_in_their_place() -> None:
    frame = to_dataframe(
        [
            request(id="a", request_data={"x": 1}, result={"y": 2, "box": {"w": 3}}),
            request(id="b", request_data={"x": 4}, result=None),
            request(id="c", request_data="text", result={"z": [5, 6], "y": 7}),
        ]
    )
    names = list(frame.columns)
    start = names.index("request_data.x")
    assert names[start : start + 5] == ["request_data.x", "request_data", "result.y", "result.box.w", "result.z"]
    assert values(frame["request_data.x"]) == [1, 4, None]
    assert values(frame["request_data"]) == [None, None, "text"]
    assert values(frame["result.y"]) == [2, None, 7]
    assert values(frame["result.box.w"]) == [3, None, None]
    assert values(frame["result.z"])[2] == [5, 6]


def test_plain_results_and_missing_ones_stay_in_one_column() -> None:
    frame = to_dataframe([request(result="cat"), request(result=None)])
    assert values(frame["result"]) == ["cat", None]
    assert values(to_dataframe([request(), request()])["result"]) == [None, None]
    assert to_dataframe([request(result={})])["result"].tolist() == [{}]


def test_the_fields_to_spread_can_be_chosen() -> None:
    deployment = models.DeploymentList.from_wire({"labels": {"team": "a"}, "input_fields": [{"name": "x"}]})
    plain = to_dataframe([deployment])
    assert plain["labels"][0] == {"team": "a"}
    assert plain["input_fields"][0][0]["name"] == "x"
    assert values(to_dataframe([deployment], flatten=["labels"])["labels.team"]) == ["a"]
    assert values(to_dataframe([deployment], flatten="labels")["labels.team"]) == ["a"]
    assert to_dataframe([request(result={"y": 1})], flatten=())["result"][0] == {"y": 1}


# Credentials and what can't be


def test_credentials_are_masked() -> None:
    variables = [
        models.EnvironmentVariableList(name="KEY", value="s3cret", secret=True),
        models.EnvironmentVariableList(name="MODE", value="fast", secret=False),
    ]
    assert values(to_dataframe(variables)["value"]) == ["***", "fast"]
    assert values(to_dataframe([variable.to_dict() for variable in variables])["value"]) == ["***", "fast"]
    bucket = models.BucketCreate(name="b", provider="amazon_s3", credentials={"secret_key": "s3cret"})
    for frame in (to_dataframe(bucket), to_dataframe(bucket.to_dict()), to_dataframe(bucket, flatten=["credentials"])):
        assert values(frame["credentials"]) == ["***"]
        assert "s3cret" not in frame.to_csv()


def broken() -> Iterator[Any]:
    yield request(id="a")
    yield 5


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (None, "`items` when calling `to_dataframe`, expected a model, a dict or an iterable of them, got NoneType"),
        ("abc", "`items` when calling `to_dataframe`, expected a model, a dict or an iterable of them, got str"),
        (broken(), "`items[1]` when calling `to_dataframe`, expected a model or a dict, got int"),
        ([None], "`items[0]` when calling `to_dataframe`, expected a model or a dict, got NoneType"),
    ],
    ids=["none", "str", "an item", "no item"],
)
def test_what_has_no_rows_is_refused(items: Any, message: str) -> None:
    with pytest.raises(ubiops.ApiTypeError) as caught:
        to_dataframe(items)
    assert str(caught.value) == f"Invalid value for {message}"


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine without the extra.
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"^to_dataframe needs pandas: pip install pandas$"):
        to_dataframe([])
