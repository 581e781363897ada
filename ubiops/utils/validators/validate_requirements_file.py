"""The check of a ``requirements.txt``, under its name in newer clients."""

from ubiops.utils.validate import validate_requirements_file

__all__ = ["validate_requirements_file"]
