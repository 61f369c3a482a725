"""Text from the wire as a log may hold it: nothing in it forges a line or drives a terminal."""

from __future__ import annotations

import re

__all__ = ["client_text", "escape", "make_visible"]

# Backslash and double quote too: then every line can be split again without ambiguity.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x22, 0x5C, *range(0x7F, 0x100))}
# What a traceback may hold of the wire; its own line ends and tabs stay.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def escape(data: bytes | str) -> str:
    r"""Text from the wire as printable ASCII: all else, ``\`` and ``"`` become ``\xNN``.

    A `str` is taken as UTF-8. Everything that a client can choose passes through here before it
    is logged, so that it can neither forge a line nor drive a terminal.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    if data.isascii():
        text = data.decode()
        if text.isprintable() and '"' not in text and "\\" not in text:
            return text
    return data.decode("latin-1").translate(_ESCAPES)


def client_text(client: tuple[str, int] | None) -> str:
    """``host:port``, ``[host]:port`` for IPv6, ``-`` for a unix socket."""
    if client is None:
        return "-"
    host = escape(client[0])
    return f"[{host}]:{client[1]}" if ":" in host else f"{host}:{client[1]}"


def make_visible(text: str) -> str:
    r"""`text` with its control characters as ``\xNN``; a traceback's line ends and tabs stay."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
