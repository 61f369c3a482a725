"""Makes docs/api.md of the docstrings: `python tests/api_page.py`."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import asgiserver
from asgiserver import errors

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"

HEAD = """# Python API

<!-- Made from docstrings by `python tests/api_page.py`. Do not edit. -->

{usage}
What is on this page is public. An import of `asgiserver` is cheap: each name is loaded when it is
first used.
"""

ATTRIBUTES = """
| Attribute | |
|---|---|
| `config` | the `Config` |
| `app` | the application, once it is loaded |
| `started` | whether the start is complete |
| `addresses` | the URLs, such as `("http://127.0.0.1:8000",)` |
| `listeners` | the sockets, each as `socket` |
| `context.stats` | counters: requests, connections, what was refused |
"""

METHODS = (
    "start",
    "serve",
    "stop",
    "request_stop",
    "stop_threadsafe",
    "wait_stopped",
    "bind",
    "release_listeners",
    "measure",
    "dump",
    "reload_tls",
)

ERRORS = (
    "StartupError",
    "ConfigError",
    "ApplicationLoadError",
    "LifespanFailed",
    "BindError",
    "WorkersFailed",
    "ApplicationError",
    "ClientDisconnected",
)


def prose(thing: Any) -> str:
    """A docstring as Markdown: names in single backticks, lines filled."""
    text = re.sub(r"``([^`]+)``", r"`\1`", inspect.getdoc(thing) or "")
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(
        textwrap.fill(part, 100, break_long_words=False, break_on_hyphens=False)
        for part in paragraphs
    )


def signature(name: str, function: Any, *, method: bool = False) -> str:
    """A call as one writes it; a list of all options is left at ``**options``."""
    found = inspect.signature(function)
    parameters = list(found.parameters.values())[1 if method else 0 :]
    known = [item for item in parameters if item.name in ("app", "config", "env", "listeners")]
    if len(parameters) > 12:
        options = inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)
        parameters = [*known, options]
    parts, keyword_only = [], False
    for item in parameters:
        if item.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        stars = {inspect.Parameter.VAR_KEYWORD: "**", inspect.Parameter.VAR_POSITIONAL: "*"}
        default = "" if item.default is inspect.Parameter.empty else f"={item.default!r}"
        parts.append(f"{stars.get(item.kind, '')}{item.name}{default}")
    begin = "await " if inspect.iscoroutinefunction(function) else ""
    return f"{begin}{name}({', '.join(parts)})"


def report() -> str:
    """The text of docs/api.md."""
    usage = (asgiserver.__doc__ or "").split("\n\n")[1:-1]
    code = re.sub(" {2,}#", "  #", textwrap.dedent("\n\n".join(usage)))
    parts = [HEAD.format(usage=f"```python\n{code}\n```\n")]

    def add(title: str, call: str, thing: Any) -> None:
        parts.append(f"{title}\n\n```python\n{call}\n```\n\n{prose(thing)}\n")

    parts.append("## Serving\n")
    for name in ("run", "serve", "serve_in_thread"):
        function = getattr(asgiserver, name)
        add(f"### `{name}`", signature(f"asgiserver.{name}", function), function)
    add("## `Config`", "asgiserver.Config(app=None, **options)", asgiserver.Config)
    parts.append("[Options](options.md) lists the fields; `timeout_keep_alive` is that of the flag")
    parts[-1] += " `--timeout-keep-alive`.\n"
    call = signature("asgiserver.Server", asgiserver.Server.__init__, method=True)
    add("## `Server`", call, asgiserver.Server)
    parts.append(ATTRIBUTES.strip() + "\n")
    for name in METHODS:
        method = getattr(asgiserver.Server, name)
        add(f"### `Server.{name}`", signature(f"server.{name}", method, method=True), method)
    parts.append(
        "## `request_id`\n\nA context variable: `asgiserver.request_id.get()` is the id of the"
    )
    parts[-1] += (
        " request that the caller\nserves, see [Logging](logging.md#request-ids-and-traces).\n"
    )
    parts.append("## Exceptions\n")
    rows = [f"| `{name}` | {prose(getattr(errors, name))} |" for name in ERRORS]
    parts.append("\n".join(["| `asgiserver.` | |", "|---|---|", *rows]).replace("\n\n", " ") + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(report())
