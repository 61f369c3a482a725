"""What the codecs of one server have in common: limits and sizes, and SETTINGS that tell them."""

from __future__ import annotations

import math

from asgiserver.h2 import frames
from asgiserver.h2.frames import DEFAULT_WINDOW
from asgiserver.http.underscores import Underscores


class Settings:
    """Sizes in bytes; see the options of the same names.

    `most_window` bounds the bytes of request bodies that wait for their applications: the windows
    of all streams of a connection together never exceed it. `stream_window` is what each of them
    begins with.
    """

    __slots__ = (
        "all_fields",
        "body",
        "fields",
        "head",
        "keeps_underscores",
        "line",
        "max_streams",
        "most_window",
        "stream_window",
        "underscores",
        "websocket",
    )

    def __init__(
        self,
        max_streams: int = 128,
        most_window: int = 16_777_216,
        line: int = 8192,
        head: int = 65_536,
        fields: int = 128,
        body: float = math.inf,
        underscores: Underscores | None = None,
        websocket: bool = True,
    ) -> None:
        self.max_streams = max_streams
        self.stream_window = (
            DEFAULT_WINDOW  # less would be known to clients only after a round trip
        )
        self.most_window = max(most_window, max_streams * DEFAULT_WINDOW)
        self.line = line
        self.head = head
        self.fields = fields
        self.all_fields = fields + 5  # with the pseudo-fields, which come on top
        self.body = body
        self.underscores = underscores or Underscores()
        self.keeps_underscores = self.underscores.policy == "keep"
        self.websocket = websocket  # RFC 8441

    def __repr__(self) -> str:
        return f"<Settings streams={self.max_streams} window={self.most_window}>"

    def announced(self) -> list[tuple[int, int]]:
        """The values of our SETTINGS frame (section 6.5.2)."""
        values = [
            (frames.MAX_CONCURRENT_STREAMS, self.max_streams),
            (frames.MAX_HEADER_LIST_SIZE, self.head),
            (frames.NO_RFC7540_PRIORITIES, 1),
        ]
        if self.websocket:
            values.append((frames.ENABLE_CONNECT_PROTOCOL, 1))
        return values
