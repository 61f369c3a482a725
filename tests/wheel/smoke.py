"""Serves a request from the package that is installed: what each built wheel has to be able to do.

    python tests/wheel/smoke.py [core|pure]

With an argument it also checks whether the compiled core is in use.
"""

from __future__ import annotations

import sys
import urllib.request
from typing import Any

import asgiserver
from asgiserver import speedups

BODY = b"served"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer every request alike."""
    assert scope["type"] == "http"
    fields = [(b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": BODY})


def main(arguments: list[str]) -> None:
    """Raise when the answer is wrong, or when the core is not what the argument says."""
    if arguments:
        assert speedups.is_used == (arguments[0] == "core"), speedups.about
    with (
        asgiserver.serve_in_thread(app, lifespan="off") as server,
        urllib.request.urlopen(server.addresses[0], timeout=30) as answer,
    ):
        assert answer.read() == BODY
        assert answer.headers["server"] == "asgiserver"
    print(f"asgiserver {asgiserver.__version__} served a request; compiled core {speedups.about}")


if __name__ == "__main__":
    main(sys.argv[1:])
