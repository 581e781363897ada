"""Lists page by page: everything once, in order, whatever happens to the list meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import ubiops
from test.each import each
from test.emulator.log import write_log
from test.emulator.pipelines import attach, deployment, make_pipeline
from test.emulator.project import DOUBLE, TestProject
from test.server import Answer, Server
from ubiops.emulator import Emulator
from ubiops.emulator.faults import Fault
from ubiops.emulator.tables import Blob, DeploymentRequest
from ubiops.exceptions import ApiException, ApiTypeError, ApiValueError, ServerError
from ubiops.utils import paginate, upload_file

OPERATIONS: dict[str, Any] = {
    name: getattr(ubiops.CoreApi, name).operation
    for name in dir(ubiops.CoreApi)
    if hasattr(getattr(ubiops.CoreApi, name), "operation") and not name.endswith("_with_http_info")
}
PAGED = sorted(
    name
    for name, operation in OPERATIONS.items()
    if operation.since is None
    and operation.returns != "list[DeploymentInstanceType] | InstanceTypeListPaginated"
    and (
        {"limit", "offset", "continuation_token", "range"} & {parameter.name for parameter in operation.parameters}
        or any(parameter.spec.type == "LogsCreate" for parameter in operation.parameters)
    )
)


def ids(items: Any) -> list[str]:
    return [item.id for item in items]


def send(project: TestProject, number: int = 1) -> list[str]:
    """Batch requests to the model; gives their ids, oldest first."""
    created = project.api.batch_deployment_requests_create("lab", "model", [{"x": x} for x in range(number)])
    return ids(created)


def walk(items: Iterator[Any], act: Callable[[Any], object]) -> list[Any]:
    """All the items, after each of which something happens."""
    seen = []
    for item in items:
        seen.append(item)
        act(item)
    return seen


class Recording(ubiops.CoreApi):
    """Remembers which pages were asked for."""

    def __init__(self, api: ubiops.CoreApi) -> None:
        super().__init__(api.api_client)
        self.asked: list[dict[str, Any]] = []

    def deployment_requests_list(self, *args: Any, **options: Any) -> Any:
        self.asked.append(options)
        return super().deployment_requests_list(*args, **options)

    def projects_log_list(self, *args: Any, **options: Any) -> Any:
        self.asked.append(options["data"])
        return super().projects_log_list(*args, **options)


@pytest.fixture
def model(project: TestProject) -> TestProject:
    project.deploy(DOUBLE)
    return project


# All of them


@pytest.fixture
def filled(project: TestProject, tmp_path: Path) -> TestProject:
    """A project with some of everything that is listed in pages."""
    project.deploy("""
        class Deployment:
            def request(self, data):
                print("asked")
                return {"y": 0}
    """)
    wires = [attach("m", {"pipeline_start": {"x": "x"}}), attach("pipeline_end", {"m": {"y": "y"}})]
    make_pipeline(project, [deployment("m")], wires)
    for number in range(5):
        project.request({"x": number})
        project.api.pipeline_requests_create("lab", "line", {"x": number})
        project.api.blobs_create("lab", file=_file(tmp_path, number))
        upload_file(project.api, "lab", _file(tmp_path, number))
        project.api.deployments_update("lab", "model", {"description": f"change {number}"})
        project.api.pipelines_update("lab", "line", {"description": f"change {number}"})
    return project


def _file(folder: Path, number: int) -> str:
    path = folder / f"{number}.txt"
    path.write_text("text")
    return str(path)


@each("name", PAGED)
def test_every_paged_list_gives_what_one_large_page_holds(filled: TestProject, name: str) -> None:
    places = {
        "project_name": "lab",
        "deployment_name": "model",
        "pipeline_name": "line",
        "version": "v1",
        "bucket_name": "default",
        "object_type": "pipeline",
    }
    names = {parameter.name for parameter in OPERATIONS[name].parameters}
    arguments: dict[str, Any] = {argument: value for argument, value in places.items() if argument in names}
    whole: dict[str, Any] = {"data": {"limit": 500}}
    if "limit" in names or "range" in names:
        whole = {"limit": 500} if "limit" in names else {"range": -500}
    method = getattr(filled.api, name)
    page = method(**arguments, **whole)
    expected = getattr(page, "files", page)
    assert len(expected) >= 5
    assert list(paginate(method, **arguments, page_size=2)) == expected
    assert list(paginate(method, **arguments)) == expected


def test_lists_without_pages_are_asked_once(model: TestProject) -> None:
    model.create_version("v2")
    versions = model.api.deployment_versions_list("lab", "model")
    assert list(paginate(model.api.deployment_versions_list, "lab", deployment_name="model")) == versions
    assert list(paginate(model.api.deployment_versions_list, "lab", "model", page_size=1)) == versions


def test_it_takes_what_lists_and_nothing_else(unreachable: ubiops.CoreApi) -> None:
    for name, operation in OPERATIONS.items():
        arguments: dict[str, Any] = {
            parameter.name: {"str": "text", "int": 1, "bool": True}.get(parameter.spec.type, {})
            for parameter in operation.parameters
            if parameter.required
        }
        returns = operation.returns or ""
        listing = operation.method == "GET" and (returns.startswith("list[") or returns.endswith("Paginated"))
        if listing or name in ("files_list", "projects_log_list"):
            paginate(getattr(unreachable, name), **arguments)
        else:
            with pytest.raises(ApiTypeError, match=f"expected a method that lists something, not {name}, got"):
                paginate(getattr(unreachable, name), **arguments)


# Requests


@pytest.mark.parametrize("page_size", [1, 3, None])
def test_new_requests_stay_out_where_the_newest_come_first(model: TestProject, page_size: int | None) -> None:
    old = send(model, 10)[::-1]
    requests = paginate(model.api.deployment_requests_list, "lab", "model", page_size=page_size)
    assert ids(walk(requests, lambda _: send(model, 2))) == old
    assert len(model.api.deployment_requests_list("lab", "model")) == 30


def test_a_list_that_grows_fast_is_read_in_few_pages(emulator: Emulator, model: TestProject) -> None:
    old = send(model, 20)[::-1]
    model.finished(old)
    with emulator._store.session() as session:
        # What is a second older than what comes while it is read; the test needn't let one go by.
        session.execute(update(DeploymentRequest).values(time_created="2022-11-03T09:30:00.000+00:00"))
    api = Recording(model.api)
    requests = paginate(api.deployment_requests_list, "lab", "model", page_size=5)
    assert ids(walk(requests, lambda _: send(model, 5))) == old
    assert len(api.asked) == 5


def test_new_requests_come_last_where_the_oldest_come_first(model: TestProject) -> None:
    old = send(model, 7)
    new: list[str] = []

    def grow(_: Any) -> None:
        if len(new) < 8:
            new.extend(send(model, 2))

    requests = paginate(model.api.deployment_requests_list, "lab", "model", sort="asc", page_size=3)
    assert ids(walk(requests, grow)) == old + new


def test_what_moves_back_behind_an_offset_does_not_come_twice(model: TestProject) -> None:
    old = [send(model)[0] for _ in range(10)][::-1]
    requests = paginate(model.api.deployment_requests_list, "lab", "model", offset=2, page_size=3)
    assert ids(walk(requests, lambda _: send(model, 1))) == old[2:]


@pytest.mark.parametrize(("sort", "page_size"), [("asc", 1), ("desc", 3), ("asc", 50)])
def test_a_loop_may_delete_what_it_gets(model: TestProject, sort: str, page_size: int) -> None:
    old = sorted(send(model, 10))

    def delete(request: Any) -> None:
        model.api.deployment_requests_delete("lab", "model", request.id)

    requests = paginate(model.api.deployment_requests_list, "lab", "model", sort=sort, page_size=page_size)
    assert sorted(ids(walk(requests, delete))) == old
    assert model.api.deployment_requests_list("lab", "model") == []


def test_what_goes_away_before_it_is_reached_hides_no_other(model: TestProject) -> None:
    old = send(model, 20)[::-1]
    requests = paginate(model.api.deployment_requests_list, "lab", "model", page_size=5)
    seen = [next(requests).id for _ in range(12)]
    model.api.deployment_requests_batch_delete("lab", "model", [*old[:8], *old[15:17]])
    assert [*seen, *ids(requests)] == [*old[:15], *old[17:]]


def test_an_order_that_changes_from_page_to_page_leads_to_an_end(model: TestProject) -> None:
    old = send(model, 12)

    class Unsteady(ubiops.CoreApi):
        def deployment_requests_list(self, *args: Any, **options: Any) -> Any:
            limit, offset = options.pop("limit"), options.pop("offset")
            everything = super().deployment_requests_list(*args, **options)
            # As a database may order what was created at the same moment.
            return (everything[offset % 5 :] + everything[: offset % 5])[offset : offset + limit]

    found = ids(paginate(Unsteady(model.api.api_client).deployment_requests_list, "lab", "model", page_size=4))
    assert len(found) == len(set(found))
    assert set(found) <= set(old)


def test_a_server_that_passes_over_the_offset_leads_to_an_end(server: Server, client: ubiops.ApiClient) -> None:
    server.default = Answer.json([{"id": "q1"}, {"id": "q2"}])
    items = paginate(ubiops.CoreApi(client).deployment_requests_list, "lab", "model", page_size=2)
    assert [next(items).id, next(items).id] == ["q1", "q2"]
    with pytest.raises(ApiException, match="The same page"):
        next(items)


def test_a_server_that_gives_less_than_is_asked_for(model: TestProject) -> None:
    class Thrifty(ubiops.CoreApi):
        def deployment_requests_list(self, *args: Any, **options: Any) -> Any:
            return super().deployment_requests_list(*args, **{**options, "limit": min(options["limit"], 60)})

    old = send(model, 150)[::-1]
    method = Thrifty(model.api.api_client).deployment_requests_list
    assert ids(paginate(method, "lab", "model", page_size=100)) == old


def test_filters_hold_on_every_page(model: TestProject) -> None:
    model.finished(send(model, 7))
    last = model.finished(send(model, 1)).popitem()[1]
    method = model.api.deployment_requests_list
    assert len(list(paginate(method, "lab", "model", page_size=2, status="completed"))) == 8
    assert list(paginate(method, "lab", "model", page_size=2, status="pending")) == []
    end = (last.time_created - timedelta(milliseconds=1)).isoformat()
    assert len(list(paginate(method, "lab", "model", page_size=2, end_date=end))) == 7


def test_limit_is_how_many_there_are_in_all(model: TestProject) -> None:
    old = send(model, 10)[::-1]
    api = Recording(model.api)
    assert ids(paginate(api.deployment_requests_list, "lab", "model", limit=5)) == old[:5]
    assert [page["limit"] for page in api.asked] == [5]
    assert ids(paginate(api.deployment_requests_list, "lab", "model", limit=5, page_size=3)) == old[:5]
    assert ids(paginate(api.deployment_requests_list, "lab", "model", limit=100, offset=8)) == old[8:]
    api.asked.clear()
    assert list(paginate(api.deployment_requests_list, "lab", "model", limit=0)) == []
    assert api.asked == []


def test_pages_are_asked_for_when_they_are_needed(model: TestProject) -> None:
    send(model, 10)
    api = Recording(model.api)
    requests = paginate(api.deployment_requests_list, "lab", "model", page_size=4, _request_timeout=20)
    assert api.asked == []
    for _ in range(4):
        next(requests)
    assert len(api.asked) == 1
    next(requests)
    assert len(api.asked) == 2
    assert {page["_request_timeout"] for page in api.asked} == {20}


def test_an_error_on_the_way_is_raised(emulator: Emulator, model: TestProject) -> None:
    old = send(model, 10)[::-1]
    requests = paginate(model.api.deployment_requests_list, "lab", "model", page_size=5)
    assert [next(requests).id for _ in range(5)] == old[:5]
    emulator.faults.add(Fault(status=500, times=10))
    with pytest.raises(ServerError):
        next(requests)


def test_new_audit_events_come_last(project: TestProject) -> None:
    def act(_: Any = None) -> None:
        project.api.projects_update("lab", {"credits": 10})

    for _ in range(7):
        act()
    count = len(project.api.project_audit_events_list("lab", limit=1000))
    events = paginate(project.api.project_audit_events_list, "lab", page_size=4)
    seen = [next(events) for _ in range(count)]
    act()
    seen += list(events)
    assert len(seen) == count + 1
    assert seen == project.api.project_audit_events_list("lab", limit=1000)


def test_new_audit_events_stay_out_where_the_newest_come_first(project: TestProject) -> None:
    class NewestFirst(ubiops.CoreApi):
        def project_audit_events_list(self, *args: Any, **options: Any) -> Any:
            limit, offset = options["limit"], options["offset"]
            events = super().project_audit_events_list(*args, **{**options, "limit": 1000, "offset": 0})
            return events[::-1][offset : offset + limit]

    def act(_: Any = None) -> None:
        project.api.projects_update("lab", {"credits": 10})

    for _ in range(8):
        act()
    old = project.api.project_audit_events_list("lab", limit=1000)[::-1]
    events = paginate(NewestFirst(project.api.api_client).project_audit_events_list, "lab", page_size=3)
    assert walk(events, act) == old


# Files


@pytest.fixture
def bucket(project: TestProject, tmp_path: Path) -> Callable[[str], object]:
    """Puts a file into the bucket."""
    path = tmp_path / "file"
    path.write_text("text")
    return lambda name: upload_file(project.api, "lab", str(path), file_name=name)


def test_files(project: TestProject, bucket: Callable[[str], object]) -> None:
    names = [*(f"a/{number}" for number in range(7)), *(f"b/{number}" for number in range(3)), "c"]
    for name in names:
        bucket(name)
    method = project.api.files_list
    assert [file.file for file in paginate(method, "lab", "default", page_size=3)] == names
    assert [file.file for file in paginate(method, "lab", "default", prefix="a/", page_size=3)] == names[:7]
    # Pages that hold folders alone don't end it.
    assert [file.file for file in paginate(method, "lab", "default", delimiter="/", page_size=1)] == ["c"]
    assert [file.file for file in paginate(method, "lab", "default", limit=4, page_size=3)] == names[:4]
    token = method("lab", "default", limit=9).continuation_token
    assert [file.file for file in paginate(method, "lab", "default", continuation_token=token)] == names[9:]


def test_files_that_come_and_go(project: TestProject, bucket: Callable[[str], object]) -> None:
    names = [f"m{number}" for number in range(8)]
    for name in names:
        bucket(name)

    def change(file: Any) -> None:
        project.api.files_delete("lab", "default", file.file)
        if file.file == "m1":
            bucket("a")
            bucket("z")

    files = paginate(project.api.files_list, "lab", "default", page_size=3)
    assert [file.file for file in walk(files, change)] == [*names, "z"]


def test_a_token_that_leads_to_itself_is_an_error(project: TestProject, bucket: Callable[[str], object]) -> None:
    class Circling(ubiops.CoreApi):
        def files_list(self, *args: Any, **options: Any) -> Any:
            page = super().files_list(*args, **{**options, "continuation_token": None})
            page.continuation_token = "MQ=="
            return page

    bucket("a")
    files = paginate(Circling(project.api.api_client).files_list, "lab", "default")
    assert (next(files).file, next(files).file) == ("a", "a")
    with pytest.raises(ApiException, match="leads to itself"):
        next(files)


# Blobs


@pytest.fixture
def blobs(project: TestProject, tmp_path: Path) -> Callable[[], str]:
    """Makes a blob; gives its id."""
    path = _file(tmp_path, 1)
    return lambda: str(project.api.blobs_create("lab", file=path).id)


@pytest.mark.parametrize("page_size", [1, 3, 100, None])
def test_new_blobs_stay_out_where_the_newest_come_first(
    project: TestProject, blobs: Callable[[], str], page_size: int | None
) -> None:
    # More than fit on a page have been created in the same second, and so are the new ones.
    old = [blobs() for _ in range(8)][::-1]
    assert ids(walk(paginate(project.api.blobs_list, "lab", page_size=page_size), lambda _: blobs())) == old


def test_blobs_from_a_moment_on(emulator: Emulator, project: TestProject, blobs: Callable[[], str]) -> None:
    old = [blobs() for _ in range(60)]
    with emulator._store.session() as session:
        # All in the same second, however long it took to make them; the first ten are earlier than the start.
        for number, blob in enumerate(session.scalars(select(Blob).order_by(Blob.number))):
            blob.creation_date = f"2022-11-03T09:30:00.{number // 10 * 100:03}+00:00"
    new: list[str] = []

    def grow(_: Any) -> None:
        if len(new) < 10:
            new.append(blobs())

    method = project.api.blobs_list
    assert ids(paginate(method, "lab", -5)) == old[:-6:-1]
    assert ids(paginate(method, "lab", -25, page_size=2)) == old[:-26:-1]
    start = "2022-11-03T09:30:00.100+00:00"
    assert ids(paginate(method, "lab", range=1000, creation_date=start)) == old[10:]
    forward = paginate(method, "lab", range=1000, creation_date=start, page_size=7)
    assert ids(walk(forward, grow)) == old[10:] + new
    backward = paginate(method, "lab", range=-1000, creation_date=start, page_size=7)
    assert ids(backward) == old[19::-1]


# Log lines


def test_new_log_lines_stay_out_where_the_newest_come_first(emulator: Emulator, project: TestProject) -> None:
    now = datetime.now(timezone.utc)
    write_log(emulator, [(now - timedelta(seconds=10 - index // 4), f"line {index}") for index in range(20)])
    lines = paginate(project.api.projects_log_list, "lab", page_size=3)
    found = walk(lines, lambda _: write_log(emulator, [(datetime.now(timezone.utc), "new")]))
    assert [line.log for line in found] == [f"line {index}" for index in range(20)][::-1]


def test_log_lines_of_any_span(emulator: Emulator, project: TestProject) -> None:
    now = datetime.now(timezone.utc)
    for hours in (100, 70, 30, 1):
        write_log(emulator, [(now - timedelta(hours=hours), f"{hours} h ago")])
    three_days = 3 * 86400
    start = (now - timedelta(hours=71)).isoformat()
    middle = project.api.projects_log_list("lab", {"date": start, "date_range": 86400})[0]

    def logs(**data: Any) -> list[str | None]:
        return [line.log for line in paginate(project.api.projects_log_list, "lab", data)]

    assert logs() == ["1 h ago"]
    assert logs(date_range=-7200) == ["1 h ago"]
    assert logs(date_range=-1800) == []
    assert logs(date_range=-three_days) == ["1 h ago", "30 h ago", "70 h ago"]
    assert logs(date=start, date_range=three_days) == ["70 h ago", "30 h ago", "1 h ago"]
    assert logs(date=start, date_range=48 * 3600) == ["70 h ago", "30 h ago"]
    assert logs(date=start, date_range=-three_days) == ["100 h ago"]
    assert logs(id=middle.id, date_range=three_days) == ["70 h ago", "30 h ago", "1 h ago"]
    assert logs(id=middle.id, date_range=-three_days) == ["70 h ago", "100 h ago"]
    assert logs(date_range=-three_days, limit=2) == ["1 h ago", "30 h ago"]
    assert logs(filters={"level": "error"}) == []
    # The server's clock may be ahead of this machine's.
    write_log(emulator, [(now + timedelta(minutes=30), "ahead")])
    assert logs() == ["ahead", "1 h ago"]


def test_log_lines_come_500_at_a_time_at_most(emulator: Emulator, project: TestProject) -> None:
    moment = datetime.now(timezone.utc)
    write_log(emulator, [(moment, f"line {index}") for index in range(1100)])
    api = Recording(project.api)
    query = ubiops.LogsCreate(limit=1050)
    lines = list(paginate(api.projects_log_list, "lab", query, page_size=2000))
    assert [line.log for line in lines] == [f"line {index}" for index in range(1099, 49, -1)]
    assert [data["limit"] for data in api.asked] == [500, 500, 500]


# Bad arguments


def test_bad_arguments_are_refused_at_the_call(unreachable: ubiops.CoreApi) -> None:
    requests, logs = unreachable.deployment_requests_list, unreachable.projects_log_list
    take: Any = paginate
    for call, kind, problem in (
        (partial(take, requests, "lab"), ApiValueError, "Missing the required parameter `deployment_name`"),
        (partial(take, requests, "lab", None), ApiValueError, "Missing the required parameter `deployment_name`"),
        (partial(take, requests, "lab", ".."), ApiValueError, "`deployment_name` when calling"),
        (partial(take, requests, "lab", "model", statsu="x"), ApiTypeError, "'statsu'.*did you mean `status`"),
        (partial(take, requests, "lab", "model", success="yes"), ApiValueError, "`success` when calling"),
        (partial(take, requests, *"abcdefghijklmnop"), ApiTypeError, "arguments"),
        (partial(take, requests, "lab", "model", limit=-1), ApiValueError, "`limit` .* must be 0 or more, not -1"),
        (partial(take, requests, "lab", "model", page_size=0), ApiValueError, "`page_size` .* must be 1 or more"),
        (partial(take, requests, "lab", "model", page_size=2.5), ApiTypeError, "`page_size` .* expected int"),
        (partial(take, requests, "lab", "model", async_req=True), ApiTypeError, "doesn't take `async_req`"),
        (partial(take, requests, "lab", "model", _preload_content=False), ApiTypeError, "`_preload_content`"),
        (partial(take, logs, "lab", {"date": "soon"}), ApiValueError, "`data.date` .* ISO 8601, not 'soon'"),
        (partial(take, logs, "lab", {"limit": -1}), ApiValueError, "`limit` .* must be 0 or more"),
        (partial(take, logs, "lab", {"limit": "1"}), ApiValueError, "`data.limit`"),
    ):
        with pytest.raises(kind, match=problem):
            call()


def test_what_is_no_method_of_a_client_is_refused_at_the_call(unreachable: ubiops.CoreApi) -> None:
    take: Any = paginate
    others: list[Any] = [print, None, "deployments_list", ubiops.CoreApi.deployments_list, "".join, unreachable]
    for method in others:
        with pytest.raises(ApiTypeError, match="expected a list method of a client"):
            take(method, "lab")
    with pytest.raises(ApiTypeError, match="expected a list method of a client"):
        take(unreachable.deployments_list_with_http_info, "lab")
