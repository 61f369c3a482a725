"""Values of options: what people may write for a duration, a size, a list or a switch.

This module knows no option by name: `asgiserver.config.fields` says which kind each option has.
"""

from __future__ import annotations

import math
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["KINDS", "LARGEST", "OFF", "shown", "split_headers"]

# The value of a duration or a size that is switched off.
OFF = math.inf

# The largest value of each kind. The system counts descriptors, connections and processes with a
# C int, and sizes with 64 bits; clocks and timers go wrong at durations of more than a lifetime.
LARGEST = {"int": 2**31 - 1, "workers": 2**31 - 1, "size": 2**63 - 1, "seconds": 10**9}

LEVELS = {"trace": 5, "debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

# These patterns are compiled when they are first used, because few starts use any of them.
# RFC 9110 section 5.6.2 (token) and 5.5 (a field value has no CR, LF or NUL).
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER = rf"({_TOKEN})\s*:[ \t]*([^\x00\r\n]*?)[ \t]*"
_NEXT_HEADER = rf"\s*,\s*(?={_TOKEN}:)"

_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = rf"(?:{_NUMBER}(?:ms|[smhd]))+"
_DURATION_PART = rf"({_NUMBER})(ms|[smhd])"
_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = rf"({_NUMBER})\s*([kmgt])(?:ib)?"
_SIZE_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}

_TRUE = ("true", "yes", "on", "1", "t", "y")
_FALSE = ("false", "no", "off", "0", "f", "n")
_CERT_REQS = {"none": 0, "optional": 1, "required": 2, "0": 0, "1": 1, "2": 2}


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlong = 40


def shown(value: object) -> str:
    """`value` as text for a one-line error, cut where the value is long or deeply nested."""
    if isinstance(value, int) and value.bit_length() > 256:  # Python may refuse to convert it
        return f"a number of {value.bit_length()} bits"
    return _short.repr(value)


def _wrong(expected: str, value: object) -> ValueError:
    return ValueError(f"expected {expected}, not {shown(value)}")


def to_str(value: Any) -> str:
    """Text or a path. NUL is refused, because no path, name or address may contain it."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise _wrong("a string", value)
    if "\0" in value:
        raise _wrong("a string without NUL", value)
    try:
        value.encode("utf-8", "surrogateescape")  # so that any bytes of a command line are valid
    except UnicodeEncodeError:
        raise _wrong("a string that can be encoded", value) from None
    return value


def to_name(value: Any) -> str:
    """Text or a path that is not empty."""
    name = to_str(value)
    if not name:
        raise _wrong("a name or a path", value)
    return name


def _is_plain(value: Any) -> bool:
    """Whether `value` is text or a number of at most 64 bits, which `str` converts cheaply."""
    return isinstance(value, str) or (isinstance(value, int) and value.bit_length() <= 64)


def to_bool(value: Any) -> bool:
    """A boolean, 0 or 1, or one of the usual words for true and false."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if _is_plain(value) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _wrong("true or false", value)


def to_int(value: Any) -> int | None:
    """A whole number; ``off`` is None."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value.strip().lower() == "off":
            return None
        try:
            return int(value)
        except ValueError:  # the text is not digits, or it is thousands of digits
            pass
    raise _wrong("a whole number", value)


def to_seconds(value: Any) -> float:
    """Seconds: a number, ``500ms``, ``30s``, ``1m30s``, or ``off`` (infinite)."""
    seconds = -1.0
    if isinstance(value, str):
        text = value.strip().lower()
        if text == "off":
            return OFF
        if re.fullmatch(_NUMBER, text):
            seconds = float(text)
        elif re.fullmatch(_DURATION, text):
            parts = re.findall(_DURATION_PART, text)
            seconds = sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
        if seconds == OFF:  # a number of hundreds of digits overflows to infinity
            seconds = -1.0
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            pass
    if seconds >= 0:  # false for NaN
        return seconds
    raise _wrong("a duration such as 30, 500ms, 1m30s or off", value)


def to_size(value: Any) -> float:
    """Bytes: a whole number, ``64KiB``, ``16M`` (powers of 1024), or ``off`` (infinite)."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text == "off":
            return OFF
        match = re.fullmatch(_SIZE, text)
        try:
            if match:
                return int(float(match[1]) * _SIZE_UNITS[match[2]])
            if re.fullmatch(r"\d+", text):
                return int(text)
        except (ValueError, OverflowError):  # the number has too many digits
            pass
    elif value == OFF or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value  # type: ignore[no-any-return]
    raise _wrong("a size in bytes such as 65536, 64KiB, 16MiB or off", value)


def to_share(value: Any) -> float:
    """A part of a whole: a number from 0 to 1, or ``10%``."""
    share = -1.0
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(rf"{_NUMBER}%?", text):
            share = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        share = float(value) if -1 < value < 2 else -1.0
    if 0 <= share <= 1:  # false for NaN
        return share
    raise _wrong("a part such as 0.1 or 10%", value)


def to_list(value: Any) -> tuple[str, ...]:
    """One string or path, or several."""
    if isinstance(value, str | os.PathLike):
        value = (value,)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise _wrong("a list of strings", value)
    return tuple(to_str(item) for item in value)


def to_commas(value: Any) -> tuple[str, ...]:
    """Strings, as a list or as one text with commas between them."""
    items = (part.strip() for item in to_list(value) for part in item.split(","))
    return tuple(item for item in items if item)


def to_headers(value: Any) -> tuple[str, ...]:
    """``Name:Value`` strings, pairs of name and value, or a mapping."""
    if isinstance(value, str):
        value = (value,)
    elif isinstance(value, Mapping):
        value = value.items()
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise _wrong("a list of Name:Value", value)
    return tuple(_header(item) for item in value)


def _header(item: Any) -> str:
    text = item
    if isinstance(item, tuple | list) and len(item) == 2:
        pair = [part.decode("latin-1") if isinstance(part, bytes) else part for part in item]
        text = ":".join(pair) if all(isinstance(part, str) for part in pair) else None
    match = re.fullmatch(_HEADER, text) if isinstance(text, str) else None
    if match is None:
        raise _wrong("Name:Value, a valid field name and a value on one line", item)
    if any(ord(char) > 0xFF for char in match[2]):  # RFC 9110 section 5.5
        raise _wrong(
            "Name:Value, a value of Latin-1 characters (write others percent-encoded)", item
        )
    return f"{match[1]}:{match[2]}"


def split_headers(text: str) -> list[str]:
    """Split ``Name:Value,Name:Value``; a comma inside a value does not split it."""
    return re.split(_NEXT_HEADER, text)


def to_workers(value: Any) -> int | str:
    """A number of processes, or ``auto``."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    try:
        number = to_int(value)
    except ValueError:
        number = None
    if number is None:
        raise _wrong("a whole number or auto", value)
    return number


def to_level(value: Any) -> str:
    """The name or the number of a log level; a number between two levels is the higher one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return next((name for name, number in LEVELS.items() if value <= number), "critical")
    name = to_str(value).lower()
    return "warning" if name == "warn" else name


def to_mode(value: Any) -> str:
    """Permissions as octal digits; a number means what it means to `os.chmod`."""
    text = f"{value:o}" if isinstance(value, int) else to_str(value).removeprefix("0o")
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise _wrong("three octal digits in quotes, such as '660'", value)
    return text[-3:]


def to_cert_reqs(value: Any) -> int:
    """A value of `ssl.VerifyMode`, or none, optional or required."""
    number = _CERT_REQS.get(str(value).strip().lower()) if _is_plain(value) else None
    if number is None:
        raise _wrong("none, optional or required (or 0, 1 or 2)", value)
    return number


def to_prefix(value: Any) -> str:
    """A path prefix, without the slash at its end."""
    prefix = to_str(value).rstrip("/")
    if prefix and not prefix.startswith("/"):
        raise _wrong(f"a path that begins with a slash, {shown('/' + prefix)}", value)
    return prefix


def to_settings(value: Any) -> Any:
    """The path of a settings file, or its content as a mapping."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, str | os.PathLike):
        raise _wrong("the name of a file, or a dict", value)
    return to_name(value)


def to_callable(value: Any) -> Any:
    """A function or another callable."""
    if not callable(value):
        raise _wrong("a function", value)
    return value


# The converters from what people write to what `Config` holds; each raises `ValueError`.
KINDS: dict[str, Callable[[Any], Any]] = {
    "str": to_str,
    "name": to_name,
    "bool": to_bool,
    "int": to_int,
    "seconds": to_seconds,
    "size": to_size,
    "share": to_share,
    "list": to_list,
    "commas": to_commas,
    "headers": to_headers,
    "workers": to_workers,
    "level": to_level,
    "mode": to_mode,
    "cert_reqs": to_cert_reqs,
    "prefix": to_prefix,
    "settings": to_settings,
    "callable": to_callable,  # only as a keyword argument
}
