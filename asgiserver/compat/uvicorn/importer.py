"""Importing an object by its name, with uvicorn's errors."""

from __future__ import annotations

from typing import Any

from asgiserver.errors import ApplicationLoadError
from asgiserver.server.loading import import_folder, load_object

__all__ = ["ImportFromStringError", "import_from_string"]


class ImportFromStringError(Exception):
    """There is no such module or attribute. The text is one line."""


def import_from_string(import_str: Any) -> Any:
    """The object that ``module:attribute`` names; anything but a string is returned as it is.

    Raises `ImportFromStringError`, or what the module raises.
    """
    if not isinstance(import_str, str):
        return import_str
    try:
        return load_object(import_str, app_dir=import_folder())
    except ApplicationLoadError as error:
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise ImportFromStringError(str(error)) from None
