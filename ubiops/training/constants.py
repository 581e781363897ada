"""The names that training uses."""

from __future__ import annotations

__all__ = ["DEFAULT_TRAINING_BUCKET_NAME", "DEFAULT_TRAINING_DEPLOYMENT_NAME", "TEMPLATE_DEPLOYMENT_NAME"]

DEFAULT_TRAINING_DEPLOYMENT_NAME = "training-base-deployment"
"""The deployment whose versions are experiments."""
DEFAULT_TRAINING_BUCKET_NAME = "SYS_DEFAULT_BUCKET"
"""The environment variable of an experiment that names its bucket."""
TEMPLATE_DEPLOYMENT_NAME = "training-base-deployment"
"""The template that the deployment is created from, and that contains the code of experiments."""
