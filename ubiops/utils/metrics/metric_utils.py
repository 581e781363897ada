"""Values of custom metrics that are to be sent."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from numbers import Real
from typing import Any

from ubiops.utils.arguments import invalid, wrong_type

__all__ = ["Metric", "TimeSeries"]


class Metric:
    """A value of a metric, now.

    Args:
        metric_name (str): Name of the metric, beginning with ``custom.``.
        labels (dict[str, str]): Labels of the value; an empty dict for none.
        value (float): The value, a finite number.

    Attributes:
        name (str): The same as ``metric_name``.
        labels (dict[str, str]): A copy.
        value (float): The same.
        timestamp (datetime): When it was made, in UTC.

    Raises:
        ApiTypeError, ApiValueError: One of them has another type, or isn't a finite number.
    """

    def __init__(self, metric_name: str, labels: Mapping[str, str], value: float) -> None:
        if not isinstance(metric_name, str):
            raise wrong_type("metric_name", "log_metric", "str", metric_name)
        if not isinstance(labels, Mapping) or not all(
            isinstance(part, str) for pair in labels.items() for part in pair
        ):
            raise wrong_type("labels", "log_metric", "dict[str, str]", labels)
        # Type checkers don't accept a float as a Real.
        given: Any = value
        if isinstance(given, bool) or not isinstance(given, Real):
            raise wrong_type("value", "log_metric", "a number", value)
        if not math.isfinite(value):
            raise invalid("value", "log_metric", f"must be a finite number, not {value!r}")
        self.name = metric_name
        self.labels = dict(labels)
        self.value = float(value)
        self.timestamp = datetime.now(timezone.utc)


class TimeSeries:
    """The values of one metric with the same labels, in the order in which they were inserted.

    Args:
        metric_name (str): Name of the metric.
        labels (dict[str, str]): The labels.
    """

    def __init__(self, metric_name: str, labels: Mapping[str, str]) -> None:
        self._name = metric_name
        self.labels = dict(labels)
        self.values: deque[tuple[datetime, float]] = deque()

    def get_name(self) -> str:
        """The name of the metric."""
        return self._name

    def get_values(self) -> list[tuple[datetime, float]]:
        """The values, each with its time."""
        return list(self.values)

    def get_values_formatted(self) -> list[dict[str, Any]]:
        """The values, in the form of the API."""
        return [{"date": moment.isoformat(), "value": value} for moment, value in list(self.values)]

    def insert(self, metric: Metric) -> None:
        """Add a value."""
        self.values.append((metric.timestamp, metric.value))
