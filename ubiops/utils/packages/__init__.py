"""Deployment packages: what belongs to them, and whether they can be deployed."""
