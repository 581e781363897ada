"""Requests that stream updates while they run."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from functools import cache
from typing import Any, TypeAlias

from ubiops import models
from ubiops.exceptions import ApiConnectionError, ApiException, ApiTimeoutError
from ubiops.frames import one_frame
from ubiops.operation import Body, Operation, Path, Query
from ubiops.rest import blocks_of
from ubiops.schema import reader
from ubiops.utils.arguments import (
    Client,
    core_api,
    helper,
    invalid,
    wrong_type,
)
from ubiops.utils.exceptions import IncompleteStream, RequestFailed, unexpected_answer

Update: TypeAlias = str | models.DeploymentRequestCreateResponse | models.PipelineRequestCreateResponse

__all__ = ["EventParser", "stream_deployment_request", "stream_pipeline_request", "stream_request"]

_RESPONSES = {"deployment": "DeploymentRequestCreateResponse", "pipeline": "PipelineRequestCreateResponse"}


@helper
def stream_deployment_request(
    client: Client,
    project_name: str,
    deployment_name: str,
    version: str | None = None,
    data: Any = None,
    timeout: int | None = 3600,
    full_response: bool = False,
) -> Generator[Update, None, None]:
    """Make a request to a deployment, and iterate over its updates as they come.

    The request is made when the first update is asked for. If the iterator is dropped before its end, the connection is
    closed and the request goes on at the server.

    Args:
        client (ApiClient | CoreApi): The client to use.
        project_name (str): Name of the project.
        deployment_name (str): Name of the deployment.
        version (str | None): Name of the version; None for the default one.
        data (dict | str | None): The input: a dictionary of input fields to values, or a string for plain input.
        timeout (int | None): Seconds that the request may take; None for the server's default. The client waits for
            each update for that long and 30 seconds more.
        full_response (bool): Whether the last item is the finished request, with its result.

    Yields:
        str: Each string that the deployment's code passed to ``context["streaming_update"]``.
        DeploymentRequestCreateResponse: At the end, with `full_response`.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        RequestFailed: The request failed: the message is its ``error_message``, ``last`` the request.
        IncompleteStream: The stream ended early: ``received`` are the updates that came.
        ApiException: The API refused or failed the call, couldn't be reached, or didn't answer with a stream of events.

    POST /projects/{project_name}/deployments/{deployment_name}/versions/{version}/requests/stream
    """
    return stream_request(
        client, project_name, "deployment", deployment_name, version, data, timeout, full_response=full_response
    )


@helper
def stream_pipeline_request(
    client: Client,
    project_name: str,
    pipeline_name: str,
    version: str | None = None,
    data: Any = None,
    timeout: int | None = 7200,
    full_response: bool = False,
) -> Generator[Update, None, None]:
    """Make a request to a pipeline, and iterate over its updates as they come.

    Arguments, items and errors are those of `stream_deployment_request`, with the name of a pipeline; at the end, with
    `full_response`, comes a `PipelineRequestCreateResponse`.

    POST /projects/{project_name}/pipelines/{pipeline_name}/versions/{version}/requests/stream
    """
    return stream_request(
        client, project_name, "pipeline", pipeline_name, version, data, timeout, full_response=full_response
    )


@helper
def stream_request(
    client: Client,
    project_name: str,
    reference_type: str,
    reference_name: str,
    version: str | None = None,
    data: Any = None,
    timeout: int | None = 3600,
    full_response: bool = False,
) -> Generator[Update, None, None]:
    """Make a request to a deployment or a pipeline, and iterate over its updates as they come.

    Arguments, items and errors are those of `stream_deployment_request`.

    Args:
        client (ApiClient | CoreApi): The client to use.
        project_name (str): Name of the project.
        reference_type (str): ``deployment`` or ``pipeline``.
        reference_name (str): Name of the deployment or pipeline.
        version (str | None): Name of the version; None for the default one.
        data (dict | str | None): The input.
        timeout (int | None): Seconds that the request may take.
        full_response (bool): Whether the last item is the finished request.
    """
    if reference_type not in _RESPONSES:
        problem = f"must be 'deployment' or 'pipeline', not {reference_type!r}"
        raise invalid("reference_type", "stream_request", problem)
    place = [project_name, reference_name, *([] if version is None else [version])]
    operation = _operation(reference_type, version is not None)
    api = core_api(client, operation.name)
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int)):
        raise wrong_type("timeout", operation.name, "int or None", timeout)
    return _updates(api, operation, [*place, data, timeout], reference_type, full_response)


@cache
def _operation(kind: str, of_version: bool) -> Operation:
    path = f"/projects/{{project_name}}/{kind}s/{{{kind}_name}}{'/versions/{version}' * of_version}/requests/stream"
    return Operation(
        f"stream_{kind}_request",
        "POST",
        path,
        Path("project_name", "str"),
        Path(f"{kind}_name", "str"),
        *[Path("version", "str")] * of_version,
        Body("data", "object", text=True),
        Query("timeout", "int"),
        server_timeout=("timeout", 3600),
    )


@one_frame
def _updates(
    api: Any, operation: Operation, arguments: list[Any], kind: str, full_response: bool
) -> Generator[Update, None, None]:
    options = {"_preload_content": False, "_headers": {"Accept": "text/event-stream"}}
    response = operation.call(api.api_client, arguments, options)
    parser = EventParser()
    received: list[str] = []
    what = f"The stream of a request to the {kind} {arguments[1]!r}"
    broken: ApiConnectionError | None = None
    with closing(response):
        try:
            limit = api.api_client.configuration.max_response_size
            for text in _texts(parser, blocks_of(response, at_once=True), limit):
                received.append(text)
                yield text
        except ApiTimeoutError:
            raise
        except ApiConnectionError as error:
            broken = error
        except ValueError:
            raise unexpected_answer(operation.name, "a stream of events", parser.line) from None
    if parser.result is None:
        raise IncompleteStream(f"{what} ended before its result", received) from broken
    error_message = parser.result.get("error_message")
    read = reader(_RESPONSES[kind])
    finished: Any = parser.result if read is None else read(parser.result)
    if error_message:
        raise RequestFailed(str(error_message), finished)
    if full_response:
        yield finished


def _texts(parser: EventParser, blocks: Iterable[bytes], limit: int) -> Iterator[str]:
    for block in blocks:
        yield from parser.feed(block)
        if parser.held > limit:
            raise ApiException(200, f"an event is larger than configuration.max_response_size ({limit} bytes)")
    yield from parser.end()


class EventParser:
    """Parses the events of a request from the bytes of an answer, without I/O.

    They are server-sent events: lines of ``data:`` and a text, and an empty line after each event. The space that the
    standard allows after the colon is part of the text here, since the service writes none. At the end comes the
    finished request, as JSON on its own line.

    Attributes:
        held (int): Characters of the event that isn't complete yet.
        line: The line that was read last, or can't be read.
        result: The finished request; None if it hasn't come.
    """

    _LINE_END = re.compile("\r\n|\r|\n")
    _FIELD = re.compile(r"[A-Za-z][\w-]*(:|$)")

    def __init__(self) -> None:
        # Servers may begin with a byte order mark.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._begun: list[str] = []
        self._after_cr = False
        self._data: list[str] = []
        self._closing: list[str] = []
        self.held = 0
        self.line = ""
        self.result: dict[str, Any] | None = None

    def feed(self, block: bytes) -> list[str]:
        """Take the next bytes, split anywhere, and return the texts of the events that they complete.

        Raises:
            ValueError: It isn't a stream of events.
        """
        return self._take(self._decoder.decode(block))

    def end(self) -> list[str]:
        """Note that no more bytes come, and return the texts without an empty line after them.

        Raises:
            ValueError: It isn't a stream of events.
        """
        return [*self._take(self._decoder.decode(b"", final=True) + "\n"), *self._event()]

    def _take(self, text: str) -> list[str]:
        if self._after_cr and text.startswith("\n"):
            text = text[1:]
            self._after_cr = False
        if text:
            self._after_cr = text.endswith("\r")
        texts: list[str] = []
        first, *others = self._LINE_END.split(text)
        self._begun.append(first)
        self.held += len(first)
        for begun in others:
            line, self._begun = "".join(self._begun), [begun]
            self.held += len(begun) - len(line)
            texts += self._take_line(line)
        return texts

    def _take_line(self, line: str) -> list[str]:
        self.line = line
        if self._closing or line.startswith("{"):
            return self._close(line)
        if not line:
            return self._event()
        if line.startswith(":"):
            return []
        if not self._FIELD.match(line):
            raise ValueError("not an event stream")
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value)
            self.held += len(value)
        return []

    def _event(self) -> list[str]:
        data, self._data = self._data, []
        self.held -= sum(map(len, data))
        return ["\n".join(data)] if data else []

    def _close(self, line: str) -> list[str]:
        """Read the finished request, which may take several lines."""
        texts = self._event()
        if self.result is None:
            self._closing.append(line)
            self.held += len(line)
            if line.rstrip().endswith("}"):
                with suppress(ValueError, RecursionError):
                    self.result = json.loads("\n".join(self._closing))
        return texts
