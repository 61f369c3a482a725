"""Times in the format of HTTP (RFC 9110 section 5.6.7); this module reads no clock."""

from __future__ import annotations

import time

__all__ = ["http_date"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(seconds: float) -> bytes:
    """Seconds since the epoch as ``Sun, 06 Nov 1994 08:49:37 GMT``.

    `email.utils.formatdate` gives the same text, but its import would cost every start 1 ms.
    """
    utc = time.gmtime(seconds)
    day, month = _DAYS[utc.tm_wday], _MONTHS[utc.tm_mon - 1]
    clock = f"{utc.tm_hour:02}:{utc.tm_min:02}:{utc.tm_sec:02}"
    return f"{day}, {utc.tm_mday:02} {month} {utc.tm_year:04} {clock} GMT".encode()
