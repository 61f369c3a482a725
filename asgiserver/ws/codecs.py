"""Which `FrameCodec` an option names; each is imported only when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgiserver.ws.protocol import CodecFactory

__all__ = ["codec_factory"]


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
