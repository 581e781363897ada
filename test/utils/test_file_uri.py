"""URIs of files: what they are made of, and where they go."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from ubiops.exceptions import ApiTypeError, ApiValueError
from ubiops.utils import UbiOpsFile, file_operations

URI = "ubiops-file://default/2022/my cars #1%20ü.csv"
FILE = UbiOpsFile("default", "2022/my cars #1%20ü.csv")


def test_it_has_its_parts_and_prints_its_uri() -> None:
    assert (FILE.bucket, FILE.file, FILE.file_uri) == ("default", "2022/my cars #1%20ü.csv", URI)
    assert str(FILE) == f"{FILE}" == URI
    assert type(FILE.file_uri) is type(str(FILE)) is str
    assert repr(FILE) == "UbiOpsFile('default', '2022/my cars #1%20ü.csv')"
    assert file_operations.UbiOpsFile is UbiOpsFile


@pytest.mark.parametrize("name", ["a", "/a", "a//b", "a/", "ubiops-file://x/y", " ", "\n"])
def test_what_a_uri_names_comes_back(name: str) -> None:
    file = UbiOpsFile("bucket", name)
    again = UbiOpsFile.from_uri(file.file_uri)
    assert (again.bucket, again.file) == ("bucket", name)
    assert isinstance(again, UbiOpsFile)


def test_it_is_compared_and_hashed_as_its_uri() -> None:
    other = UbiOpsFile("default", "x")
    assert UbiOpsFile.from_uri(URI) == FILE == URI
    assert other != FILE
    assert {FILE: 1}[UbiOpsFile.from_uri(URI)] == 1
    assert sorted([other, FILE]) == [FILE, other]


@pytest.mark.parametrize("attribute", ["bucket", "file", "file_uri", "other"])
def test_it_cannot_be_changed(attribute: str) -> None:
    with pytest.raises(AttributeError):
        setattr(FILE, attribute, "x")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda file: pickle.loads(pickle.dumps(file))])
def test_it_survives_copies(copied: Any) -> None:
    assert copied(FILE) == FILE
    assert type(copied(FILE)) is UbiOpsFile


def test_it_is_written_to_json_as_its_uri() -> None:
    assert json.loads(json.dumps({"x": FILE})) == {"x": URI}


def test_a_uri_is_checked() -> None:
    assert UbiOpsFile.validate_uri(URI) == UbiOpsFile.validate_uri(FILE) == URI
    assert type(UbiOpsFile.validate_uri(FILE)) is str


@pytest.mark.parametrize(
    "bad", ["", "x", "ubiops-file://", "ubiops-file:///x", "ubiops-file://b", "ubiops-file://b/", "UBIOPS-FILE://b/x",
            "s3://b/x", " ubiops-file://b/x"]
)  # fmt: skip
@pytest.mark.parametrize("function", ["from_uri", "validate_uri"])
def test_what_is_no_uri(function: str, bad: Any) -> None:
    with pytest.raises(ApiValueError, match=f"`file_uri` when calling `UbiOpsFile.{function}`, must be ubiops-file://"):
        getattr(UbiOpsFile, function)(bad)
    with pytest.raises(ApiTypeError, match=f"`file_uri` when calling `UbiOpsFile.{function}`, expected str, got bytes"):
        getattr(UbiOpsFile, function)(b"ubiops-file://b/x")


def test_the_scheme_is_taken_off() -> None:
    assert UbiOpsFile.remove_file_prefix(URI) == "default/2022/my cars #1%20ü.csv"
    assert UbiOpsFile.remove_file_prefix("default/x") == "default/x"


@pytest.mark.parametrize(
    ("bucket", "file", "argument"),
    [("", "x", "bucket"), ("a/b", "x", "bucket"), ("b", "", "file")],
)
def test_what_is_no_file(bucket: Any, file: Any, argument: str) -> None:
    with pytest.raises(ApiValueError, match=f"Invalid value for `{argument}`"):
        UbiOpsFile(bucket, file)
    with pytest.raises(ApiTypeError, match="`bucket` when calling `UbiOpsFile`, expected str, got NoneType"):
        UbiOpsFile(None, file)  # type: ignore[arg-type]
