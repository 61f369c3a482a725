"""Request fields whose names have an underscore, for every wire (CVE-2015-0219)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from asgiserver.errors import PeerError

if TYPE_CHECKING:
    from asgiserver.types import Fields

logger = logging.getLogger("asgiserver")

_UNDERSCORE = 0x5F  # a number: bytes look that up much faster than a string of one byte


class Underscores:
    """What becomes of these fields: ``drop``, ``refuse`` or ``keep`` (--header-underscore).

    CGI has no hyphens, so ``x_real_ip`` and ``x-real-ip`` are one variable of WSGI and Django.
    """

    __slots__ = ("_logged", "policy")

    def __init__(self, policy: str = "drop") -> None:
        self.policy = policy
        self._logged = False

    def __repr__(self) -> str:
        return f"<Underscores {self.policy}>"

    def checked(self, fields: Fields) -> Fields:
        """The fields that remain. Raises `PeerError` (400) if the policy is to refuse.

        The log names the first field that is dropped, and no other.
        """
        if self.policy == "keep" or _UNDERSCORE not in b"".join([name for name, _ in fields]):
            return fields
        if self.policy == "refuse":
            raise PeerError(400, "underscore in a header name")
        if not self._logged:
            self._logged = True
            name = next(name for name, _ in fields if b"_" in name)
            logger.info(
                "Dropped the field %s: many applications take it for another; if yours needs"
                " such names: --header-underscore keep",
                name.decode(),
            )
        return [field for field in fields if b"_" not in field[0]]
