"""The checks of `ubiops.utils.validate`, under the names that newer clients have them by."""
