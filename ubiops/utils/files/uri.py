"""The URI by which requests name a file of a bucket."""

from __future__ import annotations

from typing import Any

from ubiops.utils.arguments import invalid, wrong_type

__all__ = ["SCHEME", "UbiOpsFile", "parse"]

SCHEME = "ubiops-file://"


class UbiOpsFile(str):
    """A file in a bucket. It is a `str`: its URI, ``ubiops-file://bucket/name``.

    It is immutable, and compares and sorts as the URI does::

        file = UbiOpsFile("default", "2022/cars.csv")
        api.deployment_requests_create("lab", "count-cars", {"cars": file})

    Args:
        bucket: Name of the bucket.
        file: Name of the file in the bucket, slashes included. It is used literally, nothing is encoded.

    Raises:
        ApiTypeError: The bucket's or the file's name isn't a string.
        ApiValueError: The bucket's or the file's name is empty, or the bucket's contains a slash.
    """

    __slots__ = ()

    def __new__(cls, bucket: str, file: str) -> UbiOpsFile:
        for argument, value in (("bucket", bucket), ("file", file)):
            if not isinstance(value, str):
                raise wrong_type(argument, "UbiOpsFile", "str", value)
        if not bucket or "/" in bucket:
            raise invalid("bucket", "UbiOpsFile", f"must be the name of a bucket, not {bucket!r}")
        if not file:
            raise invalid("file", "UbiOpsFile", "must not be empty")
        return super().__new__(cls, f"{SCHEME}{bucket}/{file}")

    def __reduce__(self) -> tuple[type[UbiOpsFile], tuple[str, str]]:
        return UbiOpsFile, (self.bucket, self.file)

    def __repr__(self) -> str:
        return f"UbiOpsFile({self.bucket!r}, {self.file!r})"

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.remove_file_prefix(self).partition("/")[0]

    @property
    def file(self) -> str:
        """Name of the file in the bucket."""
        return self.remove_file_prefix(self).partition("/")[2]

    @property
    def file_uri(self) -> str:
        """The URI as a plain string."""
        return str(self)

    @classmethod
    def from_uri(cls, file_uri: str) -> UbiOpsFile:
        """The file that a URI names.

        Raises:
            ApiValueError: It doesn't have the form ``ubiops-file://bucket/name``.
        """
        return parse(file_uri, "UbiOpsFile.from_uri")

    @staticmethod
    def validate_uri(file_uri: str) -> str:
        """Check the form of a URI, and return it; whether the file exists isn't checked.

        Raises:
            ApiValueError: It doesn't have the form ``ubiops-file://bucket/name``.
        """
        return str(parse(file_uri, "UbiOpsFile.validate_uri"))

    @staticmethod
    def remove_file_prefix(file_uri: str) -> str:
        """A URI without its ``ubiops-file://``: ``bucket/name``; any other string is returned unchanged."""
        return file_uri.removeprefix(SCHEME)


def parse(file_uri: Any, function: str) -> UbiOpsFile:
    """The file that a URI names.

    Args:
        file_uri: The URI.
        function: Name of the function that the user called, for the error.

    Raises:
        ApiTypeError: It isn't a string.
        ApiValueError: It isn't the URI of a file.
    """
    if not isinstance(file_uri, str):
        raise wrong_type("file_uri", function, "str", file_uri)
    if file_uri.startswith(SCHEME):
        bucket, _, name = UbiOpsFile.remove_file_prefix(file_uri).partition("/")
        if bucket and name:
            return UbiOpsFile(bucket, name)
    raise invalid("file_uri", function, f"must be {SCHEME}bucket/name, not {file_uri!r}")
