"""Probes of public test suites: requests, and the answers that the suites accept.

An outcome is written as the statuses of all answers, such as ``200`` or ``100,200``, with
``+closed`` when the server then ended the connection; ``closed`` without any answer, ``waits`` when
nothing came. A pattern of the data files fits a whole outcome: ``x`` is any digit, ``!101`` is
anything that does not begin with 101. A pattern without ``+closed`` also fits a closed connection.
"""

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from http1_corpus import expanded

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "probes.md"

VERDICTS = ("ok", "tolerated", "refused otherwise", "disputed", "wrongly accepted")
"""The verdicts on a probe: the answer that the suite wants; one that the suite tolerates with a
warning; a refusal with another status; our choice, for the reason in the row; and an answer that
must never be given."""


@dataclass(frozen=True)
class Probe:
    """One request, or two: `then` is sent after the first answer while the connection is open.

    The body of the answer must be `echo`, must contain `contains`, and must not contain `without`.
    Its head must have the field `has`, and must not have the field `lacks`.
    """

    name: str
    data: bytes
    ok: list[str]
    warn: list[str] = ()
    then: bytes = b""
    echo: bytes | None = None
    contains: bytes = b""
    without: bytes | None = None
    has: bytes = b""
    lacks: bytes = b""
    disputed: str = ""
    note: str = ""

    @property
    def may_wait(self):
        return "waits" in self.ok

    @property
    def waits_for_the_end(self):
        return any("+closed" in pattern for pattern in (*self.ok, *self.warn))

    def verdict(self, outcome, replies):
        """One of `VERDICTS`."""
        content = self._content_is_right(replies)
        if content and any(_fits(pattern, outcome) for pattern in self.ok):
            return "ok"
        if content and any(_fits(pattern, outcome) for pattern in self.warn):
            return "tolerated"
        if self.disputed:
            return "disputed"
        if len(replies) <= 1 and all(reply.status >= 400 for reply in replies):
            return "refused otherwise"
        return "wrongly accepted"

    def _content_is_right(self, replies):
        last = replies[-1] if replies else None
        if last is None or last.status >= 300:
            return not self.has or last is None or last.value(self.has) is not None
        body, names = last.body.lower(), [name for name, _ in last.fields]
        return (
            (self.echo is None or last.body == self.echo)
            and self.contains in body
            and (self.without is None or self.without not in body)
            and (not self.has or self.has in names)
            and (not self.lacks or self.lacks not in names)
        )


def _fits(pattern, outcome):
    if pattern[0] == "!":
        return bool(outcome) and outcome[0].isdigit() and not outcome.startswith(pattern[1:])
    if not pattern.endswith("closed"):
        outcome = outcome.removesuffix("+closed")
    return re.fullmatch(re.escape(pattern).replace("x", "[0-9]"), outcome) is not None


@dataclass(frozen=True)
class Suite:
    """One public suite: the source of its probes, and the published numbers of their verdicts."""

    name: str
    source: str
    files: list[str]
    scope: str
    published: dict[str, int]
    probes: list[Probe]


def suites():
    """All suites, by name."""
    return sorted(
        map(_read, (ROOT / "tests" / "corpus").glob("probes_*.toml")),
        key=lambda suite: suite.name.lower(),
    )


def _read(path):
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    probes = [probe for row in data["probe"] for probe in _probes(row)]
    about = {name: data[name] for name in ("source", "files", "scope", "published")}
    return Suite(data["suite"], **about, probes=probes)


def _probes(row):
    """One probe for each byte in `bytes`, such as ``00-1f 7f``; one probe without `bytes`."""
    texts = {"then", "echo", "contains", "without", "has", "lacks"}
    values = {
        name: value.encode("latin-1") if name in texts else value for name, value in row.items()
    }
    data, ranges = values.pop("input"), values.pop("bytes", None)
    if ranges is None:
        yield Probe(data=expanded(data), **values)
        return
    for part in ranges.split():
        first, _, last = part.partition("-")
        for byte in range(int(first, 16), int(last or first, 16) + 1):
            probe = Probe(data=expanded(data.replace("{byte}", chr(byte))), **values)
            yield replace(probe, name=f"{probe.name}-{byte:02x}")


INTRODUCTION = """\
# Public probe suites

Several public suites collect the mistakes of servers. The tests send each probe of these suites
over a socket to a server with the default options, once for each parser; the outcome is what both
parsers give. They do not run the programs of the suites: the requests, and the answers that a suite
takes for right, are data in `tests/corpus/probes_*.toml`. `tests/integration/test_probe_suites.py`
sends them and checks the numbers. (`python tests/probe_suites.py` writes this page anew.)

*ok* is the answer that the suite asks for. *tolerated* is an answer that the suite accepts with a
warning, since the RFCs allow it. *refused otherwise* is a refusal with another status than the
suite expects.
"""


def page():
    """docs/probes.md as it should be."""
    parts = [INTRODUCTION, f"\n| Suite | Probes | {' | '.join(VERDICTS)} |\n", "|---" * 7 + "|\n"]
    for suite in suites():
        counts = [str(suite.published.get(verdict, 0)) for verdict in VERDICTS]
        link = f"[{suite.name}](https://{suite.source})"
        parts.append(f"| {link} | {len(suite.probes)} | {' | '.join(counts)} |\n")
    parts.append("\n## What was taken\n\n")
    for suite in suites():
        files = ", ".join(f"`{file}`" for file in suite.files)
        parts.append(f"- **{suite.name}**: {suite.scope}. From {files}.\n")
    parts.append("\n## Remarks\n\n| Suite | Probe | |\n|---|---|---|\n")
    parts += [
        f"| {suite.name} | `{probe.name}` | {probe.disputed or probe.note} |\n"
        for suite in suites()
        for probe in suite.probes
        if probe.disputed or probe.note
    ]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
