"""From a folder to an environment, by tags and by revisions."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ubiops
from test.utils.clock import Clock
from test.utils.packages import write
from test.utils.planned import Planned
from ubiops.exceptions import ApiValueError
from ubiops.utils import BuildFailed, deploy_environment

MISSING = ubiops.NotFoundError(404, "Not Found")


class Builder(Planned):
    """Keeps the names in the zip that is uploaded, which is gone afterwards."""

    names: list[str]

    def _upload(self, *args: Any, file: str, **kwargs: Any) -> None:
        self.names = zipfile.ZipFile(io.BytesIO(Path(file).read_bytes())).namelist()
        self.calls.append(("upload", args, kwargs))

    environment_tags_build = environment_revisions_file_upload = _upload  # type: ignore[assignment]


@pytest.fixture
def client() -> Iterator[ubiops.ApiClient]:
    with ubiops.ApiClient(ubiops.Configuration(host="http://127.0.0.1:1/v2.1")) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "e", {"requirements.txt": "numpy"})


def tag(status: str) -> Any:
    return SimpleNamespace(name="v1", status=status, error_message="no such package")


def test_the_newest_service_builds_nothing_but_tags(folder: Path) -> None:
    with ubiops.ApiClient(ubiops.Configuration(host="http://127.0.0.1:1/v2")) as client:
        api = Builder(client)
        with pytest.raises(ApiValueError, match="`tag_name` when calling `deploy_environment`, must be given"):
            deploy_environment(api, "lab", folder, "e", quiet=True)
        with pytest.raises(ApiValueError, match="`labels` when calling `deploy_environment`, must be dict"):
            deploy_environment(api, "lab", folder, "e", "v1", labels=5, quiet=True)  # type: ignore[arg-type]
    assert api.calls == []


def test_a_tag_is_created_and_built(client: ubiops.ApiClient, folder: Path, clock: Clock) -> None:
    api = Builder(
        client,
        environments_get=[MISSING],
        environments_create=[None],
        environment_tags_get=[MISSING, tag("queued"), tag("available")],
        environment_tags_create=[None],
    )
    built = deploy_environment(api, "lab", folder, "e", "v1", "python3-11", "v2", labels={"a": "b"}, quiet=True)
    assert built.status == "available"
    assert api.names == ["environment_package/requirements.txt"]
    calls = {name: (arguments, options) for name, arguments, options in api.calls}
    assert calls["environments_create"][0] == ("lab", ubiops.EnvironmentCreate("e", labels={"a": "b"}))
    assert calls["environment_tags_create"][0] == ("lab", "e", {"name": "v1"})
    base = {"base_environment_name": "python3-11", "base_environment_tag": "v2"}
    assert calls["upload"] == (("lab", "e", "v1"), base)


def test_a_tag_that_is_built_is_not_built_again(client: ubiops.ApiClient, folder: Path) -> None:
    api = Builder(client, environments_get=[SimpleNamespace(id="e")], environment_tags_get=[tag("available")])
    with pytest.raises(ubiops.ApiValueError, match="`tag_name` when calling `deploy_environment`, the tag v1 was"):
        deploy_environment(api, "lab", folder, "e", "v1", quiet=True)


def test_a_revision_is_uploaded_where_there_are_no_tags(client: ubiops.ApiClient, folder: Path, clock: Clock) -> None:
    environment = SimpleNamespace(id="e", latest_build="b", latest_revision="r")
    builds = [SimpleNamespace(status=status, error_message="no such package") for status in ("queued", "failed")]
    api = Builder(
        client,
        environments_get=[MISSING, environment],
        environments_create=[None],
        environment_builds_get=builds,
        projects_log_list=[[]],
    )
    with pytest.raises(BuildFailed, match="no such package"):
        deploy_environment(api, "lab", folder, "e", base_environment="python3-11", quiet=True)
    created = next(arguments for name, arguments, _ in api.calls if name == "environments_create")
    assert created == ("lab", ubiops.EnvironmentCreate("e", base_environment="python3-11"))
    with pytest.raises(ubiops.ApiValueError, match=r"`base_tag` .* must come with `tag_name`"):
        deploy_environment(api, "lab", folder, "e", base_tag="v1")
