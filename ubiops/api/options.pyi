"""What the result of a method depends on, for type checkers: the keywords of `CallOptions`, one class a result."""

from collections.abc import Mapping
from typing import Literal, TypedDict

from typing_extensions import Required

from ubiops.operation import CallOptions as CallOptions

class _Common(TypedDict, total=False):
    _request_timeout: float | tuple[float, float] | None
    _return_http_data_only: Literal[False] | None
    _headers: Mapping[str, str] | None
    _request_stream: bool
    _progress_bar: bool

class Decoded(_Common, total=False):
    async_req: Literal[False] | None
    _preload_content: Literal[True]

class DecodedLater(_Common, total=False):
    async_req: Required[Literal[True]]
    _preload_content: Literal[True]

class RawOnly(_Common, total=False):
    async_req: Literal[False] | None
    _preload_content: Required[Literal[False]]

class RawOnlyLater(_Common, total=False):
    async_req: Required[Literal[True]]
    _preload_content: Required[Literal[False]]

class Raw(_Common, total=False):
    async_req: Literal[False] | None
    _preload_content: Literal[False]

class RawLater(_Common, total=False):
    async_req: Required[Literal[True]]
    _preload_content: Literal[False]

class Saved(_Common, total=False):
    async_req: Literal[False] | None
    _preload_content: Required[Literal[True]]

class SavedLater(_Common, total=False):
    async_req: Required[Literal[True]]
    _preload_content: Required[Literal[True]]
