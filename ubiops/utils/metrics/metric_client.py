"""Values of custom metrics, sent in the background."""

from __future__ import annotations

import atexit
import logging
import os
import random
import weakref
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from queue import Empty, SimpleQueue
from threading import Thread

from ubiops.api_client import ApiClient
from ubiops.clock import monotonic
from ubiops.configuration import Configuration
from ubiops.exceptions import ApiException, ApiValueError
from ubiops.utils.arguments import Client, check_seconds, core_api, invalid
from ubiops.utils.metrics.metric_utils import Metric, TimeSeries
from ubiops.utils.polling import PASSING

__all__ = ["MetricClient"]

_logger = logging.getLogger("ubiops.utils")

# Seconds to send the remaining values at the end.
_LEAVING = 10.0
# The oldest values that the server accepts.
_OLDEST = timedelta(minutes=2)


class MetricClient(Thread):
    """Sends values of a project's custom metrics, in a background thread that doesn't keep the program from ending.

    `start` begins, `stop` ends; the end of the program stops it too. Values that couldn't be sent are retried with the
    next ones, until they are two minutes old. Values that the server took without answering count twice.

    Args:
        project_name (str): Name of the project.
        api_client (ApiClient | CoreApi | None): The client to use. Inside a deployment it may be None: ``INT_API_URL``
            and ``INT_API_TOKEN``, which the service sets there, are used.
        insert_frequency (float): Seconds between two transmissions, above 0.
        debug (bool): Whether to print what is sent.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong, or there is neither a client nor both of the variables.
    """

    def __init__(
        self, project_name: str, api_client: Client | None = None, insert_frequency: float = 60, debug: bool = False
    ) -> None:
        check_seconds("insert_frequency", "MetricClient", insert_frequency)
        if insert_frequency <= 0:
            raise invalid("insert_frequency", "MetricClient", f"must be above 0, not {insert_frequency}")
        super().__init__(name="ubiops-metrics", daemon=True)
        self.project_name = project_name
        self.insert_frequency = insert_frequency
        self.debug = debug
        self._api = core_api(_internal_client() if api_client is None else api_client, "MetricClient")
        # Without a lock, which a signal could leave locked: the ends of a deque are thread-safe.
        self._logged: deque[Metric] = deque()
        self._series: dict[object, TimeSeries] = {}
        # No `Event`, for the same reason: its lock is one of Python's.
        self._stopping = False
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._pid = os.getpid()

    def start(self) -> None:
        """Start to send values, every `insert_frequency` seconds from a random moment on."""
        super().start()
        _running.add(self)

    def log_metric(self, metric_name: str, labels: Mapping[str, str], value: float) -> None:
        """Add a value, to be sent with the next ones.

        Args:
            metric_name (str): Name of the metric, beginning with ``custom.``.
            labels (dict[str, str]): Labels of the value; an empty dict for none.
            value (float): The value, a finite number.

        Raises:
            ApiValueError, ApiTypeError: An argument is wrong.
        """
        self._logged.append(Metric(metric_name, labels, value))

    def get_timeseries(self, metric: Metric) -> TimeSeries:
        """The unsent values with the name and labels of this one."""
        key = metric.name, frozenset(metric.labels.items())
        return self._series.setdefault(key, TimeSeries(metric.name, metric.labels))

    def run(self) -> None:
        """Send logged values until it is stopped."""
        pause = random.uniform(0, self.insert_frequency)
        while not self._is_stopped_within(pause):
            self._send(max(self.insert_frequency, _LEAVING))
            pause = self.insert_frequency
        end = monotonic() + _LEAVING
        while (left := end - monotonic()) > 0 and self._unsent:
            self._send(left)
            if self._unsent:
                self._is_stopped_within(min(0.5, left))

    def _is_stopped_within(self, seconds: float) -> bool:
        with suppress(Empty):
            self._wakes.get(timeout=seconds)
        return self._stopping

    def stop(self, timeout: float | None = None) -> None:
        """Send the remaining values, and end. Calling it again does nothing.

        Values that can't be sent in time are lost; a warning in the log says how many.

        Args:
            timeout (float | None): Seconds to wait, at most 10; None for 10.
        """
        first, self._stopping = not self._stopping, True
        if first:
            self._wakes.put(None)
        _running.discard(self)
        if self.is_alive():
            self.join(_LEAVING if timeout is None else min(max(timeout, 0), _LEAVING))
        if first and self._unsent:
            _logger.warning("%d values of metrics of project %s are lost", self._unsent, self.project_name)

    @property
    def _unsent(self) -> int:
        return len(self._logged) + sum(len(series.values) for series in list(self._series.values()))

    def _send(self, seconds: float) -> None:
        """Send the logged values, with one call for each series, within `seconds`."""
        end = monotonic() + seconds
        while self._logged:
            metric = self._logged.popleft()
            self.get_timeseries(metric).insert(metric)
        for key, series in list(self._series.items()):
            if (left := end - monotonic()) > 0 and self._send_series(series, left):
                del self._series[key]

    def _send_series(self, series: TimeSeries, seconds: float) -> bool:
        """Send a series; returns whether it is done with."""
        self._drop_old(series)
        values = series.get_values_formatted()
        if not values:
            return True
        if self.debug:
            print(f"{len(values)} values of {series.get_name()} {series.labels}", flush=True)
        data = {"metric": series.get_name(), "labels": series.labels, "data": values}
        try:
            self._api.time_series_data_aggregate(self.project_name, data, _request_timeout=seconds)
        except PASSING as error:
            _logger.info("%d values of %s will be sent again: %s", len(values), series.get_name(), error.reason)
            return False
        except ApiException as error:
            answer = " ".join(str(error).split())
            _logger.warning("%d values of %s are lost: %s", len(values), series.get_name(), answer)
        series.values.clear()
        return True

    def _drop_old(self, series: TimeSeries) -> None:
        """Drop the values that the server no longer accepts."""
        oldest = datetime.now(timezone.utc) - _OLDEST
        dropped = 0
        while series.values and series.values[0][0] < oldest:
            series.values.popleft()
            dropped += 1
        if dropped:
            _logger.warning("%d values of %s are lost: they couldn't be sent in time", dropped, series.get_name())


_running: weakref.WeakSet[MetricClient] = weakref.WeakSet()


@atexit.register
def _stop_running() -> None:
    """Send the remaining values before the interpreter exits."""
    for client in list(_running):
        # A forked process leaves this to its parent.
        if client._pid == os.getpid():
            client.stop()


def _internal_client() -> ApiClient:
    host, token = os.environ.get("INT_API_URL"), os.environ.get("INT_API_TOKEN")
    if not host or not token:
        raise ApiValueError(
            "MetricClient needs an `api_client`, or the environment variables INT_API_URL and INT_API_TOKEN, which "
            "are set inside a deployment: pass a client"
        )
    key = token if " " in token else f"Token {token}"
    return ApiClient(Configuration(host=host, api_key={"Authorization": key}))
