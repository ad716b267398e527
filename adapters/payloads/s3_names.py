"""Names of objects: digest and window. Why, is told in `s3`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def window(now: datetime) -> str:
    """The half day of `now`, as it stands in names."""
    utc = now.astimezone(UTC)
    return f"{utc:%Y%m%d}{'a' if utc.hour < 12 else 'b'}"


def end_of(name: str) -> datetime | None:
    """The end of a window, after which nobody adopts an object of it; None for other names."""
    half = {"a": 12, "b": 24}.get(name[-1:])
    try:
        day = datetime.strptime(name[:-1], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return None if half is None else day + timedelta(hours=half)


def folder_of(digest: str) -> str:
    """The folder with all copies of the same bytes."""
    return f"{digest[:2]}/{digest}"
