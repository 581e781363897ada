"""Modules at the names that they had in release 3.12.1, with the classes that programs may have pickled.

`ubiops.utils` looks here for modules that it doesn't have.
"""
