"""Reading, writing and making models, beside the standard library's JSON and a class that checks nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import ubiops
from test.benchmarks.data import DEPLOYMENT_VERSION, pipeline_version, request_records
from test.benchmarks.measure import Figure, ratio, repeat, traced_peak
from ubiops.model import Model, field
from ubiops.models import DeploymentRequestList, DeploymentVersionCreate, PipelineVersionCreate
from ubiops.operation import Body, Request

_ROUNDS = 31


def figures(url: str) -> Iterator[Figure]:
    with ubiops.ApiClient(ubiops.Configuration(host=url)) as client:
        yield from _reading(client)
        yield from _plain(client)
    yield from _writing()
    yield from _constructing()


class _Answer:
    """As much of an answer as `ApiClient.deserialize` needs."""

    def __init__(self, data: str) -> None:
        self.data = data


def _reading(client: ubiops.ApiClient) -> Iterator[Figure]:
    def reading(text: str, type_name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
        return lambda: client.deserialize(_Answer(text), type_name), lambda: json.loads(text)

    records = request_records(10_000)
    read, reference = reading(json.dumps(records), "list[DeploymentRequestList]")

    def read_eagerly() -> list[DeploymentRequestList]:
        requests: list[DeploymentRequestList] = read()
        for request in requests:
            _ = request.time_created, request.time_started, request.time_completed
        return requests

    yield Figure("read 10,000 requests", ratio(read_eagerly, reference, _ROUNDS), 2.5, "x json.loads")
    peak = ratio(read_eagerly, reference, 3, traced_peak)
    yield Figure("read 10,000 requests, peak memory", peak, 1.6, "x json.loads")
    read, reference = reading(json.dumps(records[0]), "DeploymentRequestList")
    one = ratio(repeat(read, 5_000), repeat(reference, 5_000), _ROUNDS)
    yield Figure("read one request", one, 2.0, "x json.loads")


def _plain(client: ubiops.ApiClient) -> Iterator[Figure]:
    """Models and data as plain data."""
    request = DeploymentRequestList.from_wire(request_records(1)[0])
    names = list(DeploymentRequestList.fields)[:8]
    eight = type("Eight", (Model,), {name: field(DeploymentRequestList.openapi_types[name]) for name in names})
    model = eight(**{name: getattr(request, name) for name in names})
    reference = repeat(lambda: {name: getattr(model, name) for name in names}, 10_000)
    yield Figure(
        "to_dict of 8 fields", ratio(repeat(model.to_dict, 10_000), reference, _ROUNDS), 2.0, "x getattr of each"
    )
    data = {"rows": request_records(10_000), "series": [[index, index / 7] * 8 for index in range(5_000)]}
    sanitized = ratio(lambda: client.sanitize_for_serialization(data), lambda: json.dumps(data), _ROUNDS)
    yield Figure("sanitize a large plain dict", sanitized, 0.9, "x json.dumps")
    versions = [PipelineVersionCreate(**pipeline_version(index)) for index in range(1_000)]
    result = client.sanitize_for_serialization(versions)
    nested = ratio(lambda: client.sanitize_for_serialization(versions), lambda: json.dumps(result), _ROUNDS)
    yield Figure("sanitize 1,000 pipeline versions", nested, 1.5, "x json.dumps of the result")


def _writing() -> Iterator[Figure]:
    bodies = [pipeline_version(index) for index in range(1_000)]
    # Models all the way down, as a program that constructs them has them.
    models = [PipelineVersionCreate.from_wire(pipeline_version(index)) for index in range(1_000)]
    body = Body("data", "PipelineVersionCreate", required=True)

    def write() -> None:
        for model in models:
            body.place(Request("pipeline_versions_create", "POST"), model, validate=True, safe="")

    def reference() -> None:
        for plain in bodies:
            json.dumps(plain)

    yield Figure("write 1,000 pipeline versions", ratio(write, reference, _ROUNDS), 2.5, "x json.dumps")


def _constructing() -> Iterator[Figure]:
    work = repeat(lambda: DeploymentVersionCreate(**DEPLOYMENT_VERSION), 10_000)
    unchecked = _unchecked_class(DeploymentVersionCreate)
    reference = repeat(lambda: unchecked(**DEPLOYMENT_VERSION), 10_000)
    constructed = ratio(work, reference, _ROUNDS)
    yield Figure("make a deployment version", constructed, 2.0, "x an unchecked class")


def _unchecked_class(model: type[ubiops.model.Model]) -> Callable[..., Any]:
    """A class whose instances have the same attributes, each set to what is given."""
    lines = [f"def __init__(self, {', '.join(f'{name}=None' for name in model.fields)}):"]
    lines += [f"    self._{name} = {name}" for name in model.fields]
    lines += ["    self.discriminator = self.local_vars_configuration = None"]
    namespace: dict[str, Any] = {}
    exec("\n".join(lines), namespace)
    return type("Unchecked", (), {"__init__": namespace["__init__"]})
