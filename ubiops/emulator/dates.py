"""Moments, as the API reads and writes them."""

from __future__ import annotations

from datetime import datetime, timezone

from dateutil.parser import isoparse

from ubiops.emulator.errors import invalid

_EARLIEST_YEAR, _LATEST_YEAR = 1970, 9990


def timestamp(moment: datetime) -> str:
    """A moment as the API writes it: ISO 8601 in UTC with milliseconds; such texts sort as the moments do."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")


def now() -> str:
    """The present moment as the API writes it."""
    return timestamp(datetime.now(timezone.utc))


def parse_date(name: str, text: str) -> datetime:
    """Parse a moment in ISO 8601; without a zone it is in UTC.

    Raises:
        ApiError: 400: the text is not such a moment.
    """
    try:
        # A plus that was not quoted in a query arrives as a space.
        moment = isoparse(text.strip().replace(" ", "+" if "T" in text else "T"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        if not _EARLIEST_YEAR <= moment.year <= _LATEST_YEAR:
            raise ValueError("out of range")
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{name}: '{text}' is not a date in ISO 8601, such as 2022-11-03T09:30:00+00:00") from error


def parse_moment(name: str, text: str) -> str:
    """Parse a moment, and write it as the store keeps it."""
    return timestamp(parse_date(name, text))
