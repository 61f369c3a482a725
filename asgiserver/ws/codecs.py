"""The `FrameCodec` that an option names; each codec is imported only when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from asgiserver.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.ws.deflate import Deflate
    from asgiserver.ws.protocol import FrameCodec, MessageSink

__all__ = ["CodecFactory", "check_codec", "codec_factory"]

CodecFactory: TypeAlias = "Callable[[MessageSink, float, Deflate | None], FrameCodec]"
"""Called with the sink, the largest message in bytes (or infinity), and compression or None."""


def codec_factory(name: str) -> CodecFactory:
    """The codec called `name`: auto, python, wsproto or websockets.

    Raises `ImportError` when its library is not installed.
    """
    if name == "wsproto":
        from asgiserver.ws.wsproto_codec import WsprotoCodec

        return WsprotoCodec
    if name == "websockets":
        from asgiserver.ws.websockets_codec import WebsocketsCodec

        return WebsocketsCodec
    from asgiserver.ws.python_codec import PythonCodec

    return PythonCodec


def check_codec(name: str) -> None:
    """Raise `ConfigError` when the library of the WebSocket codec called `name` is missing."""
    if name in ("wsproto", "websockets"):
        try:
            codec_factory(name)
        except ImportError:
            raise ConfigError(
                f"ws: {name} is not installed; pip install {name}, or use --ws python"
            ) from None
