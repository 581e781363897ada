"""What users otherwise write by hand around the client, in one call each."""

from ubiops.utils.file_operations import download_file, upload_file

__all__ = ["download_file", "upload_file"]
