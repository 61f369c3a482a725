"""Makes `asgiserver.config.keywords`: the types of the keywords of `run`, `serve` and `Config`.

Editors complete the keywords and show what they mean, and type checkers refuse those that do not
exist. This module is needed only to make that file anew (``python -m asgiserver.options types``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgiserver.config.options import format_default, format_help, groups
from asgiserver.config.registry import FIELDS

if TYPE_CHECKING:
    from asgiserver.config.fields import OptionInfo

__all__ = ["keywords_module"]

HEAD = '''\
"""The keywords of `asgiserver.run`, `serve`, `serve_in_thread` and `Config`, for type checkers.

Made from asgiserver/config/fields.py by ``python -m asgiserver.options types``. Do not edit.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike

    Text = str | PathLike[str]
    Header = str | tuple[str | bytes, str | bytes]

__all__ = ["Options"]


class Options(TypedDict, total=False):
    """Each option of the server; None stands for its default."""
'''

# What people may write for an option of each kind.
TYPES = {
    "str": "Text",
    "name": "Text",
    "bool": "bool",
    "int": "int",
    "seconds": "float | str",
    "size": "float | str",
    "share": "float | str",
    "list": "Text | Iterable[Text]",
    "commas": "str | Iterable[str]",
    "headers": "str | Iterable[Header] | Mapping[str, str]",
    "workers": "int | str",
    "level": "int | str",
    "mode": "int | str",
    "cert_reqs": "int | str",
    "prefix": "str",
    "settings": "Text | Mapping[str, Any]",
    "callable": "Callable[..., Any]",
}


def keywords_module() -> str:
    """The text of ``asgiserver/config/keywords.py``."""
    lines = [HEAD]
    for group, names in groups():
        lines.append(f"    # {group}")
        for name in names:
            default = format_default(name)
            text = format_help(name) + (f" (default: {default})" if default else "")
            lines.append(f"    {name}: {_type(FIELDS[name].info)} | None")
            lines.append(f'    """{text}."""')
        lines.append("")
    return "\n".join(lines)


def _type(info: OptionInfo) -> str:
    if info.kind == "str" and info.choices:
        names = [*info.choices, *(name for name, _ in info.renamed)]
        return "Literal[" + ", ".join(f'"{name}"' for name in names) + "]"
    return TYPES[info.kind]
