"""What leaves an HTTP/2 connection: what its codec has written, and what waits in the codec."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from asgiserver.wire.output import FLUSH_SIZE, Output

if TYPE_CHECKING:
    from asgiserver.h2.codec import H2Codec
    from asgiserver.wire.output import OutputTurn


UNSENT = 131072
"""Bytes that the system keeps of what the network has not taken yet. It would keep megabytes, and
no answer can go before what the system has already."""

_UNSENT_OPTION = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class H2Output(Output):
    """An `Output` that lets the codec write what waits, whenever something has left.

    Between two flushes the codec writes no more than `FLUSH_SIZE` bytes of bodies. So a stream that
    is more urgent, or new, need not wait until all others have sent what they have.
    """

    __slots__ = ("_leaves_soon", "codec")

    codec: H2Codec[Any]

    def __init__(self, turn: OutputTurn) -> None:
        super().__init__(turn)
        self._leaves_soon = False

    def limit_unsent(self) -> None:
        """Let the system keep little, so that the order of answers is ours."""
        sock = self.transport.get_extra_info("socket")
        if (
            sock is not None
            and _UNSENT_OPTION is not None
            and sock.family in (socket.AF_INET, socket.AF_INET6)
        ):
            sock.setsockopt(socket.IPPROTO_TCP, _UNSENT_OPTION, UNSENT)

    def flush(self) -> None:
        """Write what has been gathered, and go on while streams have more and there is room."""
        self._leaves_soon = False
        if self.transport.is_closing():
            self.gathered.clear()
            return
        super().flush()
        while self.writable:
            self.codec.pump(FLUSH_SIZE)
            if not self.gathered:
                return
            super().flush()
        self.codec.pump(0)

    def leave_soon(self) -> None:
        """Flush in the next turn of the loop, together with what else is gathered until then."""
        if not self.corked and not self._leaves_soon:
            self._leaves_soon = True
            self._loop.call_soon(self.flush)

    def _set_writable(self) -> None:
        super()._set_writable()
        self.flush()
