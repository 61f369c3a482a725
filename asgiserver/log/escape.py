"""Text from the wire, escaped so that it can neither forge a log line nor drive a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgiserver.types import Address

__all__ = ["client_text", "escape", "make_visible"]

# Backslash and double quote are escaped too, so that every line can be split without ambiguity.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x22, 0x5C, *range(0x7F, 0x100))}
# Control characters that a traceback may quote from the wire; its own line ends and tabs stay.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def escape(data: bytes | str) -> str:
    r"""Text from the wire as printable ASCII: other characters, ``\`` and ``"`` become ``\xNN``.

    A `str` is encoded as UTF-8 first. Whatever a client can choose has to pass through this
    function before it is logged.
    """
    if isinstance(data, str):
        if data.isascii() and data.isprintable() and '"' not in data and "\\" not in data:
            return data
        data = data.encode("utf-8", "surrogatepass")
    if data.isascii():
        text = data.decode()
        if text.isprintable() and '"' not in text and "\\" not in text:
            return text
    return data.decode("latin-1").translate(_ESCAPES)


def client_text(client: Address | None) -> str:
    """``host:port``, ``[host]:port`` for IPv6, ``-`` for a unix socket."""
    if client is None:
        return "-"
    host = escape(client[0])
    return f"[{host}]:{client[1]}" if ":" in host else f"{host}:{client[1]}"


def make_visible(text: str) -> str:
    r"""`text` with its control characters as ``\xNN``; a traceback's line ends and tabs stay."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
