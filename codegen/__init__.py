"""Generates the document and, from it, the client's declarations and their reference; not part of the package.

`python -m codegen` writes them from `codegen/document`, `python -m codegen --check` checks that they are up to date.
"""

VERSION = "5.0.0"
"""Version of the package, written to `ubiops/__init__.py`."""
