"""Content codings (RFC 9110 section 12.5.3): the choice of the one that a client prefers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUALITY = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)").fullmatch


def choose_coding(accept: bytes | None, offered: Sequence[bytes]) -> bytes:
    """The coding of `offered`, best first, that Accept-Encoding prefers; ``b""`` for none.

    A client that accepts none of them, not even the plain form, gets the plain form.
    """
    if not accept or not offered:
        return b""
    weights = _weights(accept)
    anything = weights.get(b"*", 0.0)
    best, best_weight = b"", weights.get(b"identity", 0.0)
    for coding in offered:
        weight = weights.get(coding, anything)
        if weight > 0 and (weight > best_weight or (not best and weight == best_weight)):
            best, best_weight = coding, weight
    return best


def _weights(accept: bytes) -> dict[bytes, float]:
    weights = {}
    for member in accept.lower().split(b","):
        name, _, parameter = member.partition(b";")
        weight = 1.0
        if parameter := parameter.strip():
            key, _, value = parameter.partition(b"=")
            if key.strip() != b"q" or not _QUALITY(value.strip()):
                continue
            weight = float(value)
        if name := name.strip():
            weights[name.removeprefix(b"x-")] = weight
    return weights
