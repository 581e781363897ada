"""The helpers' own errors: what they say and carry."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import ubiops
from ubiops import utils
from ubiops.utils import exceptions

BUILD = ubiops.BuildList(id="b1", revision="r1", status="failed", error_message="No module named 'numpy'")

ERRORS: list[Any] = [
    utils.BuildFailed("The build b1 failed", BUILD, ["Collecting numpy", "No matching distribution"]),
    utils.InvalidPackage(["deployment.py: it has no class Deployment", "requirements.txt:2: no requirement: '=='"]),
    utils.MissingExtra("pandas", "to_dataframe"),
    utils.WaitTimeout("The build b1 is still building after 5 s", BUILD),
    utils.InvalidInput("Invalid value for `inputs[7]`", 7),
    utils.RequestFailed("The request r1 for inputs[7] failed", None, index=7),
    utils.RequestsInDoubt("It is unknown whether the server has the requests for inputs[5:10]", range(5, 10)),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickle_with_all_that_it_carries(error: Any) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    for name in ("last", "logs", "problems", "index", "indexes"):
        assert getattr(copy, name, None) == getattr(error, name, None)
    assert isinstance(error, ubiops.OpenApiException)


def test_a_failed_build_shows_the_end_of_its_log() -> None:
    assert str(ERRORS[0]) == "The build b1 failed\n  Collecting numpy\n  No matching distribution"


def test_errors_are_caught_as_python_s_own() -> None:
    assert isinstance(ERRORS[1], ValueError)
    assert isinstance(ERRORS[2], ImportError)
    assert isinstance(ERRORS[3], TimeoutError)
    assert (ERRORS[3].status, isinstance(ERRORS[3], ubiops.ApiException)) == (504, True)  # type: ignore[attr-defined]
    assert isinstance(ERRORS[1], exceptions.ValidateError)
    assert str(ERRORS[2]) == "to_dataframe needs pandas: pip install pandas"
