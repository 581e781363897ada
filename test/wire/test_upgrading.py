"""What docs/upgrading.md says of bodies and answers, shown by the API's own operations and schemas."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import ubiops
from test.server import Answer, Server
from test.unit.schemas import properties, schemas
from ubiops import models

NEWER = {"environment": "python3-11", "instance_type_group_name": "512 MB"}


@pytest.mark.parametrize("name", sorted(name for name, schema in schemas().items() if "x-since" not in schema))
def test_fields_newer_than_3_12_come_last(name: str) -> None:
    newer = ["x-since" in field for field in properties(name).values()]
    assert newer == sorted(newer)


@pytest.mark.parametrize("field", NEWER)
def test_an_environment_goes_out_without_the_defaults_of_3_12(field: str, wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json({"version": "v1"})
    body: dict[str, Any] = {"version": "v1", field: NEWER[field]}
    for data in (body, models.DeploymentVersionCreate(**body)):
        wire_api.deployment_versions_create("lab", "model", data)
        assert wire.last.json[field] == NEWER[field]
        assert not {"language", "static_ip"} & wire.last.json.keys()
    wire_api.deployment_versions_create("lab", "model", {"version": "v1"})
    assert (wire.last.json["language"], wire.last.json["static_ip"]) == ("python3.7", False)


def test_environment_and_environment_name_together_are_refused(wire: Server, wire_api: Any) -> None:
    body: dict[str, Any] = {"version": "v1", "environment": "a", "environment_name": "b"}
    with pytest.raises(ubiops.ApiValueError, match="`environment_name`, must not be given with `environment`"):
        models.DeploymentVersionCreate(**body)
    with pytest.raises(ubiops.ApiValueError, match=r"environment_name`.* must not be given with `environment`"):
        wire_api.deployment_versions_create("lab", "model", body)
    assert wire.requests == []


def test_a_project_s_creation_date_has_a_time_where_the_server_sends_one(wire: Server, wire_api: Any) -> None:
    moment = datetime.datetime(2022, 11, 3, 9, 30, tzinfo=datetime.timezone.utc)
    for text, read in (("2022-11-03", datetime.date(2022, 11, 3)), ("2022-11-03T09:30:00Z", moment)):
        wire.answers = [Answer.json({"creation_date": text}), Answer.json([{"creation_date": text}])]
        for date in (wire_api.projects_get("lab").creation_date, wire_api.projects_list()[0].creation_date):
            assert (type(date), date) == (type(read), read)


def test_usages_and_instance_types_are_read_by_their_shape(wire: Server, wire_api: Any) -> None:
    for call, item, newer in (
        (wire_api.projects_usage_get, models.Usage, models.ProjectUsage),
        (wire_api.organizations_usage_get, models.Usage, models.OrganizationUsage),
        (wire_api.instance_types_list, models.DeploymentInstanceType, models.InstanceTypeListPaginated),
    ):
        wire.answers = [Answer.json([{}]), Answer.json({})]
        assert [type(one) for one in call("lab")] == [item]
        assert type(call("lab")) is newer
