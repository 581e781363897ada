"""A UbiOps on this machine, for tests and for work without an account. It runs the uploaded code for real.

    from ubiops.emulator import Emulator

    with Emulator() as emulator:
        api = emulator.client()
        ...

From a shell: ``python -m ubiops.emulator``.
"""

from __future__ import annotations

from importlib.util import find_spec

_REQUIRED = ("jsonschema", "multipart", "sqlalchemy", "starlette", "uvicorn", "yaml")

_missing = [name for name in _REQUIRED if find_spec(name) is None]
if _missing:
    raise ImportError(f"The emulator needs {', '.join(_missing)}: pip install 'ubiops[emulator]'")

from ubiops.emulator.server import Emulator  # noqa: E402 - a missing dependency is to be named first

__all__ = ["Emulator"]
