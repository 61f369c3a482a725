"""The response fields that a server adds by itself: Server, Date, and those of --header."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgiserver.config.fields import Config
    from asgiserver.http.message import ResponseHead
    from asgiserver.types import Fields


class ServerFields:
    """The fields of one server, the same on all its wires; the application's own take precedence.

    They change once a second, with the Date. `stamp` is another object then, so that a wire can
    tell whether what it has made of them is still valid.
    """

    __slots__ = ("_defaults", "_send_date", "_server", "own", "stamp")

    def __init__(
        self, server: bytes = b"asgiserver", send_date: bool = True, defaults: Fields | None = None
    ) -> None:
        self._server: Fields = [(b"server", server)] if server else []
        self._send_date = send_date
        self._defaults = defaults or []  # the user's fields (--header), for responses without them
        self.own = self._server  # those of responses that have none of them
        self.stamp = object()

    def __repr__(self) -> str:
        return f"<ServerFields {self.own} {self._defaults}>"

    def set_date(self, date: bytes) -> None:
        """Use `date` (RFC 9110 section 5.6.7) from now on; called once a second."""
        if self._send_date:
            self.own = [*self._server, (b"date", date)]
        self.stamp = object()

    def missing(self, head: ResponseHead) -> Fields:
        """The fields that `head` has not: `own` itself if that is all."""
        if not head.overrides and not self._defaults:
            return self.own
        fields = [field for field in self.own if field[0] not in head.overrides]
        if self._defaults:
            given = {name for name, _ in head.fields}
            fields += [field for field in self._defaults if field[0] not in given]
        return fields


def make_server_fields(config: Config) -> ServerFields:
    """The fields of a server by its options. Its clock has to call `ServerFields.set_date`."""
    return ServerFields(
        b"asgiserver" if config.server_header else b"",
        config.date_header,
        default_fields(config.headers),
    )


def default_fields(headers: Sequence[str]) -> Fields:
    """The fields of ``--header``, written ``Name: value``."""
    pairs = (header.partition(":") for header in headers)
    return [
        (name.strip().lower().encode(), value.strip().encode("latin-1")) for name, _, value in pairs
    ]
