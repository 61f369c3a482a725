"""The application of the admin listener, an ASGI application that our own server serves.

It asks its `Source`, in the thread that serves it, and never an application or a worker's loop.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from asgiserver.admin import health
from asgiserver.admin.access import DUMP
from asgiserver.admin.exposition import OPENMETRICS, PROMETHEUS, families, render
from asgiserver.admin.source import OrderRefused
from asgiserver.admin.status import status_of
from asgiserver.config.values import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asgiserver.admin.access import Access
    from asgiserver.admin.health import Verdict
    from asgiserver.admin.source import ServerState, Source
    from asgiserver.types import Receive, Scope, Send

__all__ = ["AdminApp"]

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
READS = "GET, HEAD"

_VERDICTS: dict[str, Callable[[ServerState], Verdict]] = {
    "/livez": health.live,
    "/readyz": health.ready,
    "/startupz": health.started,
}

INDEX = """\
GET  /livez /readyz /startupz    health, with ?verbose the reasons
GET  /metrics                    figures, for Prometheus
GET  /status                     workers, what they run, options, versions; JSON
GET  /dump                       requests and tasks with their stacks, threads; ?json
POST /reload                     read the configuration again, and replace the workers
POST /drain                      stop gracefully
POST /workers/N/restart          replace worker N
POST /log-level?level=debug      change the level of the server's log
"""


class Answer(NamedTuple):
    """What is sent back."""

    status: int
    body: str
    content_type: str = TEXT
    more: tuple[tuple[bytes, bytes], ...] = ()


class AdminApp:
    """Answers operators and their programs."""

    def __init__(self, source: Source, access: Access) -> None:
        self._source = source
        self._access = access

    def __repr__(self) -> str:
        return f"<AdminApp {self._access!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http"
        fields = dict(scope["headers"])
        answer = await self._answer(scope["method"], scope["path"], scope["query_string"], fields)
        body = answer.body.encode()
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *answer.more,
        ]
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, method: str, path: str, query: bytes, fields: Mapping[bytes, bytes]
    ) -> Answer:
        refused = self._access.refusal(method, path, fields)
        if refused is not None:
            status, text = refused
            more = ((b"www-authenticate", b"Bearer"),) if status == 401 else ()
            return Answer(status, f"{text}\n", more=more)
        values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        order = self._order(path, values)
        if order is not None:
            return _obeyed(order) if method == "POST" else _wrong_method("POST")
        if path == DUMP and method in ("GET", "HEAD"):
            as_json = "json" in values
            return Answer(200, await self._source.dump(as_json), JSON if as_json else TEXT)
        shown = self._shown(path, values, fields)
        if shown is None:
            return Answer(404, "there is no such page; / lists all\n")
        return shown if method in ("GET", "HEAD") else _wrong_method(READS)

    def _shown(
        self, path: str, values: Mapping[str, list[str]], fields: Mapping[bytes, bytes]
    ) -> Answer | None:
        """The answer to a GET of `path`; None when there is no such page."""
        if path in _VERDICTS:
            verdict = _VERDICTS[path](self._source.state())
            return Answer(200 if verdict.passed else 503, verdict.text("verbose" in values))
        if path == "/metrics":
            openmetrics = wants_openmetrics(fields.get(b"accept", b""))
            text = render(families(self._source.state()), openmetrics)
            return Answer(200, text, OPENMETRICS if openmetrics else PROMETHEUS)
        if path == "/status":
            status = status_of(self._source.state(), self._source.config)
            return Answer(200, json.dumps(status) + "\n", JSON)
        if path == DUMP:
            return _wrong_method(READS)
        return Answer(200, INDEX) if path == "/" else None

    def _order(self, path: str, values: Mapping[str, list[str]]) -> Callable[[], str] | None:
        """What a POST to `path` does; None when the path is no order."""
        source = self._source
        if path == "/reload":
            return source.reload
        if path == "/drain":
            return source.drain
        if path == "/log-level":
            return lambda: source.set_log_level(_level(values))
        parts = path.split("/")
        if len(parts) == 4 and parts[1] == "workers" and parts[3] == "restart":
            number = parts[2]
            return lambda: source.restart_worker(_index(number))
        return None


def _obeyed(order: Callable[[], str]) -> Answer:
    try:
        return Answer(202, f"{order()}\n")
    except OrderRefused as refused:
        return Answer(refused.status, f"{refused}\n")


def _wrong_method(allowed: str) -> Answer:
    return Answer(405, f"use {allowed}\n", more=((b"allow", allowed.encode()),))


def _index(number: str) -> int:
    if not (number.isascii() and number.isdigit() and len(number) < 6):
        raise OrderRefused(404, "there is no such worker")
    return int(number)


def _level(values: Mapping[str, list[str]]) -> str:
    level = values.get("level", [""])[-1].lower()
    if level not in LEVELS:
        raise OrderRefused(400, f"write ?level= and one of {', '.join(LEVELS)}")
    return level


def wants_openmetrics(accept: bytes) -> bool:
    """Whether a client that sends this Accept field prefers OpenMetrics (RFC 9110 12.5.1)."""
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for item in accept.decode("latin-1").split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        if name in best and "version=0.0.1" not in parameters:
            best[name] = max(best[name], _quality(quality))
    return best["application/openmetrics-text"] > 0 and (
        best["application/openmetrics-text"] >= best["text/plain"]
    )


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
