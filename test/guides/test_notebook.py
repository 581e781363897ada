"""The example notebook runs, and shows what the file says that it shows."""

from __future__ import annotations

import json
import re
from typing import Any

import ubiops
from test.guides.notebook import NOTEBOOK, execute, read
from ubiops.emulator import Emulator

_CHANGING = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=turbines-)[0-9a-f]{8}|(?<=dashboard\.)[0-9a-f]{8}"
    r"|datetime\.date\([\d, ]+\)|datetime\.datetime\([\d, ]+, tzinfo=datetime\.timezone\.utc\)"
    r"|\d{4}-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d+)?)?|(?<=python3-)\d+|(?<=Python 3\.)\d+"
)


def outputs(notebook: Any) -> list[list[dict[str, str]]]:
    """What each cell shows, by type of content."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[_contents(output) for output in cell.outputs] for cell in cells]


def _contents(output: Any) -> dict[str, str]:
    data = {output.name: output.text} if output.output_type == "stream" else output.data
    return {kind: "".join(content) for kind, content in data.items()}


def comparable(notebook: Any) -> list[list[dict[str, str]]]:
    """The same, without ids, dates and versions of Python; of pictures and tables of pandas, that there are some."""
    return [
        [
            {
                kind: _CHANGING.sub("#", content) if "stdout" in kinds or 'class="ubiops"' in str(kinds) else ""
                for kind, content in kinds.items()
            }
            for kinds in cell
        ]
        for cell in outputs(notebook)
    ]


def text_of(notebook: Any) -> str:
    return "\n".join(content for cell in outputs(notebook) for kinds in cell for content in kinds.values())


def test_it_shows_what_the_file_holds_and_leaves_nothing(emulator: Emulator, emptied: ubiops.CoreApi) -> None:
    emptied.organizations_update("emulator", {"name": "wind-farm"})
    stored, executed = read(), execute(UBIOPS_API_TOKEN=emulator.token, UBIOPS_API_HOST=emulator.url)
    shown = json.dumps(comparable(executed))
    # It runs on the service that the environment names.
    assert "<th>organization_name</th><td>wind-farm</td>" in shown
    assert json.loads(shown.replace("wind-farm", "emulator")) == comparable(stored), (
        "run `python -m test.guides.notebook`, and look at what has changed"
    )
    texts = text_of(executed)
    # By hand: the curve of a turbine of 2000 kW at 8.5 m/s, and what it earns at 8 and at 14 m/s.
    power = {speed: 2000 * (speed**3 - 3**3) / (12**3 - 3**3) for speed in (8, 8.5)}
    assert f"{{power: {power[8.5]:.1f}}}" in texts
    assert f" 2 m/s: None\n 8 m/s: {{'earnings': {power[8] * 0.08:.2f}}}\n14 m/s: {{'earnings': 160.0}}\n" in texts
    assert texts.count("The wind speed must not be negative") >= 2
    assert re.search(r"completed +60\nfailed +2\n", texts)
    assert "<th>token</th><td>***</td>" in texts
    assert sum("image/png" in kinds for cell in outputs(executed) for kinds in cell) == 3
    assert emptied.projects_list() == []


def test_the_file_is_small_and_tells_nothing_of_the_machine_that_made_it() -> None:
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    assert not re.search(r"/home/|/root/|/tmp/|/Users/|/work/|127\.0\.0\.1|localhost", text)
    counts = [cell.execution_count for cell in read().cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_where_the_environment_names_no_service_it_starts_an_emulator() -> None:
    execute(1 + next(index for index, cell in enumerate(read().cells) if cell.cell_type == "code"))
