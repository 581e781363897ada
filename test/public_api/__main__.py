"""`python -m test.public_api`: what was released stays; a change that breaks it must be named in the changelog.

`python -m test.public_api record` records the public API, at a release.
"""

import re
import sys

from test.public_api.surface import RELEASED, ROOT, breakages, current


def _unreleased() -> str:
    sections = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    return sections[1]


def _check() -> None:
    named = set(re.findall(r"`([\w.]+)`", _unreleased()))
    untold = [why for path, why in breakages(RELEASED.read_text(), current()).items() if path not in named]
    if untold:
        sys.exit("Name these in CHANGELOG.md in backticks, or keep them: " + "; ".join(untold))


if sys.argv[1:] == ["record"]:
    RELEASED.write_text(current())
else:
    _check()
