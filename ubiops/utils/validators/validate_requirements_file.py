"""The check of a ``requirements.txt``, under the name that newer clients have it by."""

from ubiops.utils.validate import validate_requirements_file

__all__ = ["validate_requirements_file"]
