"""Every exception of the server, sorted by whose fault it is.

======================  =============================  =========================================
Exception               Whose fault                    What becomes of it
======================  =============================  =========================================
``ConfigError``         the user's (an option)         one line on stderr, exit code 2
``ApplicationLoadError``the user's (the import)        traceback or one line, exit code 3
``LifespanFailed``      the application's start-up     traceback and one line, exit code 3
``BindError``           the machine's (an address)     one line on stderr, exit code 4
``WorkersFailed``       workers that keep dying        logged, exit code 5
``PeerError``           the client's                   a 4xx/5xx answer and a closed connection
``ApplicationError``    the application's              raised into the application
``ClientDisconnected``  nobody's                       raised into the application, never logged
======================  =============================  =========================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


BROKEN_OFF = 128
"""The exit code, as shells count it, is this plus the signal that broke off the start-up."""


class StartupError(Exception):
    """The server cannot start. `exit_code` is what the command line exits with.

    `details` is a traceback as text, when the exception itself is not there to be shown.
    `is_logged`: the traceback is in the program's own log already.
    """

    exit_code = 1
    details = ""
    is_logged = False


class ConfigError(StartupError, ValueError):
    """An option has a wrong name or value. The text is one line that names the fix."""

    exit_code = 2


class NestedServerError(ConfigError):
    """Code that a server imports starts a server. The text names the guard to write."""


class ApplicationLoadError(StartupError):
    """The application cannot be imported. `__cause__` is the exception that its code raised."""

    exit_code = 3


class LifespanFailed(StartupError):
    """The application's lifespan start-up failed or took too long.

    `__cause__` is the exception that the application raised, if it raised one.
    """

    exit_code = 3


class BindError(StartupError):
    """The server cannot listen on an address."""

    exit_code = 4


class WorkersFailed(StartupError):
    """Workers die faster than they can be replaced."""

    exit_code = 5


class PeerError(Exception):
    """The client broke the protocol or a limit.

    `status` is the answer's status code. `reason` is one short line that is safe to send and to
    log, because it never contains bytes of the request. `fields` are extra fields that the answer
    needs, such as ``Sec-WebSocket-Version`` with a 426.
    """

    def __init__(
        self, status: int, reason: str, fields: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.fields = fields


class ApplicationError(RuntimeError):
    """The application broke ASGI; `send` or `receive` raises this."""


class ClientDisconnected(OSError):
    """The client is gone (ASGI www 2.4): `send` raises this, and the server never logs it."""


def one_line(error: BaseException) -> str:
    """The type of an exception and the first line of its text, which its ``__str__`` may refuse."""
    try:
        text = str(error).strip().partition("\n")[0]
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """The end of a message that suggests the closest of `names`; empty when none is close."""
    close = closest(word, names)
    return f"; did you mean {close!r}?" if close else ""


def closest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The closest of `names` to `word`, for the text of an error; None when none is close."""
    from difflib import get_close_matches  # imported here: the import would cost every start 0.8 ms

    return next(iter(get_close_matches(word, list(names), 1, cutoff)), None)
