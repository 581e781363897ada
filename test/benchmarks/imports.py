"""What a program pays before its first answer, in fresh interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from tempfile import TemporaryDirectory

from test.benchmarks.data import CREDENTIALS, DEPLOYMENT_PATH
from test.benchmarks.measure import Figure, ratio

_ROUNDS = 15

_TIMED = """
import time
start = time.process_time()
{statements}
print(time.process_time() - start)
"""
_LOADED = """
import sys, ubiops
print(sum(name.startswith(("urllib3", "ubiops.models", "ubiops.api")) for name in sys.modules))
"""
_IMPORT = "import ubiops"
_IMPORT_REFERENCE = "import urllib3"
_FIRST_CALL = """
import ubiops
configuration = ubiops.Configuration(host={url!r}, api_key={credentials!r})
with ubiops.ApiClient(configuration) as client:
    ubiops.CoreApi(client).deployments_get("project", "deployment")
"""
_FIRST_CALL_REFERENCE = """
import json, urllib3
with urllib3.PoolManager() as http:
    json.loads(http.request("GET", {url!r} + {path!r}, headers={credentials!r}).data)
"""


def figures(url: str) -> Iterator[Figure]:
    values = {"url": url, "path": DEPLOYMENT_PATH, "credentials": CREDENTIALS}
    with TemporaryDirectory() as bytecode:
        # As installed packages have it: written by the first, unmeasured run, whatever the environment says.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}

        def run(script: str) -> float:
            command = [sys.executable, "-c", script]
            return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)

        def relative(statements: str, reference: str) -> float:
            scripts = [_TIMED.format(statements=text.format(**values)) for text in (statements, reference)]
            work, other = (partial(run, script) for script in scripts)
            return ratio(work, other, _ROUNDS, _reported)

        yield Figure("modules of urllib3 and models that `import ubiops` loads", run(_LOADED), 0, "")
        yield Figure("import ubiops", relative(_IMPORT, _IMPORT_REFERENCE), 0.15, "x import urllib3")
        called = relative(_FIRST_CALL, _FIRST_CALL_REFERENCE)
        yield Figure("import, client and first call", called, 1.3, "x import urllib3 and call")


def _reported(run: Callable[[], float]) -> float:
    """What the script took, as it says itself: the interpreter's own start doesn't count."""
    return run()
