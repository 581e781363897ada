"""What `python -m codegen` writes, checks and refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from codegen.__main__ import main
from codegen.document import RESERVED_FIELDS, DocumentError, read
from codegen.render import render
from codegen.sources import join
from ubiops.model import Model

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
SOURCES = "codegen/document"
DOCUMENT = "ubiops/openapi.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root that holds the small document's sources and nothing else."""
    shutil.copytree(GOLDEN / SOURCES, tmp_path / SOURCES)
    return tmp_path


def content(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


def test_writes_the_golden_files(root: Path) -> None:
    assert main(["--root", str(root)]) == 0
    assert content(root) == content(GOLDEN)


def test_a_second_run_changes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--root", str(root)])
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    capsys.readouterr()
    assert main(["--root", str(root)]) == 0
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert capsys.readouterr().out == ""


def test_check_names_what_differs_and_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--root", str(root)])
    (root / "ubiops/models/pot.py").write_text("changed")
    (root / "docs/CoreApi.md").unlink()
    shutil.copy(root / "ubiops/models/neighbour.py", root / "ubiops/models/weed.py")
    before = content(root)
    capsys.readouterr()
    assert main(["--check", "--root", str(root)]) == 1
    assert set(capsys.readouterr().out.splitlines()) == {
        "differs: ubiops/models/pot.py",
        "differs: docs/CoreApi.md",
        "differs: ubiops/models/weed.py",
    }
    assert content(root) == before


def test_removes_what_it_no_longer_makes_and_leaves_what_others_wrote(root: Path) -> None:
    main(["--root", str(root)])
    shutil.copy(root / "ubiops/models/neighbour.py", root / "ubiops/models/weed.py")
    by_hand = root / "docs/guide.md"
    by_hand.write_text("# Guide\n")
    assert main(["--root", str(root)]) == 0
    assert not (root / "ubiops/models/weed.py").exists()
    assert by_hand.read_text() == "# Guide\n"
    assert main(["--check", "--root", str(root)]) == 0


def test_missing_sources_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == 2
    assert "has no head.yaml" in capsys.readouterr().err


def test_a_document_that_cannot_be_expressed_is_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / SOURCES / "weeds.yaml").write_text("paths:\n  /x: {trace: {}}\n")
    assert main(["--root", str(root)]) == 2
    assert "paths./x.trace" in capsys.readouterr().err
    assert list(root.rglob("*.py")) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("servers: []\npaths:\n", "weeds.yaml, line 1: only paths and components"),
        ("paths:\nservers: []\n", "weeds.yaml, line 2: only paths and components"),
        ("components:\n    schemas:\n", "weeds.yaml, line 2: only paths and components"),
        ("components:\n  schemas: {}\n", "weeds.yaml, line 2: only paths and components"),
    ],
)
def test_refuses_sources_that_it_cannot_join(root: Path, source: str, message: str) -> None:
    (root / SOURCES / "weeds.yaml").write_text(source)
    with pytest.raises(DocumentError, match=message):
        join(root / SOURCES, "")


def test_a_comment_in_a_source_stays(root: Path) -> None:
    comment = "    # Not with a spade."
    (root / SOURCES / "weeds.yaml").write_text(f"# Weeds.\ncomponents:\n  schemas:\n{comment}\n    Weed: {{}}\n")
    document = join(root / SOURCES, "# First.")
    assert document.startswith("# First.\nopenapi: 3.1.0\n")
    assert f"{comment}\n    Weed: {{}}\n" in document
    assert "# Weeds." not in document


PLANTS = ("paths", "/gardens/{garden_name}/plants")
UPDATE = (
    *("paths", "/gardens/{garden_name}/plants/{id}", "patch"),
    *("requestBody", "content", "application/json", "schema"),
)
ANSWER = (*PLANTS, "get", "responses", "200", "content", "application/json", "schema")
POT = {"$ref": "#/components/schemas/Pot"}
FORM = ("requestBody", "content", "multipart/form-data", "schema", "properties")
SCHEMAS = ("components", "schemas")
WEEDS = {"operationId": "weeds", "tags": ["weeds"], "summary": "Weed", "responses": {"204": {"description": "Done."}}}


def put(*path_and_value: Any) -> Callable[[Any], None]:
    """A change of the document: the last argument is set at the path that the others are."""
    *path, key, value = path_and_value

    def change(document: Any) -> None:
        for step in path:
            document = document[step]
        document[key] = value

    return change


def drop(*path: Any) -> Callable[[Any], None]:
    """A change of the document: what stands at the path is gone."""
    *above, key = path

    def change(document: Any) -> None:
        for step in above:
            document = document[step]
        del document[key]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop(*PLANTS, "get", "operationId"), r"plants\.get: has no operationId"),
        (put(*PLANTS, "get", "operationId", "plants-list"), "'plants-list' can't be a name in Python"),
        (put(*PLANTS, "get", "operationId", "api_client"), "'api_client' is a name that the client uses itself"),
        (put(*PLANTS, "get", "operationId", "plants_create"), "plants_create is taken by"),
        (put(*PLANTS, "get", "security", []), "security can't be expressed"),
        (put(*PLANTS, "get", "x-successor", "weeds_list"), "there is no operation weeds_list"),
        (put(*PLANTS, "get", "x-forms", [{"required": ["garden_name"]}]), "no optional argument garden_name"),
        (put(*ANSWER, {"oneOf": [POT, POT]}), "is one of Pot, Pot: only an array and an object"),
        (put(*PLANTS, "get", "tags", []), "needs exactly one tag"),
        (drop(*PLANTS, "get", "x-group"), "has no x-group"),
        (put(*PLANTS, "get", "x-group", "core_api"), "'core_api' is a name that the client uses itself"),
        (put(*PLANTS, "get", "x-group", "plants_create"), "plants_create: is the name of an operation too"),
        (drop(*PLANTS, "get", "summary"), "has no summary"),
        (drop(*PLANTS, "get", "responses"), "has no responses"),
        (drop(*PLANTS, "get", "responses", "200"), "must hold one status 2xx, not none"),
        (put(*PLANTS, "head", {}), "a path holds only get, put, post, delete, patch"),
        (put(*PLANTS, "get", "x-arguments", ["garden_name"]), "must name each argument once"),
        (drop(*PLANTS, "get", "x-arguments"), "must name each argument once"),
        (put(*PLANTS, "get", "parameters", 2, "required", True), "planted_after is required and stands after kind"),
        (put(*PLANTS, "get", "parameters", 1, "in", "cookie"), "is in cookie: only path, query, header"),
        (put(*PLANTS, "get", "parameters", 1, "in", "path"), "must be required: true"),
        (put(*PLANTS, "get", "parameters", 1, "name", "class"), "'class' can't be a name in Python"),
        (put(*PLANTS, "get", "parameters", 1, "name", "async_req"), "'async_req' is a name that the client uses"),
        (drop(*PLANTS, "get", "parameters", 1, "schema"), r"parameters\[1\]: has no schema"),
        (put(*PLANTS, "get", "parameters", 1, "style", "form"), "style can't be expressed"),
        (put(*PLANTS, "get", "parameters", 1, "schema", {"type": "array"}), r"kind is of the type list\[object\]"),
        (put(*PLANTS, "get", "parameters", 1, "schema", {"type": ["string", "null"]}), "there is no null or default"),
        (put(*PLANTS, "get", "parameters", 1, "schema", "default", "tree"), "default can't be expressed"),
        (put(*PLANTS, "get", "parameters", 0, "$ref", "#/components/parameters/weed"), "weed leads nowhere"),
        (put("components", "parameters", "garden_name", "name", "garden"), "must name each argument once"),
        (put("paths", "/weeds", {"get": {"$ref": "#/weeds"}}), r"\$ref can't be expressed"),
        (drop(*PLANTS, "post", "requestBody", "content"), "requestBody: has no content"),
        (put(*PLANTS, "post", "requestBody", "content", {"text/xml": {}}), "is text/xml: only application/json"),
        (put(*PLANTS, "post", "requestBody", "x-text-when-str", True), "must have the content text/plain"),
        (drop(*PLANTS, "post", "requestBody", "content", "application/json", "schema"), "has no schema"),
        (put(*PLANTS, "post", "responses", "201", "content", {"text/xml": {}}), "must be application/json, or"),
        (put(*PLANTS, "post", "responses", "409", {"$ref": "#/weed"}), "409: .*#/weed leads nowhere"),
        (put(*PLANTS, "post", "x-server-timeout", {"parameter": "wait", "default": 1}), "there is no argument wait"),
        (put("paths", "/weeds/{weed}", {"get": WEEDS}), "braces must name its parameters: none"),
        (put("paths", "/photos", "post", *FORM, "title", "default", "Weeds"), "there is no null or default"),
        (
            put("paths", "/photos", "post", *FORM, "title", {"$ref": "#/components/schemas/Pot"}),
            "title is of the type Pot",
        ),
        (put(*UPDATE, {"$ref": "#/components/schemas/PlantCreate"}), "PlantCreate: is the body of an update"),
        (put(*SCHEMAS, "pot", {"type": "object"}), "isn't a name for a class"),
        (put(*SCHEMAS, "Weed", {"type": "string"}), "must be an object with properties"),
        (put(*SCHEMAS, "Pot", "additionalProperties", True), "additionalProperties can't be expressed"),
        (put(*SCHEMAS, "Pot", "required", ["lid"]), "there is no property lid"),
        (put(*SCHEMAS, "Pot", "x-read-schemas", ["Weed"]), "there is no schema Weed"),
        (put(*SCHEMAS, "Pot", "x-extends", "Weed"), "there is no schema Weed"),
        (put(*SCHEMAS, "Pot", "x-extends", "PlantDetail"), "lacks what PlantDetail has: id"),
        (put(*SCHEMAS, "Pot", "x-sequence", "lids"), "there is no property lids"),
        (put(*SCHEMAS, "Pot", "properties", "to_dict", {}), "Pot.to_dict: 'to_dict' is a name that the client uses"),
        (put(*SCHEMAS, "Pot", "properties", "in", {}), "'in' can't be a name in Python"),
        (put(*SCHEMAS, "Pot", "properties", "_lid", {}), "'_lid' can't be a name in Python"),
        (put(*SCHEMAS, "Pot", "properties", "lid", {"pattern": "x"}), "pattern can't be expressed"),
        (put(*SCHEMAS, "Pot", "properties", "lid", {"oneOf": []}), "oneOf may hold one schema and null"),
        (put(*SCHEMAS, "Pot", "properties", "lid", {"anyOf": []}), "anyOf can't be expressed"),
        (put(*SCHEMAS, "Pot", "properties", "lid", {"type": ["string", "integer"]}), "the type string or integer"),
        (put(*SCHEMAS, "Pot", "properties", "lid", {"x-python-type": "list[Lid]"}), "there is no type Lid"),
        (put(*SCHEMAS, "Pot", "properties", "lid", {"$ref": "#/components/schemas/Lid"}), "Lid leads nowhere"),
        (put(*SCHEMAS, "Pot", "properties", "lid", {"type": "string", "format": "binary"}), "lid: is a file"),
        (put(*SCHEMAS, "PlantDETAIL", {"type": "object", "properties": {"a": {}}}), "share the module plant_detail"),
        (put(*SCHEMAS, "File", {"type": "object", "properties": {"a": {}}}), "File: is a name that the client uses"),
        (put(*SCHEMAS, "ApiException", {"type": "object", "properties": {"a": {}}}), "ApiException: is a name that"),
    ],
)
def test_refuses_what_it_cannot_express(change: Callable[[Any], None], message: str) -> None:
    document = yaml.load((GOLDEN / DOCUMENT).read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    change(document)
    with pytest.raises(DocumentError, match=message):
        render(read(yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("paths: {/x: {}}\npaths: {}", "line 1: has a key twice: paths"),
        ("paths: [", "isn't valid YAML"),
    ],
)
def test_refuses_yaml_that_says_nothing_or_two_things(text: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        read(text)


def test_statuses_may_be_numbers() -> None:
    text = (GOLDEN / DOCUMENT).read_text()
    assert read(text.replace("'200':", "200:").replace("'404':", "404:")) == read(text)


def test_no_field_can_take_a_name_of_the_runtime() -> None:
    # A field's value is kept in the instance as `_name`.
    taken = {name.removeprefix("_") for name in dir(Model) if not name.startswith("__")}
    assert taken <= RESERVED_FIELDS
