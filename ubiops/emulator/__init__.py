"""An emulator of UbiOps on this machine, for tests and for work without an account. It really runs the uploaded code.

    from ubiops.emulator import Emulator

    with Emulator() as emulator:
        api = emulator.client()
        ...

From a shell: ``python -m ubiops.emulator``.
"""

from __future__ import annotations

from importlib.util import find_spec

_REQUIRED = {
    "croniter": "croniter",
    "h11": "h11",
    "jsonschema": "jsonschema",
    "lark": "lark",
    "packaging": "packaging",
    "python_multipart": "python-multipart",
    "re2": "google-re2",
    "simpleeval": "simpleeval",
    "sqlalchemy": "sqlalchemy",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "websockets": "websockets",
    "yaml": "pyyaml",
}
"""The modules that it imports, and the packages that contain them."""

if find_spec("fcntl") is None:
    raise ImportError("The emulator runs on Linux, macOS and in WSL, not on this system (it needs fcntl)")
_missing = [package for module, package in _REQUIRED.items() if find_spec(module) is None]
if _missing:
    raise ImportError(f"The emulator needs packages that are missing: pip install {' '.join(_missing)}")

# After the check above, which names missing dependencies.
from ubiops.emulator.faults import Fault  # noqa: E402
from ubiops.emulator.server import Emulator  # noqa: E402

__all__ = ["Emulator", "Fault"]
