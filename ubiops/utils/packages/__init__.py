"""Deployment packages: their files, and whether they can be deployed."""
