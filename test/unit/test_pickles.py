"""What programs have pickled with older releases is read."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import ubiops
from ubiops import NULL, models, utils
from ubiops.model import Model
from ubiops.utils import exceptions


@pytest.fixture
def pickled() -> dict[str, Any]:
    """What 3.12.1 wrote, made by it before this file was."""
    data: dict[str, Any] = pickle.loads((Path(__file__).parent / "pickles" / "3.12.1.pickle").read_bytes())
    return data


def private(model: Model) -> list[str]:
    return [name for name in vars(model) if name.startswith("_")]


def test_models_of_3_12_1(pickled: dict[str, Any]) -> None:
    version = pickled["version"]
    made = models.DeploymentVersionCreate("v1", language="python3.9", labels={"a": "b"}, monitoring=NULL)
    assert type(version) is models.DeploymentVersionCreate
    assert version == made
    assert vars(version).keys() == vars(made).keys()
    assert private(version) == private(made)
    assert pickled["null"] is NULL
    fields = [{"name": "x", "data_type": "int"}, {"name": "y", "data_type": "double"}]
    sent = ubiops.ApiClient().sanitize_for_serialization(pickled["deployment"])
    assert sent == {"name": "iris", "input_type": "structured", "output_type": "plain", "input_fields": fields}
    assert pickled["unknown"].additional_properties == {"zone": "eu"}
    assert pickled["noted"].seen_at == "noon"
    detail = pickled["detail"]
    assert detail.creation_date == datetime(2022, 11, 3, 9, 30, 12, 421000, timezone.utc)
    assert detail.additional_properties == {"replicas": 2}
    assert detail.to_dict().keys() == models.DeploymentVersionDetail.fields.keys()


def test_a_field_that_came_later_is_none_and_in_its_place() -> None:
    model = models.DeploymentUpdate(name="n", labels={"a": "b"})
    order = private(model)
    del vars(model)["_description"]
    read = pickle.loads(pickle.dumps(model))
    assert read.description is None
    assert private(read) == order
    assert read.to_dict() == models.DeploymentUpdate(name="n", labels={"a": "b"}).to_dict()


def test_a_list_of_3_12_1_is_a_list(pickled: dict[str, Any]) -> None:
    assert type(pickled["list"]) is type(pickled["list"][0].input_fields) is list
    assert [deployment.name for deployment in pickled["list"]] == ["a", "b"]


def test_every_model_of_3_12_1_can_be_used_in_every_way(pickled: dict[str, Any]) -> None:
    for model in [value for value in pickled.values() if isinstance(value, Model)]:
        assert set(model.to_dict()) >= set(type(model).fields)
        assert repr(model)
        assert all(getattr(model, name, "missing") != "missing" for name in type(model).fields)
        assert pickle.loads(pickle.dumps(model)) == model
    with pytest.raises(ubiops.ApiValueError, match="`name`"):
        pickled["deployment"].name = 5
    pickled["unchecked"].name = 6


def test_a_client_of_3_12_1(pickled: dict[str, Any]) -> None:
    for configuration in (pickled["configuration"], pickled["client"].configuration):
        assert configuration.host == "https://ubiops.example.com/v2.1"
        assert configuration.api_key == {"Authorization": "Token abc"}
        assert configuration.retries == 3
    error = pickled["error"]
    assert (type(error).__name__, error.status, error.reason) == ("ApiException", 404, "Not Found")


def test_what_the_helpers_of_3_12_1_returned_and_raised() -> None:
    helped = pickle.loads((Path(__file__).parent / "pickles" / "helpers-3.12.1.pickle").read_bytes())
    done, failed = helped["mapped"]
    assert isinstance(done, utils.MappedRequest)
    assert (done.index, done.input, done.request.id, done.result) == (0, {"x": 1}, "r0", {"y": 2})  # type: ignore[union-attr]
    assert (failed.input, failed.request.error_message, failed.error.index) == ("text", "no", 3)
    assert (helped["file"], helped["file"].bucket) == (utils.UbiOpsFile("default", "2022/cars.csv"), "default")
    assert helped["points"] == [utils.MetricPoint(datetime(2022, 11, 3, tzinfo=timezone.utc), 1.5)]
    assert (helped["zip"], helped["zip"].sha256, helped["zip"].skipped) == ("/tmp/package.zip", "ab12", ["a.log"])
    assert isinstance(helped["package"], utils.PackageInfo)
    assert (helped["package"].main_file, helped["package"].requirements) == ("deployment.py", ("numpy==1.23",))
    assert helped["downloaded"] == "/tmp/x.zip"
    assert helped["headers"]["content-type"] == "application/json"
    for name, error in helped["errors"].items():
        assert type(error) is getattr(exceptions, name, getattr(ubiops.exceptions, name, None))
        assert str(error)
    assert helped["errors"]["WaitTimeout"].last.id == "r1"
    assert helped["errors"]["IncompleteTransfer"].failed["b"].status == 404
    assert helped["errors"]["UpsertFailed"].done[0].name == "A"
    assert list(helped["errors"]["RequestsInDoubt"].indexes) == [3, 4]
    again = pickle.loads(pickle.dumps(helped))
    assert str(again["mapped"]) == str(helped["mapped"])


def test_pickles_of_3_12_1_are_read_by_a_program_that_imports_nothing_else() -> None:
    path = Path(__file__).parent / "pickles" / "helpers-3.12.1.pickle"
    program = f"import pickle; print(pickle.load(open({str(path)!r}, 'rb'))['file'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(ubiops.__file__).parents[1],
    )
    assert done.stdout == "ubiops-file://default/2022/cars.csv\n"
