"""--health-path: a path of the public listener that the server answers, not the application.

It is for balancers that can only ask there. Limits do not apply to it, so an overloaded server is
not taken for a dead one. A worker that is stuck does not answer, here and to all other requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiserver.asgi.session import Session
    from asgiserver.context import ServerContext

__all__ = ["answer_health"]


def answer_health(context: ServerContext, path: str) -> Callable[[Session], None]:
    """What starts a session from now on: it answers for `path`, and starts all others as before."""
    target, with_query = path.encode(), f"{path}?".encode()
    start = context.start

    def start_or_answer(session: Session) -> None:
        request = session.request
        asked = request.target
        if (
            (asked != target and not asked.startswith(with_query))
            or request.method not in ("GET", "HEAD")
            or session.is_websocket
        ):
            start(session)
        elif context.draining:
            session.answer_health(503, b"stopping\n")
        else:
            session.answer_health(200, b"ready\n")

    return start_or_answer
