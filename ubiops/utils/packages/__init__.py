"""Deployment packages: their files and their checks."""
