"""Log lines about refused peers, bounded so that no peer can fill the log or the memory."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from asgiserver.log.escape import client_text, escape
from asgiserver.log.loggers import logger

if TYPE_CHECKING:
    from asgiserver.errors import PeerError
    from asgiserver.types import Address

__all__ = ["LinesPerPeer", "PeerErrorLog"]


class LinesPerPeer:
    """Counts the lines about each peer in a minute, for at most `PEERS` peers."""

    __slots__ = ("_counts",)

    WINDOW = 60.0  # seconds
    PEERS = 1024

    def __init__(self) -> None:
        # Host -> [start of its minute, lines in it], the least recently counted first.
        self._counts: OrderedDict[str, list[float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<LinesPerPeer peers={len(self._counts)}>"

    def count(self, host: str, now: float) -> int:
        """Count a line about `host`; the number of its lines in this minute. `now` is seconds."""
        counts = self._counts
        entry = counts.get(host)
        if entry is None or now - entry[0] >= self.WINDOW:
            entry = counts[host] = [now, 0]
        entry[1] += 1
        counts.move_to_end(host)
        if len(counts) > self.PEERS:
            counts.popitem(last=False)
        return int(entry[1])


class PeerErrorLog:
    """One INFO line per refused request, with bounds on the lines and on the memory.

    In each minute there are at most `per_peer` lines about one address and `overall` lines in all;
    then one line says that more are not logged. The caller counts every refusal
    (`Counters.count_refused`).
    """

    __slots__ = ("_lines", "_overall", "_per_peer")

    def __init__(self, per_peer: int = 10, overall: int = 600) -> None:
        self._per_peer = per_peer
        self._overall = overall
        self._lines = LinesPerPeer()  # the host "" stands for all hosts

    def __repr__(self) -> str:
        return f"<PeerErrorLog {self._lines!r}>"

    def report(self, client: Address | None, error: PeerError, now: float) -> None:
        """Log that `client` was refused with `error`. `now` is a clock's seconds."""
        if not logger.isEnabledFor(logging.INFO):
            return
        host = client[0] if client is not None else "-"
        count = self._lines.count(host, now)
        if count > self._per_peer + 1:
            return
        total = self._lines.count("", now)
        if total > self._overall:
            if total == self._overall + 1:
                logger.info("Further refused requests are not logged for a minute")
        elif count > self._per_peer:
            logger.info("Further refused requests of %s are not logged for a minute", escape(host))
        else:
            logger.info(
                "Refused %s: %d %s", client_text(client), error.status, escape(error.reason)
            )
