"""The options by name, as all other modules look them up."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from asgiserver.config.fields import Config, OptionInfo, option_info

__all__ = ["FIELDS", "Option", "flag_names"]


class Option(NamedTuple):
    """One option: the field of `Config` that holds it, and what is known about it."""

    field: dataclasses.Field[Any]
    info: OptionInfo


FIELDS = {
    config_field.name: Option(config_field, info)
    for config_field in dataclasses.fields(Config)
    if (info := option_info(config_field)) is not None
}


def flag_names(name: str) -> tuple[str, ...]:
    """The command-line names of the option `name`."""
    return FIELDS[name].info.flags or (f"--{name.replace('_', '-')}",)
