"""The document says what the clients of all generations have: `facts.yaml`, and what is resolved otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from test.codegen.document import OPERATIONS, SCHEMAS, resolved
from test.codegen.test_declarations import parameters, type_of
from test.each import each

FACTS: dict[str, Any] = yaml.load(Path(__file__).with_name("facts.yaml").read_text(), yaml.CSafeLoader)

# Lines of the document that differ from the facts, by operation and schema.
RESOLVED = {
    # A path may stand once only; 3.12 calls the parameter `metric`.
    "metrics_delete": ["metric_name path str required as metric"],
    "metrics_update": ["metric_name path str required as metric"],
    # As the usages take them: 3.12 and 4.x say str.
    "metrics_get": [
        "start_date query datetime until 4.1",
        "end_date query datetime until 4.1",
    ],
    # Takes a datetime as in 3.12, and a str as in 4.x.
    "organizations_usage_get": ["start_date query datetime", "end_date query datetime"],
    "projects_usage_get": ["start_date query datetime", "end_date query datetime"],
    # What newer programs leave out.
    "BucketCreate": ["provider str"],
    "DeploymentCreate": ["input_type str", "output_type str"],
    "OrganizationCreate": ["subscription str"],
    "RevisionCreate": ["build str until 4.14"],
    "UserPendingCreate": ["terms_conditions bool until 3.16"],
    # What its base has.
    "DeploymentRequestDetail": ["retries int until 4.5"],
    # The newer class derives from that of 3.12.
    "PipelineRequestCreateResponse": ["deployment_requests list[PipelineRequestDeploymentRequest] nullable"],
    # The server answers null; the newer clients' sources say nothing of it.
    "EnvironmentDetail": [
        *("base_environment str nullable", "base_environment_display_name str nullable", "project str nullable"),
        *("active_revision str nullable", "active_build str nullable", "latest_revision str nullable"),
        "latest_build str nullable",
    ],
    "EnvironmentList": [
        "base_environment str nullable until 4.14",
        "base_environment_display_name str nullable since 3.16 until 4.14",
        "project str nullable",
    ],
    "EnvironmentTagList": ["base_environment_name str nullable", "base_environment_tag str nullable"],
    "InstanceDetail": ["node_pool InstanceTypeNodePool nullable"],
    "OrganizationUserList": ["join_date date nullable"],
    "PipelineVersionObjectConfigurationList": ["batch_size int nullable"],
    # The reference lets null remove them all.
    "PipelineVersionUpdate": [
        "objects list[PipelineVersionObjectCreate] nullable",
        "attachments list[AttachmentsCreate] nullable",
    ],
}
REORDERED = {"environments_list"}
"""Optional arguments in the order of 4.14, then what came with 4.15."""


def check(name: str, said: list[str], facts: list[str]) -> None:
    assert [line for line in said if line not in facts] == RESOLVED.get(name, [])
    names, expected = ([line.partition(" ")[0] for line in lines] for lines in (said, facts))
    assert set(expected) <= set(names)
    if name not in REORDERED:
        assert names[: len(expected)] == expected


def life(node: dict[str, Any]) -> list[str]:
    return [f"{key} {node[f'x-{key}']}" for key in ("since", "until") if f"x-{key}" in node]


def argument(name: str, operation: dict[str, Any]) -> str:
    place, type, required = parameters(operation)[name]
    by_name = {p.get("x-python-name", p["name"]): p for p in map(resolved, operation.get("parameters", []))}
    node = by_name.get(name, {})
    renamed = [f"as {node['name']}"] if node.get("name", name) != name else []
    return " ".join([name, place, type, *(["required"] if required else []), *renamed, *life(node)])


def field(name: str, schema: dict[str, Any]) -> str:
    node = schema["properties"][name]
    nullable = "null" in node.get("type", ()) or {"type": "null"} in node.get("oneOf", ()) or node.get("x-nullable")
    marks = [*(["required"] if name in schema.get("required", ()) else []), *(["nullable"] if nullable else [])]
    return " ".join([name, type_of(node), *marks, *life(node)])


def test_nothing_is_missing_or_more() -> None:
    assert set(OPERATIONS) == set(FACTS["operations"])
    assert set(SCHEMAS) == set(FACTS["schemas"])


@each("name", sorted(OPERATIONS))
def test_an_operation_is_that_of_the_clients(name: str) -> None:
    path, method, operation = OPERATIONS[name]
    facts = FACTS["operations"][name]
    if not name.startswith("metrics_"):
        assert f"{method.upper()} {path}" == facts["request"]
    assert operation["x-group"] == facts["group"]
    assert (operation.get("x-since"), operation.get("x-until")) == (facts["since"], facts["until"])
    assert operation.get("deprecated", False) == (facts["until"] is not None)
    success = next(response for status, response in operation["responses"].items() if status.startswith("2"))
    returns = [type_of(media["schema"]) for media in success.get("content", {}).values()]
    # Where generations differ: all, told apart by shape, or one of them.
    assert next(iter(returns), None) in (*facts["returns"], " | ".join(map(str, facts["returns"])))
    check(name, [argument(one, operation) for one in operation["x-arguments"]], facts["arguments"])


@each("name", sorted(SCHEMAS))
def test_a_schema_is_that_of_the_clients(name: str) -> None:
    check(name, [field(one, SCHEMAS[name]) for one in SCHEMAS[name]["properties"]], FACTS["schemas"][name])
