"""The checks of `ubiops.utils.validate`, under their names in newer clients."""
