"""Requests that nobody thought of, made from the document: ``tox run -e fuzz``."""
