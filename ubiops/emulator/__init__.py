"""A UbiOps on this machine, for tests and for work without an account. It runs the uploaded code for real.

    from ubiops.emulator import Emulator

    with Emulator() as emulator:
        api = emulator.client()
        ...

From a shell: ``python -m ubiops.emulator``.
"""

from __future__ import annotations

from importlib.util import find_spec

_REQUIRED = ("croniter", "jsonschema", "multipart", "packaging", "sqlalchemy", "starlette", "uvicorn", "yaml")

_missing = [name for name in _REQUIRED if find_spec(name) is None]
if _missing:
    raise ImportError(f"The emulator needs {', '.join(_missing)}: pip install 'ubiops[emulator]'")

# A missing dependency is to be named first.
from ubiops.emulator.faults import Fault  # noqa: E402
from ubiops.emulator.server import Emulator  # noqa: E402

__all__ = ["Emulator", "Fault"]
