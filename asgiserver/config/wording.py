"""How messages name options: as the user has written them.

Everywhere else a message names an option by its field, ``ssl_keyfile: ...``. Who has typed
``--ssl-keyfile`` reads that, and who has set ``ASGISERVER_SSL_KEYFILE`` reads that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from asgiserver.config.registry import FIELDS, flag_names

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["as_typed"]

# An option whose name is an English word, too, is found only where a message begins with it.
_WORDS = "|".join(sorted(FIELDS, key=len, reverse=True))
_SUBJECT = rf"(?:{_WORDS})(?:(?:, | and )(?:{_WORDS}))*(?=[:=]| (?:needs|is|are|has)\b)"
_COMPOUND = "|".join(name for name in FIELDS if "_" in name)
_ELSEWHERE = rf"(?<![\w/.-])(?:{_COMPOUND})(?![\w/.-])"
_QUOTED = r"""('[^']*'|"[^"]*")"""


def as_typed(text: str, origins: Mapping[str, str]) -> str:
    """`text` with each option that it names as it was given; `origins` are those of `Resolved`.

    What stands in quotes comes from the user, and stays as it is.
    """

    def spell(found: re.Match[str]) -> str:
        return re.sub(rf"\b(?:{_WORDS})\b", lambda name: _spelling(name[0], origins), found[0])

    parts = re.split(_QUOTED, text)  # every second part is quoted
    parts[0] = re.sub(rf"\A{_SUBJECT}|{_ELSEWHERE}", spell, parts[0])
    parts[2::2] = [re.sub(_ELSEWHERE, spell, part) for part in parts[2::2]]
    return "".join(parts)


def _spelling(name: str, origins: Mapping[str, str]) -> str:
    origin = origins.get(name, "default")
    kind, _, rest = origin.partition(" ")
    if kind in ("flag", "keyword"):
        return rest
    if origin == "default":
        typed = any(other.startswith("flag ") for other in origins.values())
        return flag_names(name)[0] if typed and FIELDS[name].info.cli else name
    if kind.isupper():  # a variable, perhaps one in an --env-file
        return origin
    return f"{name} in {origin}"
