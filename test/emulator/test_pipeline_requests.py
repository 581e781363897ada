"""Requests to pipelines: how data flows, what is kept, listed, collected and deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest
import urllib3

from test.emulator.pipelines import X, Y, attach, deployment, finished, make_line, make_pipeline, operator, run
from test.emulator.project import TestProject, wait_until
from ubiops.emulator import Emulator
from ubiops.emulator.handlers import request_filters
from ubiops.exceptions import ApiException, NotFoundError

OUTPUT = [{"name": "output", "data_type": "double"}]
COUNT = [{"name": "n", "data_type": "int"}]
STUCK = """
    import time

    class Deployment:
        def request(self, data):
            print("begun")
            time.sleep(600)
"""


def failure(caught: pytest.ExceptionInfo[ApiException]) -> Any:
    return json.loads(caught.value.body or "")


# How data flows


@pytest.mark.usefixtures("deployed")
def test_a_direct_request(project: TestProject) -> None:
    make_line(project)
    answer = run(project, {"x": 4})
    assert answer.success
    assert (answer.pipeline, answer.version, answer.project) == ("line", "v1", "lab")
    assert answer.result == {"y": 8}
    assert answer.error_message is None
    part = answer.deployment_requests[0]
    assert (part.pipeline_object, part.deployment, part.version, part.success) == ("double", "model", "v1", True)
    assert project.api.deployment_requests_get("lab", "model", part.id).result == {"y": 8}


@pytest.mark.usefixtures("deployed")
def test_objects_one_after_the_other_and_side_by_side(project: TestProject) -> None:
    make_pipeline(
        project,
        [
            # Not in the order in which they run.
            operator(
                "add",
                "function",
                expression="a + b * 100",
                input_fields=[{"name": "a", "data_type": "double"}, {"name": "b", "data_type": "double"}],
                output_fields=OUTPUT,
            ),
            deployment("second"),
            deployment("first"),
            deployment("beside"),
        ],
        [
            attach("pipeline_end", {"add": {"output": "y"}}),
            attach("add", {"second": {"y": "a"}, "beside": {"y": "b"}}),
            attach("second", {"first": {"y": "x"}}),
            attach("first", {"pipeline_start": {"x": "x"}}),
            attach("beside", {"pipeline_start": {"x": "x"}}),
        ],
    )
    answer = run(project, {"x": 1})
    assert answer.result == {"y": 204}
    assert sorted(part.pipeline_object for part in answer.deployment_requests) == ["beside", "first", "second"]


def test_plain_data(project: TestProject) -> None:
    code = """
        class Deployment:
            def request(self, data):
                return data.upper()
    """
    plain: dict[str, Any] = {"input_type": "plain", "input_fields": [], "output_type": "plain", "output_fields": []}
    project.deploy(code, **plain)
    objects, ends = (
        [deployment("shout")],
        [attach("shout", {"pipeline_start": {}}), attach("pipeline_end", {"shout": {}})],
    )
    make_pipeline(project, objects, ends, **plain)
    assert run(project, "hey").result == "HEY"
    assert run(project, ["a", "b"]).result == ["A", "B"]


@pytest.mark.usefixtures("deployed")
def test_a_list_goes_on_as_a_list(project: TestProject) -> None:
    make_line(project)
    answer = run(project, [{"x": 1}, {"x": 2}])
    assert answer.result == [{"y": 2}, {"y": 4}]
    assert len(answer.deployment_requests) == 1


def test_the_start_may_feed_the_end(project: TestProject) -> None:
    make_pipeline(project, [], [attach("pipeline_end", {"pipeline_start": {"x": "y"}})])
    assert run(project, {"x": 3}).result == {"y": 3}


def test_an_end_that_is_not_reached_gives_nothing(project: TestProject) -> None:
    make_pipeline(project)
    answer = run(project, {"x": 3})
    assert (answer.success, answer.result, answer.deployment_requests) == (True, None, [])


@pytest.mark.usefixtures("deployed")
def test_one_branch_or_the_other(project: TestProject) -> None:
    make_pipeline(
        project,
        [
            operator("if", "if-condition", expression="x < 10", input_fields=X),
            operator("else", "if-condition", expression="not x < 10", input_fields=X),
            deployment("small"),
            operator("large", "pipeline-variable", output_fields=Y, output_values=[{"name": "y", "value": -1}]),
        ],
        [
            attach("if", {"pipeline_start": {"x": "x"}}),
            attach("else", {"pipeline_start": {"x": "x"}}),
            attach("small", {"if": {}, "pipeline_start": {"x": "x"}}),
            attach("large", {"else": {}}),
            attach("pipeline_end", {"small": {"y": "y"}}),
            attach("pipeline_end", {"large": {"y": "y"}}),
        ],
    )
    small, large = run(project, {"x": 4}), run(project, {"x": 40})
    assert (small.result, [part.pipeline_object for part in small.deployment_requests]) == ({"y": 8}, ["small"])
    assert (large.result, large.deployment_requests) == ({"y": -1}, [])


def test_an_error_raised_by_an_operator(project: TestProject) -> None:
    make_pipeline(
        project,
        [
            operator("if", "if-condition", expression="x < 0", input_fields=X, output_fields=X),
            operator("stop", "raise-error", error_message="x is negative"),
        ],
        [
            attach("if", {"pipeline_start": {"x": "x"}}),
            attach("stop", {"if": {}}),
            attach("pipeline_end", {"pipeline_start": {"x": "y"}}),
        ],
    )
    assert run(project, {"x": 1}).result == {"y": 1}
    with pytest.raises(ApiException) as caught:
        run(project, {"x": -1})
    answer = failure(caught)
    assert (answer["success"], answer["error_message"], answer["result"]) == (False, "x is negative", None)
    assert project.api.pipeline_requests_get("lab", "line", answer["id"]).status == "failed"


@pytest.mark.parametrize(("size", "requests"), [(None, 5), (2, 3), (9, 1)])
@pytest.mark.usefixtures("deployed")
def test_subrequests_are_made_and_collected(project: TestProject, size: int | None, requests: int) -> None:
    project.create_deployment("sum", input_fields=Y)
    project.api.deployment_versions_create("lab", "sum", {"version": "v1"})
    code = """
        class Deployment:
            def requests(self, data):
                return {"y": sum(item["y"] * 10 ** index for index, item in enumerate(data))}
    """
    assert project.upload({"deployment.py": code}, deployment="sum").status == "success"
    make_pipeline(
        project,
        [
            operator("split", "one-to-many", batch_size=size, input_fields=X, output_fields=X),
            deployment("double"),
            operator("collect", "many-to-one", input_fields=Y, output_fields=Y),
            operator("count", "count-many", output_fields=COUNT),
            deployment("sum", "sum"),
        ],
        [
            attach("split", {"pipeline_start": {"x": "x"}}),
            attach("double", {"split": {"x": "x"}}),
            attach("collect", {"double": {"y": "y"}}),
            attach("count", {"double": {}}),
            attach("sum", {"collect": {"y": "y"}}),
            attach("pipeline_end", {"sum": {"y": "y"}, "count": {"n": "n"}}),
        ],
        output_fields=[*Y, *COUNT],
    )
    answer = run(project, [{"x": x} for x in (0, 1, 2, 3, 4)])
    assert answer.result == {"y": 86420, "n": 5}
    assert [part.pipeline_object for part in answer.deployment_requests].count("double") == requests


@pytest.mark.usefixtures("deployed")
def test_conditions_choose_among_subrequests(project: TestProject) -> None:
    make_pipeline(
        project,
        [
            operator("split", "one-to-many", input_fields=X, output_fields=X),
            operator("large", "if-condition", expression="x > 1", input_fields=X, output_fields=[]),
            deployment("double"),
        ],
        [
            attach("split", {"pipeline_start": {"x": "x"}}),
            attach("large", {"split": {"x": "x"}}),
            attach("double", {"large": {}, "split": {"x": "x"}}),
            attach("pipeline_end", {"double": {"y": "y"}}),
        ],
    )
    # Subrequests that nothing collects arrive as a list.
    assert run(project, [{"x": x} for x in (3, 1, 2)]).result == [{"y": 6}, {"y": 4}]


def test_a_condition_does_not_decide_on_a_list(project: TestProject) -> None:
    make_pipeline(
        project,
        [operator("if", "if-condition", expression="x > 1", input_fields=X)],
        [attach("if", {"pipeline_start": {"x": "x"}})],
    )
    with pytest.raises(ApiException, match="put a one-to-many in front"):
        run(project, [{"x": 1}])


def test_a_failed_expression(project: TestProject) -> None:
    make_pipeline(
        project,
        [operator("divide", "function", expression="1 / x", input_fields=X, output_fields=OUTPUT)],
        [
            attach("divide", {"pipeline_start": {"x": "x"}}),
            attach("pipeline_end", {"divide": {"output": "y"}}),
        ],
    )
    assert run(project, {"x": 4}).result == {"y": 0.25}
    with pytest.raises(ApiException, match=r"operator 'divide' failed: .* division by zero"):
        run(project, {"x": 0})


@pytest.mark.usefixtures("deployed")
def test_pipelines_within_pipelines(project: TestProject) -> None:
    make_line(project, name="inner")
    make_pipeline(
        project,
        [{"name": "whole", "reference_name": "inner", "reference_type": "pipeline"}, deployment("again")],
        [
            attach("whole", {"pipeline_start": {"x": "x"}}),
            attach("again", {"whole": {"y": "x"}}),
            attach("pipeline_end", {"again": {"y": "y"}}),
        ],
    )
    answer = run(project, {"x": 3})
    assert answer.result == {"y": 12}
    assert [part.pipeline_object for part in answer.deployment_requests] == ["again"]
    inner = project.api.pipeline_requests_list("lab", "inner")
    assert [request.status for request in inner] == ["completed"]
    project.api.pipeline_requests_delete("lab", "line", answer.id)
    assert project.api.pipeline_requests_list("lab", "inner") == []
    assert project.api.deployment_requests_list("lab", "model") == []


def test_a_failed_pipeline_within_another(project: TestProject) -> None:
    stop = operator("stop", "raise-error", error_message="enough")
    make_pipeline(project, [stop], [attach("stop", {"pipeline_start": {}})], name="inner")
    make_pipeline(
        project,
        [{"name": "whole", "reference_name": "inner", "reference_type": "pipeline"}],
        [attach("whole", {"pipeline_start": {"x": "x"}})],
    )
    with pytest.raises(ApiException, match="'whole' failed: enough"):
        run(project, {"x": 3})


@pytest.mark.usefixtures("deployed")
def test_objects_follow_the_default_version(project: TestProject) -> None:
    make_line(project)
    project.deploy_version("class Deployment:\n    def request(self, data):\n        return {'y': -1}", "v2")
    assert run(project, {"x": 3}).result == {"y": 6}
    project.api.deployments_update("lab", "model", {"default_version": "v2"})
    assert run(project, {"x": 3}).result == {"y": -1}


def test_what_user_code_is_told(project: TestProject) -> None:
    code = """
        import json

        class Deployment:
            def request(self, data, context):
                return json.dumps(context)
    """
    plain: dict[str, Any] = {"output_type": "plain", "output_fields": []}
    project.deploy(code, **plain)
    version = make_pipeline(
        project,
        [deployment("tell")],
        [attach("tell", {"pipeline_start": {"x": "x"}}), attach("pipeline_end", {"tell": {}})],
        **plain,
    )
    answer = run(project, {"x": 1})
    context = json.loads(answer.result)
    assert context["pipeline_id"] == project.api.pipelines_get("lab", "line").id
    assert context["pipeline_version_id"] == version.id
    assert context["pipeline_object_id"] == version.objects[0].id
    assert context["pipeline_request_id"] == answer.id
    assert context["id"] == answer.deployment_requests[0].id


@pytest.mark.usefixtures("deployed")
def test_what_operators_and_pipelines_in_it_did_is_kept(project: TestProject) -> None:
    make_line(project, name="inner")
    inner = {"name": "inner", "reference_name": "inner", "reference_type": "pipeline"}
    check = operator("large", "if-condition", expression="x > 1", input_fields=X, output_fields=[])
    make_pipeline(
        project,
        [check, inner],
        [
            attach("large", {"pipeline_start": {"x": "x"}}),
            attach("inner", {"large": {}, "pipeline_start": {"x": "x"}}),
            attach("pipeline_end", {"inner": {"y": "y"}}),
        ],
    )
    answer = run(project, {"x": 2})
    assert (answer.status, answer.result) == ("completed", {"y": 4})
    stored = project.api.pipeline_requests_get("lab", "line", answer.id)
    for request in (answer, stored):
        (did,) = request.operator_requests
        assert (did.operator, did.pipeline_object, did.status, did.success) == (
            "if-condition",
            "large",
            "completed",
            True,
        )
        (part,) = request.pipeline_requests
        assert (part.pipeline, part.pipeline_object, part.status) == ("inner", "inner", "completed")
        assert part.time_created <= part.time_completed
        assert (part.input_size, part.output_size) == (len('{"x": 2}'), len('{"y": 4}'))
    place = ("lab", "line", did.id, "v1")
    found = project.api.pipeline_version_object_requests_get(*place, pipeline_request_id=answer.id)
    assert (found.pipeline_request_id, found.request_data, found.result) == (answer.id, {"x": 2}, {})
    assert project.api.pipeline_version_object_requests_input_get(*place).read() == b'{"x": 2}'
    assert project.api.pipeline_version_object_requests_output_get(*place).read() == b"{}"
    assert project.api.pipeline_version_object_requests_get(*place, metadata_only=True).request_data is None
    failed = project.api.batch_pipeline_requests_create("lab", "line", [{"x": 0}])
    (skipped,) = finished(project, [failed[0].id]).values()
    assert [(did.success, did.output_size) for did in skipped.operator_requests] == [(True, None)]
    assert skipped.pipeline_requests == []
    project.api.pipeline_requests_delete("lab", "line", answer.id)
    with pytest.raises(NotFoundError):
        project.api.pipeline_version_object_requests_get(*place)


def test_an_operator_that_fails_says_so(project: TestProject) -> None:
    make_pipeline(
        project,
        [operator("stop", "raise-error", error_message="enough", input_fields=[], output_fields=[])],
        [attach("stop", {"pipeline_start": {}})],
    )
    with pytest.raises(ApiException, match="enough"):
        run(project, {"x": 0})
    (request,) = project.api.pipeline_requests_list("lab", "line")
    (did,) = project.api.pipeline_requests_get("lab", "line", request.id).operator_requests
    assert (did.status, did.success, did.error_message) == ("failed", False, "enough")


def test_files_go_through_a_pipeline(project: TestProject) -> None:
    code = """
        import pathlib

        class Deployment:
            def request(self, data):
                pathlib.Path("copy.txt").write_text(pathlib.Path(data["f"]).read_text() + "!")
                return {"f": "copy.txt"}
    """
    file = [{"name": "f", "data_type": "file"}]
    project.deploy(code, input_fields=file, output_fields=file)
    make_pipeline(
        project,
        [deployment("first"), deployment("second")],
        [
            attach("first", {"pipeline_start": {"f": "f"}}),
            attach("second", {"first": {"f": "f"}}),
            attach("pipeline_end", {"second": {"f": "f"}}),
        ],
        input_fields=file,
        output_fields=file,
    )
    put = project.api.files_upload("lab", "default", "hey.txt").url
    http = urllib3.PoolManager()
    assert http.request("PUT", put, body=b"hey").status in (200, 201)
    result = run(project, {"f": "ubiops-file://default/hey.txt"}).result
    name = result["f"].removeprefix("ubiops-file://default/")
    got = project.api.files_download("lab", "default", name).url
    assert http.request("GET", got).data == b"hey!!"
    http.clear()


def test_a_pipeline_that_is_deleted_ends_its_requests(project: TestProject) -> None:
    project.deploy(STUCK)
    make_line(project)
    waiting = run(project, {"x": 1}, async_req=True)
    wait_until(project.log, lambda lines: "begun" in lines)
    project.api.pipelines_delete("lab", "line")
    with pytest.raises(ApiException, match="stopped before it ended"):
        waiting.get(30)


# Failures


def test_a_failed_deployment_request(project: TestProject) -> None:
    code = """
        class Refused(Exception):
            public_error_message = "x is odd"

        class Deployment:
            def request(self, data):
                raise Refused("inside")
    """
    project.deploy(code)
    make_line(project)
    with pytest.raises(ApiException) as caught:
        run(project, {"x": 1})
    answer = failure(caught)
    assert answer["error_message"] == "Error while processing a deployment request: the object 'double' failed"
    assert [(part["success"], part["error_message"]) for part in answer["deployment_requests"]] == [(False, "x is odd")]
    stored = project.api.pipeline_requests_get("lab", "line", answer["id"])
    assert (stored.status, stored.success, stored.result) == ("failed", False, None)


def test_a_version_without_a_build(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    make_line(project)
    with pytest.raises(ApiException) as caught:
        run(project, {"x": 1})
    parts = failure(caught)["deployment_requests"]
    # It has an id, as client 4.15 requires, though no request was made.
    assert [(bool(part["id"]), part["error_message"]) for part in parts] == [
        (True, "The deployment 'model' has no version that is available")
    ]


@pytest.mark.usefixtures("deployed")
def test_a_field_that_nothing_feeds(project: TestProject) -> None:
    make_pipeline(project, [deployment("double")], [attach("double", {"pipeline_start": {}})])
    with pytest.raises(ApiException) as caught:
        run(project, {"x": 1})
    assert failure(caught)["deployment_requests"][0]["error_message"] == "The input lacks the field 'x'"


@pytest.mark.parametrize("data", [{"x": "a"}, {}, {"x": 1, "z": 2}, [], "text", [{"x": 1}, {"x": "a"}]])
def test_faulty_input_is_refused(project: TestProject, data: Any) -> None:
    make_pipeline(project)
    with pytest.raises(ApiException) as caught:
        run(project, data)
    assert (caught.value.status, "error" in failure(caught)) == (400, True)
    assert project.api.pipeline_requests_list("lab", "line") == []


@pytest.mark.parametrize("timeout", [{"pipeline_timeout": 7201}, {"deployment_timeout": 3601}, {"pipeline_timeout": 9}])
def test_timeouts_have_bounds(project: TestProject, timeout: dict[str, Any]) -> None:
    make_pipeline(project)
    with pytest.raises(ApiException, match=next(iter(timeout))):
        run(project, {"x": 1}, **timeout)


def test_timeouts_end_a_request_and_its_parts(project: TestProject, monkeypatch: pytest.MonkeyPatch) -> None:
    # The shortest that the API takes is 10 s.
    monkeypatch.setattr(request_filters, "_SHORTEST_TIMEOUT", 2)
    project.deploy(STUCK)
    make_line(project)
    with pytest.raises(ApiException) as caught:
        run(project, {"x": 1}, pipeline_timeout=2)
    assert failure(caught)["error_message"] == "The pipeline request timed out after 2 seconds"
    parts = wait_until(
        lambda: project.api.deployment_requests_list("lab", "model", pipeline=True),
        lambda parts: all(part.time_completed is not None for part in parts),
    )
    assert [part.status for part in parts] == ["cancelled"]


def test_a_pipeline_without_versions_takes_no_requests(project: TestProject) -> None:
    project.api.pipelines_create("lab", {"name": "line", "input_type": "plain", "output_type": "plain"})
    with pytest.raises(ApiException, match="no default version") as caught:
        run(project, "a")
    assert caught.value.status == 404


# Batches


@pytest.mark.usefixtures("deployed")
def test_a_batch_is_run_and_collected(project: TestProject) -> None:
    make_line(project)
    created = project.api.batch_pipeline_requests_create("lab", "line", [{"x": x} for x in range(30)])
    assert {(request.status, request.pipeline, request.version) for request in created} == {("pending", "line", "v1")}
    requests = finished(project, [request.id for request in created])
    assert [requests[request.id].result for request in created] == [{"y": 2 * x} for x in range(30)]
    first = requests[created[0].id]
    assert (first.status, first.success, first.request_data) == ("completed", True, {"x": 0})
    part = first.deployment_requests[0]
    assert (part.pipeline_object, part.deployment, part.version) == ("double", "model", "v1")
    single = project.api.batch_pipeline_requests_create("lab", "line", {"x": 5})
    assert finished(project, [single[0].id])[single[0].id].result == {"y": 10}


def test_faulty_batches_are_refused_whole(project: TestProject) -> None:
    make_pipeline(project)
    for data in ([{"x": 1}, {"x": "a"}], [], [{"x": 1}] * 251, [[{"x": 1}]]):
        with pytest.raises(ApiException) as caught:
            project.api.batch_pipeline_requests_create("lab", "line", data)
        assert caught.value.status == 400
    for options in ({"timeout": 172801}, {"notification_group": "nobody"}):
        with pytest.raises(ApiException):
            project.api.batch_pipeline_requests_create("lab", "line", [{"x": 1}], **options)
    assert project.api.pipeline_requests_list("lab", "line") == []


def test_collecting_and_deleting_is_all_or_nothing(project: TestProject) -> None:
    make_pipeline(project)
    ids = [request.id for request in project.api.batch_pipeline_requests_create("lab", "line", [{"x": 1}] * 3)]
    finished(project, ids)
    for act in (project.api.pipeline_requests_batch_get, project.api.pipeline_requests_batch_delete):
        for asked, status in (([*ids, "nothing"], 404), (["a"] * 251, 400), ([], 400)):
            with pytest.raises(ApiException) as caught:
                act("lab", "line", asked)
            assert caught.value.status == status
    collected = project.api.pipeline_requests_batch_get("lab", "line", ids[::-1])
    assert [request.id for request in collected] == sorted(ids)
    project.api.pipeline_requests_batch_delete("lab", "line", ids[:2])
    assert [request.id for request in project.api.pipeline_requests_list("lab", "line")] == ids[2:]


def test_a_request_that_runs_can_be_deleted(project: TestProject) -> None:
    project.deploy(STUCK)
    make_line(project)
    (created,) = project.api.batch_pipeline_requests_create("lab", "line", [{"x": 1}])
    wait_until(project.log, lambda lines: "begun" in lines)
    project.api.pipeline_requests_delete("lab", "line", created.id)
    assert project.api.pipeline_requests_list("lab", "line") == []
    assert project.api.deployment_requests_list("lab", "model") == []
    # Its instance is free for others.
    project.api.deployment_versions_update("lab", "model", "v1", {"maximum_instances": 1})


# Lists


def test_lists_are_filtered_sorted_and_cut(project: TestProject) -> None:
    make_pipeline(
        project,
        [operator("stop", "if-condition", expression="1 / x", input_fields=X)],
        [attach("stop", {"pipeline_start": {"x": "x"}})],
    )
    ids = [request.id for request in project.api.batch_pipeline_requests_create("lab", "line", [{"x": 1}, {"x": 0}])]
    requests = finished(project, ids)

    def listed(**filters: Any) -> list[str]:
        return [request.id for request in project.api.pipeline_requests_list("lab", "line", **filters)]

    assert listed() == ids[::-1]
    assert listed(sort="asc") == ids
    assert listed(sort="asc", limit=1) == ids[:1]
    assert listed(sort="asc", offset=1) == ids[1:]
    assert listed(status="failed") == ids[1:]
    assert listed(success=True) == ids[:1]
    assert listed(search_id=ids[0][4:]) == ids[:1]
    assert listed(start_date=requests[ids[0]].time_created.isoformat(), sort="asc") == ids
    assert listed(end_date="2022-11-03T00:00:00") == []
    for filters in ({"status": "done"}, {"sort": "up"}, {"limit": -1}):
        with pytest.raises(ApiException):
            listed(**filters)


@pytest.mark.usefixtures("deployed")
def test_the_requests_of_a_project(project: TestProject) -> None:
    make_line(project)
    project.request({"x": 1})
    answer = run(project, {"x": 2})
    (overview,) = project.api.project_requests_list("lab", "pipeline")
    assert (overview.id, overview.pipeline, overview.deployment) == (answer.id, "line", None)
    part = answer.deployment_requests[0].id
    assert [found.id for found in project.api.project_requests_list("lab", "deployment", pipeline=True)] == [part]
    assert len(project.api.project_requests_list("lab", "deployment")) == 2
    assert [found.id for found in project.api.deployment_requests_list("lab", "model", pipeline=True)] == [part]
    (own,) = project.api.deployment_requests_list("lab", "model", pipeline=False)
    assert own.id != part


@pytest.mark.usefixtures("deployed")
def test_where_requests_come_from(project: TestProject) -> None:
    make_line(project)
    answer = run(project, {"x": 2})
    origin = {"pipeline": "line", "pipeline_version": "v1"}
    read = project.api.pipeline_requests_get("lab", "line", answer.id)
    assert (read.origin, read.created_by, read.notification_group) == (origin, "admin@emulator.local", None)
    part = project.api.deployment_requests_get("lab", "model", answer.deployment_requests[0].id)
    assert part.origin == origin


def test_metadata_only(project: TestProject) -> None:
    make_pipeline(project, [], [attach("pipeline_end", {"pipeline_start": {"x": "y"}})])
    answer = run(project, {"x": 2})
    read = project.api.pipeline_requests_get("lab", "line", answer.id, metadata_only=True)
    assert (read.status, read.request_data, read.result) == ("completed", None, None)
    assert project.api.pipeline_requests_get("lab", "line", answer.id).result == {"y": 2}


@pytest.mark.parametrize(("mode", "kept"), [("none", None), ("metadata", (None, None)), ("full", ({"x": 2}, {"y": 2}))])
def test_retention_modes(project: TestProject, mode: str, kept: Any) -> None:
    ends = [attach("pipeline_end", {"pipeline_start": {"x": "y"}})]
    make_pipeline(project, [], ends, settings={"request_retention_mode": mode})
    answer = run(project, {"x": 2})
    assert answer.result == {"y": 2}
    if kept is None:
        with pytest.raises(ApiException, match="not found"):
            project.api.pipeline_requests_get("lab", "line", answer.id)
        return
    read = project.api.pipeline_requests_get("lab", "line", answer.id)
    assert (read.request_data, read.result) == kept


def test_the_data_of_operators_is_kept_no_longer_than_that_of_their_request(project: TestProject) -> None:
    check = operator("large", "if-condition", expression="x > 1", input_fields=X, output_fields=[])
    ends = [attach("large", {"pipeline_start": {"x": "x"}}), attach("pipeline_end", {"pipeline_start": {"x": "y"}})]
    make_pipeline(project, [check], ends, settings={"request_retention_mode": "metadata"})
    (did,) = run(project, {"x": 2}).operator_requests
    found = project.api.pipeline_version_object_requests_get("lab", "line", did.id, "v1")
    assert (found.status, found.request_data, found.result) == ("completed", None, None)


# To a version


@pytest.mark.usefixtures("deployed")
def test_requests_to_a_version(project: TestProject) -> None:
    make_line(project)
    project.api.pipeline_versions_create("lab", "line", {"version": "v2"})
    api = project.api
    direct = api.pipeline_version_requests_create("lab", "line", "v1", {"x": 1})
    assert direct.result == {"y": 2}
    assert api.pipeline_version_requests_create("lab", "line", "v2", {"x": 1}).result is None
    (queued,) = api.batch_pipeline_version_requests_create("lab", "line", "v1", [{"x": 2}])
    finished(project, [queued.id])
    assert {item.id for item in api.pipeline_version_requests_list("lab", "line", "v1")} == {direct.id, queued.id}
    assert len(api.pipeline_version_requests_list("lab", "line", "v2")) == 1
    assert api.pipeline_version_requests_get("lab", "line", direct.id, "v1").result == {"y": 2}
    with pytest.raises(ApiException, match="not found"):
        api.pipeline_version_requests_get("lab", "line", direct.id, "v2")
    (collected,) = api.pipeline_version_requests_batch_get("lab", "line", "v1", [queued.id])
    assert collected.result == {"y": 4}
    api.pipeline_version_requests_delete("lab", "line", direct.id, "v1")
    api.pipeline_version_requests_batch_delete("lab", "line", "v1", [queued.id])
    assert api.pipeline_version_requests_list("lab", "line", "v1") == []


# Logs and notifications


def test_log_lines_are_found_by_pipeline(project: TestProject) -> None:
    project.deploy(
        "class Deployment:\n    def request(self, data):\n        print('at', data['x'])\n        return {'y': 1}"
    )
    make_line(project)
    project.request({"x": 1})
    answer = run(project, {"x": 2})
    for filters in (
        {"pipeline_name": "line"},
        {"pipeline_name": "line", "pipeline_version": "v1", "pipeline_object_name": "double"},
        {"pipeline_request_id": answer.id},
    ):
        assert project.log(**filters) == ["at 2"]
    assert project.log(pipeline_name="other") == []
    (line,) = project.api.projects_log_list("lab", data={"filters": {"pipeline_request_id": answer.id}})
    assert (line.pipeline_name, line.pipeline_version, line.pipeline_object_name) == ("line", "v1", "double")


def test_notifications_are_logged(project: TestProject) -> None:
    contacts = [{"type": "email", "configuration": {"email_address": "ana@example.com"}}]
    project.api.notification_groups_create("lab", {"name": "team", "contacts": contacts})
    make_pipeline(project)
    (request,) = project.api.batch_pipeline_requests_create("lab", "line", [{"x": 1}], notification_group="team")
    finished(project, [request.id])
    lines = project.log(system=True, pipeline_request_id=request.id)
    assert [line.startswith("Mail to ana@example.com") for line in lines] == [True]


# Restarts


def test_batches_run_again_after_a_restart(tmp_path: Any) -> None:
    def client(emulator: Emulator) -> TestProject:
        return TestProject(emulator.client(), "lab")

    gate = tmp_path / "gate"
    code = f"""
        import pathlib, time

        class Deployment:
            def request(self, data):
                print("begun")
                while not pathlib.Path({str(gate)!r}).exists():
                    time.sleep(0.01)
                return {{"y": data["x"] * 2}}
    """
    with Emulator(data_dir=tmp_path / "data", project="lab") as emulator:
        project = client(emulator)
        project.deploy(code)
        make_line(project)
        ids = [item.id for item in project.api.batch_pipeline_requests_create("lab", "line", [{"x": 1}, {"x": 2}])]
        wait_until(project.log, lambda lines: "begun" in lines)
    gate.touch()
    with Emulator(data_dir=tmp_path / "data", project="lab") as emulator:
        project = client(emulator)
        requests = finished(project, ids)
        assert [requests[id].result for id in ids] == [{"y": 2}, {"y": 4}]
        assert [len(requests[id].deployment_requests) for id in ids] == [1, 1]


@pytest.mark.usefixtures("deployed")
def test_subrequests_that_arrive_by_several_ways_stay_in_order(project: TestProject) -> None:
    make_pipeline(
        project,
        [
            operator("split", "one-to-many", input_fields=X, output_fields=X),
            operator("large", "if-condition", expression="x > 1", input_fields=X, output_fields=X),
            operator("small", "if-condition", expression="not x > 1", input_fields=X, output_fields=X),
            deployment("double"),
            operator("collect", "many-to-one", input_fields=Y, output_fields=Y),
        ],
        [
            attach("split", {"pipeline_start": {"x": "x"}}),
            attach("large", {"split": {"x": "x"}}),
            attach("small", {"split": {"x": "x"}}),
            attach("double", {"large": {"x": "x"}}),
            attach("double", {"small": {"x": "x"}}),
            attach("collect", {"double": {"y": "y"}}),
            attach("pipeline_end", {"collect": {"y": "y"}}),
        ],
    )
    assert run(project, [{"x": x} for x in (0, 3, 1, 2)]).result == [{"y": 0}, {"y": 6}, {"y": 2}, {"y": 4}]
