"""uvicorn's worker classes for gunicorn, which are our own."""

from __future__ import annotations

from typing import Any, ClassVar

from asgiserver.integrations.gunicorn import Worker

__all__ = ["UvicornH11Worker", "UvicornWorker"]


class UvicornWorker(Worker):
    """Serves the application of one worker process of gunicorn.

    `CONFIG_KWARGS` are parameters of `asgiserver.compat.uvicorn.Config` that override gunicorn's
    settings.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "auto", "http": "auto"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.__dict__["OPTIONS"] = {**self.OPTIONS, **self.CONFIG_KWARGS}


class UvicornH11Worker(UvicornWorker):
    """The same on asyncio's own loop and h11."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "asyncio", "http": "h11"}
