"""Files: streamed up in a multipart body, streamed down to disk."""

from __future__ import annotations

import errno
import io
import mimetypes
import ntpath
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import Message
from typing import Any, BinaryIO
from urllib.parse import unquote

from ubiops.exceptions import ApiFileError, ApiTypeError, ApiValueError
from ubiops.schema import Invalid, write_text

FileLike = str | os.PathLike[str] | BinaryIO
"""What an upload accepts: a path, or an object open for reading bytes."""

__all__ = [
    "FileLike",
    "Multipart",
    "Stream",
    "Upload",
    "filename_of",
    "replacing",
    "save",
    "write_file",
]

BLOCK = 1 << 20


class Stream:
    """A request body that is read block by block while it is sent.

    Attributes:
        length (int | None): Its length in bytes; None if unknown.
        rewindable (bool): Whether it can be sent again.
    """

    length: int | None = None
    rewindable: bool = True

    def __iter__(self) -> Iterator[bytes]:
        raise NotImplementedError


class Upload(Stream):
    """A file to send: a path, opened again for each attempt, or a file object, sent from its current position.

    Args:
        source: Path, or object whose ``read`` returns `bytes`.
        name: File name to send; by default the last part of the path.

    Raises:
        ApiFileError: It is missing, unreadable, a folder, or not a file at all.
    """

    def __init__(self, source: Any, name: str | None = None) -> None:
        self._source = source
        self._start = 0
        if isinstance(source, (str, os.PathLike)):
            self.name = name or os.path.basename(os.fspath(source))
            self._measure_path(os.fspath(source))
        elif callable(getattr(source, "read", None)):
            given = getattr(source, "name", None)
            # The name of an unnamed temporary file is a number.
            self.name = name or (os.path.basename(given) if isinstance(given, str) else "") or "file"
            self._measure_object(source)
        else:
            hint = ": wrap it in io.BytesIO" if isinstance(source, (bytes, bytearray)) else ""
            raise ApiFileError(f"must be a path or an object open for reading bytes, not {type(source).__name__}{hint}")

    def _measure_path(self, path: str) -> None:
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ApiFileError.of(f"can't read the file {path!r}: {reason}", error) from error
        if stat.S_ISDIR(status.st_mode):
            raise ApiFileError.from_errno(f"must be a file, but {path!r} is a folder: zip it first", errno.EISDIR, path)
        if not os.access(path, os.R_OK):
            raise ApiFileError.from_errno(f"can't read the file {path!r}: Permission denied", errno.EACCES, path)
        if stat.S_ISREG(status.st_mode):
            self.length = status.st_size
        else:
            self.rewindable = False

    def _measure_object(self, source: Any) -> None:
        if getattr(source, "closed", False):
            raise ApiFileError("must be open, but the file object is closed")
        try:
            gives_text = isinstance(source, io.TextIOBase) or isinstance(source.read(0), str)
        except (OSError, ValueError) as error:
            raise ApiFileError.of(f"must be open for reading: {error}", error) from error
        if gives_text:
            raise ApiFileError("must return bytes, not text: open the file with mode 'rb'")
        try:
            self._start = source.tell()
            source.seek(0, os.SEEK_END)
            self.length = max(source.tell() - self._start, 0)
            source.seek(self._start)
        except (AttributeError, OSError, ValueError):
            self.length, self.rewindable = None, False

    def __iter__(self) -> Iterator[bytes]:
        try:
            if isinstance(self._source, (str, os.PathLike)):
                with open(self._source, "rb") as file:
                    if self._start:
                        file.seek(self._start)
                    yield from self._blocks(file)
            else:
                if self.rewindable:
                    self._source.seek(self._start)
                yield from self._blocks(self._source)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ApiFileError.of(f"the file {self.name!r} could not be read to its end: {reason}", error) from error

    def part(self, offset: int, length: int) -> Upload:
        """A part of a file that can be rewound, in bytes; it is sent as a file of its own."""
        import copy

        part = copy.copy(self)
        part._start, part.length = self._start + offset, length
        return part

    def _blocks(self, file: Any) -> Iterator[bytes]:
        left = self.length
        while left is None or left > 0:
            block = file.read(BLOCK if left is None else min(BLOCK, left))
            if not block:
                if left is None:
                    return
                raise ValueError("it became shorter while it was sent")
            yield block
            if left is not None:
                left -= len(block)


def __getattr__(name: str) -> Any:
    if name == "DownloadedFile":
        # In pickles of 3.12.1: a path that could be read, and the file's name.
        return lambda path, name: path
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Multipart(Stream):
    """A ``multipart/form-data`` body that streams its files.

    Args:
        fields: Pairs of name and value; a value is a scalar, an `Upload`, or a tuple of file name, content (`bytes`,
            `str`, path object or file object) and, where it can't be guessed, content type.
    """

    def __init__(self, fields: Iterable[tuple[str, Any]]) -> None:
        boundary = os.urandom(16).hex()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts: list[bytes | Upload] = []
        for name, value in fields:
            head, content = _part(name, value)
            self._parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode(errors="replace"), content, b"\r\n"]
        self._parts.append(f"--{boundary}--\r\n".encode())
        uploads = [part for part in self._parts if isinstance(part, Upload)]
        self.rewindable = all(upload.rewindable for upload in uploads)
        if all(upload.length is not None for upload in uploads):
            self.length = sum((part.length or 0) if isinstance(part, Upload) else len(part) for part in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, Upload):
                yield from part
            else:
                yield part


def _part(name: str, value: Any) -> tuple[str, bytes | Upload]:
    if not isinstance(name, str):
        raise ApiTypeError(f"Invalid name of a field, {name!r}: expected str, got {type(name).__name__}")
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, Upload):
        value = (value.name, value)
    if not isinstance(value, (tuple, list)):
        return head, value if isinstance(value, bytes) else _encoded(name, value)
    filename, content, *rest = value
    if not isinstance(filename, str):
        problem = f"a file's name must be str, not {type(filename).__name__}"
        raise ApiTypeError(f"Invalid value for the field {name!r}, {problem}")
    content_type = rest[0] if rest else mimetypes.guess_type(filename)[0] or "application/octet-stream"
    if re.search(r"[\r\n\0]", str(content_type)):
        raise ApiValueError(f"Invalid value for the field {name!r}, the content type {content_type!r} isn't one line")
    if not isinstance(content, (str, bytes, Upload)):
        content = Upload(content, filename)
    head += f'; filename="{_quoted(filename)}"\r\nContent-Type: {content_type}'
    return head, _encoded(name, content) if isinstance(content, str) else content


def _encoded(name: str, value: Any) -> bytes:
    try:
        return write_text(value).encode()
    except UnicodeEncodeError as error:
        problem = f"can't be encoded as UTF-8: {error.reason}"
        raise ApiValueError(f"Invalid value for the field {name!r}, {problem}") from None
    except Invalid as error:
        raise ApiValueError(f"Invalid value for the field {name!r}, {error.problem}") from None


def _quoted(name: str) -> str:
    # As in HTML and urllib3; readers in C end a name at NUL.
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").replace("\0", "%00")


def filename_of(content_disposition: str | None) -> str | None:
    """The file name of a ``Content-Disposition`` header (RFC 6266), reduced to its last part; None without one."""
    if not content_disposition:
        return None
    message = Message()
    # Characters that can't be encoded never come over the wire, and would break `email`.
    message["Content-Disposition"] = content_disposition.encode(errors="replace").decode()
    names: Sequence[tuple[str, Any]]
    try:
        names = message.get_params(header="Content-Disposition", failobj=[])
    except (TypeError, ValueError):
        # `email` puts the numbered parts of a name in order, whatever their numbers are.
        return None
    given = [value for key, value in names if key == "filename"]
    # The extended form, which states its encoding, comes as a tuple and takes precedence.
    extended = [value for value in given if isinstance(value, tuple)]
    name: str | None = None
    if extended:
        charset, _, text = extended[0]
        name = text.encode("latin-1", "replace").decode(_known(charset), "replace")
    elif given:
        # Percent-encoded or not, in quotes of either kind: servers write the plain form in all these ways.
        name = unquote(given[0].encode("latin-1", "replace").decode("utf-8", "replace").strip().strip("'\""))
    return last_part(name)


def last_part(name: str | None) -> str | None:
    """A file name from elsewhere, reduced to one that stays in its folder; None if nothing is left of it."""
    # Split as on Windows, which knows all separators, and drives.
    name = re.sub(r"[\x00-\x1f\x7f]", "", ntpath.basename(name or "")).strip()
    # File systems accept names of up to 255 bytes.
    return None if name in ("", ".", "..") else name.encode(errors="replace")[-200:].decode(errors="ignore")


def _known(charset: str | None) -> str:
    return charset.lower() if charset and charset.lower() in ("utf-8", "iso-8859-1") else "utf-8"


def save(blocks: Iterable[bytes], folder: str | None, name: str | None) -> str:
    """Write an answer's body into a folder under the name that the server sent.

    The file is private (0600), appears only once it is complete, and never replaces another.

    Args:
        blocks: The body.
        folder: Folder to write to; by default the system's folder for temporary files.
        name: File name; without one it is generated.

    Returns:
        The path of the file.
    """
    folder = folder or tempfile.gettempdir()
    name = name or f"ubiops-{os.urandom(8).hex()}"
    stem, extension = os.path.splitext(name)
    path = os.path.join(folder, name)
    with _part_file(folder) as part:
        part.writelines(blocks)
        part.close()
        while True:
            try:
                _move_to_free_name(part.name, path)
            except FileExistsError:
                path = os.path.join(folder, f"{stem}-{os.urandom(4).hex()}{extension}")
            else:
                return path


def write_file(blocks: Iterable[bytes], path: str) -> None:
    """Write blocks to a path of the caller's; an existing file is replaced once they are complete."""
    with replacing(path) as file:
        file.writelines(blocks)


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A file to write, which replaces the one at a path of the caller's when the block ends without an error."""
    try:
        with _part_file(os.path.dirname(path) or ".") as part:
            yield part
            part.close()
            os.chmod(part.name, _mode_for(path, f"{part.name}.mode"))
            os.replace(part.name, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            # Python's error names no file if writing fails, as on a full disk.
            error.filename = path
        raise


@contextmanager
def _part_file(folder: str) -> Iterator[BinaryIO]:
    """A private file with a temporary name, to be moved; it is deleted if something fails."""
    path = os.path.join(folder, f".ubiops-{os.urandom(8).hex()}.part")
    try:
        with open(path, "xb", opener=_open_private) as file:
            yield file
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _move_to_free_name(part: str, path: str) -> None:
    """Move a file to a path that doesn't exist, or raise `FileExistsError`."""
    try:
        os.link(part, path)
        os.unlink(part)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: reserve the name first.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.replace(part, path)


def _mode_for(path: str, probe: str) -> int:
    """The permissions of the file at a path; if it doesn't exist, those of a new file."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        # Reading the umask means changing it, for all threads.
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            return stat.S_IMODE(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
            os.unlink(probe)
