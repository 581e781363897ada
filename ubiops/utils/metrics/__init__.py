"""Metrics: read over time. The module can be called as its function `metrics`."""

from __future__ import annotations

from ubiops.utils.callable_module import make_callable
from ubiops.utils.metrics.measurements import MetricPoint, metrics

__all__ = ["MetricPoint", "metrics"]

make_callable(__name__)
