"""The corpus of odd requests, and the tables about them in docs/http1.md.

``python tests/http1_corpus.py`` writes that page anew.
"""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "http1.md"
_REPEATED = re.compile(r"\{([^{}]+)\*([0-9]+)\}")

INTRODUCTION = """\
# HTTP/1 requests: what is accepted, and what is refused

Both parsers (`--http httptools` and `--http h11`) give the same answers, however the bytes of a
request are cut into pieces. A refusal is an answer with the given status and the reason as plain
text. The connection then closes, and nothing more is parsed after a fault. *n requests* means that
the application runs. *within a body* means that the application runs, and gets `http.disconnect`
instead of the end of the body.

Sizes and numbers never wrap: `Content-Length` has at most 19 digits and is at most 2^63 - 1, and a
chunk size has at most 15 hexadecimal digits. The limits are those of `--limit-request-line`,
`--limit-request-head` and `--limit-request-fields`. Trailers, and the chunk extensions of a body,
count against these limits as a head does.

In these cases the server is stricter than the RFCs, because attacks use the leniency:

- equal `Content-Length`, `Host` and `Content-Type` fields are refused, not joined;
- the authority of an absolute target must be that of `Host`;
- `Transfer-Encoding` is `chunked` or refused, and a tab around it is refused;
- white space around the parts of a chunk extension is refused;
- an HTTP/1.x version that does not exist is refused;
- a field with an underscore in its name is dropped (`--header-underscore`), because many
  applications would confuse it with another field.

[Another page](probes.md) has the verdicts of public test suites.

`{x*9}` stands for `x` nine times. The files of `tests/corpus` are the source of these tables, and
the tests check every row.
"""


def expanded(text):
    """The bytes that a text of the corpus stands for."""
    return _REPEATED.sub(lambda match: match[1] * int(match[2]), text).encode("latin-1")


class Case(NamedTuple):
    """One input of the corpus."""

    group: str
    name: str
    rfc: str
    text: str
    answer: str

    @property
    def data(self):
        """The bytes of the input."""
        return expanded(self.text)


def groups():
    """The title, the one-line text and the cases of each file of the corpus."""
    files = [
        tomllib.loads(path.read_text(encoding="utf-8"))
        for path in (ROOT / "tests" / "corpus").glob("http1_*.toml")
    ]
    for file in sorted(files, key=lambda file: file["order"]):
        cases = [
            Case(file["title"], case["name"], case["rfc"], case["input"], case["answer"])
            for case in file["case"]
        ]
        yield file["title"], file["text"], cases


def cases():
    """All cases."""
    return [case for _, _, cases in groups() for case in cases]


def page():
    """docs/http1.md as it should be."""
    parts = [INTRODUCTION]
    for title, text, cases in groups():
        parts.append(f"\n## {title}\n\n{text}\n")
        parts.append("\n| | Input | Answer | RFC |\n|---|---|---|---|\n")
        parts += [
            f"| {case.name} | {_code(case.text)} | {case.answer} | {case.rfc} |\n" for case in cases
        ]
    return "".join(parts)


def _code(text):
    if not text:
        return "(nothing)"
    shown = repr(text.encode("latin-1"))[2:-1].replace("\\'", "'").replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
