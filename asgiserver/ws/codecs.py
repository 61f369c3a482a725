"""Which `FrameCodec` an option names; each is imported only when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.errors import ConfigError

if TYPE_CHECKING:
    from asgiserver.ws.protocol import CodecFactory

__all__ = ["check_codec", "codec_factory"]


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
    """Raise `ConfigError` when the library of a WebSocket codec that was asked for is missing."""
    if name in ("wsproto", "websockets"):
        try:
            codec_factory(name)
        except ImportError:
            raise ConfigError(
                f"ws: {name} is not installed; pip install {name}, or use --ws python"
            ) from None
