"""What happened to the objects of a project."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import ubiops
from test.emulator.project import TestProject
from ubiops.emulator import Emulator

FATAL = """
    import os
    import signal

    class Deployment:
        def request(self, data):
            if data["x"] == 9:
                # What the system does where there is no memory left.
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(int(data["x"]))
"""


@pytest.fixture
def events(emulator: Emulator, project: TestProject) -> Iterator[Any]:
    """Lists events by the newest client: an older service has none."""
    newest = emulator.client(generation="4.15")
    with newest.api_client:
        yield lambda **filters: newest.project_events_list("lab", **filters)


def test_lost_instances_and_failed_builds_are_events(project: TestProject, events: Any) -> None:
    project.deploy(FATAL)
    for x in (9, 3):
        with pytest.raises(ubiops.exceptions.BadRequestError):
            project.request({"x": x})
    project.create_version("v2")
    project.upload({"deployment.py": "import nothing_of_the_kind"}, "v2")
    found = events()
    assert [event.type for event in found] == ["build_failed", "instance_failed", "instance_out_of_memory"]
    killed = found[-1]
    version = project.api.deployment_versions_get("lab", "model", "v1")
    assert (killed.object_type, killed.object_id, killed.object_name) == ("deployment_version", version.id, "v1")
    assert (killed.parent_object_name, killed.log_timestamp // 10**9) == ("model", int(killed.date.timestamp()))
    assert killed.text.startswith("The instance stopped unexpectedly (SIGKILL) while it ran the request ")
    assert [event.type for event in events(object_id=version.id, limit=1)] == ["instance_failed"]
    assert [event.id for event in events(type="instance_out_of_memory")] == [killed.id]
    assert events(object_type="pipeline_version") == []
    assert len(events(last_seconds=600)) == len(events(offset=1)) + 1 == 3
    past = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    assert events(end_time=past) == []
    assert len(events(start_time=past)) == 3
    with pytest.raises(ubiops.exceptions.BadRequestError, match="last_seconds: it can't be combined with start_time"):
        events(last_seconds=1, end_time=past)
    project.api.deployments_delete("lab", "model")
    assert {(event.object_name, event.parent_object_name) for event in events()} == {(None, None)}
