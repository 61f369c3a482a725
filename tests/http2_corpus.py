"""The corpus of frames that a client may send, and the page about HTTP/2 that has it as tables.

``python tests/http2_corpus.py`` writes docs/http2-frames.md anew.
"""

import tomllib
from pathlib import Path
from typing import NamedTuple

import h2_peer

from asgiserver.h2.budgets import BUDGETS
from asgiserver.h2.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "http2-frames.md"

INTRODUCTION = """\
# HTTP/2 frames: what is accepted, and what is refused

Each row has the frames that a client sends after the prefaces, what the application's side is told
(*calls*), and the frames that the server sends. The answers are the same however the bytes are cut
into pieces. A stream error is answered with `RST_STREAM`; a connection error with `GOAWAY`, after
which nothing more is read. *refused* means that the request is answered with that status, as on
HTTP/1.1, and that the connection goes on.

A frame is written `TYPE stream FLAGS: payload`. `GET` and `POST` stand for the four pseudo-fields
of a request for `/`; `#00ff` are bytes; `{x*9}` stands for `x` nine times; `@0-5` is a part of a
header block. The files of `tests/corpus` are the source of these tables, and the tests check every
row.

## Floods

What costs the server more than the client is counted for each connection, by the names below. A
client that uses one of these budgets up gets `GOAWAY` with `ENHANCE_YOUR_CALM`, and other
connections do not notice. A budget begins full and never has more than then. It fills by the
second, and by useful work: a stream that both sides have ended, or a DATA frame that was sent,
unless the client's window has made it one of less than 1 KiB.

"""

FLOODS = """
A header block of more bytes than `--limit-request-head` ends the connection in the same way, as do
more than 64 KiB of answers to control frames that the client does not read. Field blocks are
limited while they are decoded, so that references to the table are not unpacked. A stream that the
client has reset counts as an open one until its task has ended.
"""


class Case(NamedTuple):
    """One sequence of frames, and what becomes of it."""

    group: str
    name: str
    rfc: str
    sent: list
    calls: list
    out: list
    pieces: list  # what is sent when the frames come byte by byte, if that differs
    preface: bool = True
    body: str | None = None
    consumes: bool = True
    max_streams: int = 128
    most_body: float = float("inf")

    def run(self, pieces=None):
        """What the sink was told, and what was sent."""
        connection = h2_peer.Connection(
            Settings(max_streams=self.max_streams, body=self.most_body),
            begun=self.preface,
            body=None if self.body is None else h2_peer.expanded(self.body).encode(),
            consumes=self.consumes,
        )
        connection.read()
        connection.feed(h2_peer.bytes_of(self.sent), pieces)
        return connection.calls, connection.read()


def groups():
    """The title, the text and the cases of each file of the corpus."""
    files = [
        tomllib.loads(path.read_text(encoding="utf-8"))
        for path in (ROOT / "tests" / "corpus").glob("http2_*.toml")
    ]
    for file in sorted(files, key=lambda file: file["order"]):
        yield file["title"], file["text"], [_case(file["title"], case) for case in file["case"]]


def _case(group, case):
    case = dict(case)
    return Case(
        group,
        case.pop("name"),
        case.pop("rfc"),
        case.pop("in"),
        [h2_peer.expanded(call) for call in case.pop("calls", [])],
        [h2_peer.expanded(line) for line in case.get("out", [])],
        [h2_peer.expanded(line) for line in case.pop("pieces", case.pop("out", []))],
        **case,
    )


def cases():
    """All cases."""
    return [case for _, _, cases in groups() for case in cases]


def page():
    """docs/http2-frames.md as it should be."""
    parts = [
        INTRODUCTION,
        "| Budget | At once | Each second | For each piece of work |\n|---|---|---|---|\n",
    ]
    parts += [f"| {b.name} | {b.most} | {b.second} | {b.work or ''} |\n" for b in BUDGETS]
    parts.append(FLOODS)
    for title, text, cases in groups():
        parts.append(f"\n## {title}\n\n{text}\n")
        parts.append("\n| | Client | Calls | Server | RFC |\n|---|---|---|---|---|\n")
        parts += [
            f"| {case.name} | {_cell(case.sent)} | {_cell(case.calls)} | {_cell(case.out)} "
            f"| {case.rfc} |\n"
            for case in cases
        ]
    return "".join(parts)


def _cell(lines):
    return "<br>".join(_code(line) for line in lines)


def _code(line):
    shown = repr(line)[1:-1].replace("\\'", "'").replace("|", "\\|")
    if len(shown) > 200:
        shown = shown[:90] + "..." + shown[-90:]
    return f"`` {shown} ``" if "`" in shown else f"`{shown.strip()}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
