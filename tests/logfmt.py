"""A strict reader of logfmt lines, which knows nothing of the writer."""

import json
import re

_PAIR = re.compile(
    r'(?P<key>[^\s"=]+)=(?:(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<word>[^\s"=\\]*))(?: |$)'
)


def read_logfmt(line):
    """The pairs of one line; raises `AssertionError` for a line that is not logfmt."""
    found, at = {}, 0
    while at < len(line):
        match = _PAIR.match(line, at)
        assert match is not None, f"no pair at {line[at:]!r}"
        assert match["key"] not in found, f"{match['key']} twice"
        found[match["key"]] = json.loads(match["quoted"]) if match["quoted"] else match["word"]
        at = match.end()
    return found
