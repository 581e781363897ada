"""atheris, guided by coverage, over what answers hold: bodies, names of files, streams of events, URLs.

It needs ``pip install atheris``, which has wheels for Linux alone; the corpus is kept in ``.fuzz-corpus``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CORPUS = Path(__file__).parents[2] / ".fuzz-corpus"

_PROGRAM = """
import sys
import atheris
with atheris.instrument_imports(include=["ubiops"]):
    import ubiops
    from ubiops.files import filename_of
    from ubiops.operation import read_body
    from ubiops.urls import redirect_target, same_origin
    from ubiops.exceptions import ApiException
TYPES = ["DeploymentDetail", "list[DeploymentList]", "object", "str", "dict(str, object)", "PipelineVersionDetail"]
def one(data):
    provider = atheris.FuzzedDataProvider(data)
    what = provider.ConsumeIntInRange(0, 3)
    if what == 0:
        kind = TYPES[provider.ConsumeIntInRange(0, len(TYPES) - 1)]
        try:
            read_body(provider.ConsumeBytes(len(data)), kind)
        except ValueError:
            pass
    elif what == 1:
        name = filename_of(provider.ConsumeUnicodeNoSurrogates(len(data)))
        assert name is None or ("/" not in name and name not in ("", ".", "..") and "\\0" not in name)
    elif what == 2:
        target = redirect_target("https://api.test/v2.1/x", provider.ConsumeUnicode(len(data)))
        if target is not None:
            same_origin(target, "https://api.test")
    else:
        error = ApiException(500, "no", body=provider.ConsumeBytes(len(data)))
        str(error), repr(error)
atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


def main(seconds: int) -> int:
    """Run it for so long; the exit status, 0 where nothing broke."""
    CORPUS.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _PROGRAM, str(CORPUS), f"-max_total_time={seconds}", "-max_len=4096"]
    return subprocess.run(command, check=False).returncode
