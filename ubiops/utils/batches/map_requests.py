"""`map_requests`: inputs are sent in batches, and results are collected in pages and returned in order."""

from __future__ import annotations

import atexit
import math
import os
import weakref
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal

from ubiops.exceptions import ApiTypeError, ApiValueError
from ubiops.utils.arguments import (
    Client,
    check_seconds,
    core_api,
    helper,
    invalid,
    wrong_type,
)
from ubiops.utils.batches.request_map import RequestMap
from ubiops.utils.batches.results import MappedRequest
from ubiops.utils.batches.settings import Settings
from ubiops.utils.batches.target import LIMITS

__all__ = ["map_requests"]

_FUNCTION = "map_requests"
_BATCHES_IN_FLIGHT = 4
_SHORTEST_REQUEST, _LONGEST_REQUEST = 10, 172_800


@helper
def map_requests(
    client: Client,
    project_name: str,
    deployment_name: str | None = None,
    pipeline_name: str | None = None,
    version: str | None = None,
    *,
    inputs: Iterable[Mapping[str, Any] | str],
    chunk_size: int | None = None,
    max_in_flight: int | None = None,
    timeout: float | None = None,
    on_error: Literal["raise", "return"] = "raise",
    as_completed: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    skip: int = 0,
    request_timeout: int | None = None,
    quiet: bool = False,
) -> Generator[MappedRequest, None, None]:
    """Make one request for each input, however many there are, and yield the results in the order of the inputs.

    The inputs are read as they are needed and sent in batches; the results are collected in pages. The inputs and
    results are never all in memory: reading and sending wait for the results to be taken. All inputs go to the same
    version. Nothing is sent until the first result is asked for.

    If the server refuses a batch, the input at fault is found by halving it, and the others are sent. When the queue is
    full, it waits, with fewer requests outstanding. A batch whose answer was lost is looked up among the server's
    requests and sent again only if it isn't found within 10 seconds. If that can't be decided, its inputs are in doubt.

    Leaving the loop, Ctrl-C or an error cancels the outstanding requests, in at most 10 seconds; requests to pipelines,
    which can't be cancelled, are deleted instead. A warning in the log names those that couldn't be. With a
    `checkpoint`, nothing is cancelled: the next run collects the results.

    Args:
        client: The client to use.
        project_name: Name of the project.
        deployment_name: Name of the deployment that the requests go to.
        pipeline_name: Name of the pipeline, instead of a deployment.
        version: Name of the version; by default the default version at the start.
        inputs: The inputs, one for each request: dictionaries of input fields to values for structured input, strings
            for plain input. A generator is read lazily.
        chunk_size: Inputs per batch, by default the most that are possible: 1 to 250 for a deployment, 1 to 100 for a
            pipeline. A batch has fewer if the inputs come slowly.
        max_in_flight: Maximum number of outstanding requests; by default four batches. In order, at most as many again
            are finished and wait for an earlier one.
        timeout: Seconds for the whole map, from the first result that is asked for; None for no limit.
        on_error: With ``raise``, the first failure ends the map, after the results before it. With ``return``, each
            failure is an item with an `error`, and the map goes on.
        as_completed: Whether to return the results as they come; their `index` tells which input they belong to.
        checkpoint: File that records what was sent. The same call with the same inputs and this file continues where an
            earlier run ended, however it ended: it returns all results, from the first on, and sends no input again.
            The file contains ids and digests, no inputs and no results, so the results must still be at the server
            (`request_retention_time` of the version).
        skip: Number of inputs to skip at the front, such as those whose results an earlier run has saved.
        request_timeout: Seconds that each request may run, 10 to 172800 (48 hours), counted from its start; by default
            14400 (4 hours).
        quiet: Whether to show no progress.

    Yields:
        MappedRequest: One for each input from `skip` on.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong, the version doesn't keep results, or the checkpoint is in use
            or belongs to another job or other inputs; nothing was sent.
        InvalidInput: An input can't be converted to JSON (before its batch is sent), or the server refused it; `index`
            tells which.
        RequestFailed: A request failed, was cancelled elsewhere, or was deleted before its result was collected;
            `index` tells which.
        RequestsInDoubt: The answer to a batch was lost, and its requests can't be told from others; `indexes` tells
            which.
        WaitTimeout: The `timeout` is over.
        ApiFileError: The checkpoint can't be opened or written.
        ApiException: The API refused or failed a call, or couldn't be reached for 5 minutes.

    Uses the operations ``batch_deployment_version_requests_create``, ``deployment_version_requests_batch_get``,
    ``deployment_version_requests_list`` and ``deployment_version_requests_update`` or those of pipelines. It asks
    ``deployments_get`` for the default version, and ``deployment_versions_get`` whether results are kept.
    """
    if (deployment_name is None) == (pipeline_name is None):
        raise ApiValueError("`map_requests` takes either `deployment_name` or `pipeline_name`: pass one of them")
    kind, name = ("deployment", deployment_name) if pipeline_name is None else ("pipeline", pipeline_name)
    limit = LIMITS[kind]
    _check_inputs(inputs)
    _check_int("chunk_size", chunk_size, 1, limit)
    _check_int("max_in_flight", max_in_flight, chunk_size or 1)
    _check_int("skip", skip, 0)
    _check_int("request_timeout", request_timeout, _SHORTEST_REQUEST, _LONGEST_REQUEST)
    check_seconds("timeout", _FUNCTION, timeout)
    if timeout is not None and timeout <= 0:
        raise invalid("timeout", _FUNCTION, f"must be above 0, got {timeout}")
    if checkpoint is not None and not isinstance(checkpoint, (str, os.PathLike)):
        raise wrong_type("checkpoint", _FUNCTION, "a path or None", checkpoint)
    if on_error not in ("raise", "return"):
        raise invalid("on_error", _FUNCTION, f"must be 'raise' or 'return', got {on_error!r}")
    in_flight = max_in_flight or _BATCHES_IN_FLIGHT * (chunk_size or limit)
    settings = Settings(
        project_name,
        kind,
        str(name),
        version,
        chunk_size=chunk_size or min(limit, in_flight),
        max_in_flight=in_flight,
        timeout=None if timeout is None or math.isinf(timeout) else timeout,
        tolerant=on_error == "return",
        ordered=not as_completed,
        checkpoint=checkpoint,
        skip=skip,
        request_timeout=request_timeout,
        quiet=quiet,
    )
    running = RequestMap(core_api(client, _FUNCTION), inputs, settings).run()
    _running.add(running)
    return running


_running: weakref.WeakSet[Generator[MappedRequest, None, None]] = weakref.WeakSet()


@atexit.register
def _close_running() -> None:
    """Cancel outstanding requests before the interpreter exits."""
    for running in list(_running):
        # Another thread may be running it.
        with suppress(ValueError):
            running.close()


def _check_inputs(inputs: Any) -> None:
    problem = None
    if isinstance(inputs, (str, bytes, Mapping)):
        problem = (
            f"expected an iterable of inputs, one for each request, got one {type(inputs).__name__}: put it in a list"
        )
    elif hasattr(inputs, "columns") and hasattr(inputs, "to_dict"):
        # Iterating over a table yields the names of its columns.
        problem = "expected an iterable of inputs, got a table: pass its .to_dict('records')"
    elif not isinstance(inputs, Iterable):
        problem = f"expected an iterable of inputs, got {inputs!r}"
    if problem is not None:
        raise ApiTypeError(str(invalid("inputs", _FUNCTION, problem)))


def _check_int(name: str, value: Any, least: int, most: int | None = None) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, _FUNCTION, "int", value)
    if value < least or (most is not None and value > most):
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise invalid(name, _FUNCTION, f"must be an int {bounds}, got {value}")
