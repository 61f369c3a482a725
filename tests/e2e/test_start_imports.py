"""What a served GET has imported: a start is mostly imports, so nothing comes in unnoticed."""

import subprocess
import sys

import pytest
from cli_server import Command

pytest.importorskip("uvloop")

APP = """
import sys

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = " ".join(sys.modules).encode()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})
"""

OURS = """
    context errors speedups speedups._core
    asgi.channel asgi.ending asgi.exchange asgi.failure asgi.files asgi.lifespan
    asgi.older.interface asgi.opening asgi.response asgi.scope asgi.session asgi.shared_keys
    cli.main
    config.fields config.files config.options config.registry config.values
    h1.channel h1.chunked h1.codecs h1.connection h1.core_reader h1.encoder h1.framing h1.head
    h1.head_reader h1.httptools_parser h1.parser
    http.addresses http.bounded http.dates http.fields http.forwarded http.message http.peer
    http.semantics http.target http.underscores
    log.access log.access_format log.columns log.escape log.flat log.formatters log.loggers
    log.origin log.outlet log.record log.refusals log.setup log.timestamps
    metrics.figures
    process.role process.runner process.upgrade
    server.acceptor server.announcement server.application server.children server.control_socket
    server.frontend server.importing server.limits server.listener server.loading server.log_flusher
    server.loops server.main_task server.own_files server.proxy server.readiness server.redirect
    server.runner server.server server.staged_stop server.standard_streams server.terminal
    server.unfinished server.view server.wires
    watch.collector watch.door watch.frames watch.measure watch.watchdog watch.watching
    wire.choose wire.clock wire.connection wire.output wire.peer wire.sendfile wire.server_fields
    wire.waiting
    ws.codecs ws.protocol
"""
OTHERS = """
    __future__ copy dataclasses faulthandler http importlib._abc importlib.util ipaddress runpy
    traceback urllib urllib.parse
"""


def loop_modules():
    """What asyncio, uvloop and httptools need, whoever serves."""
    code = "import asyncio, httptools, sys, typing, uvloop; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(done.stdout.split())


@pytest.fixture
def imported(tmp_path):
    """The modules that were there when the application was called."""
    (tmp_path / "served.py").write_text(APP)
    command = Command(tmp_path, "served:app", "--port", "0", ready=False)
    try:
        command.wait_output("Serving on http://")
        address = command.output.partition("Serving on ")[2].split()[0]
        return set(command.get(address=address).partition(b"\r\n\r\n")[2].decode().split())
    finally:
        command.close()


def test_a_served_get_has_imported_no_more_than_this(imported):
    ours = {name for name in imported if name.partition(".")[0] == "asgiserver"}
    packages = {name.rpartition(".")[0] for name in ours}
    found = {name.removeprefix("asgiserver.") for name in ours - packages - {"asgiserver"}}
    assert found - {"_version"} <= set(OURS.split())
    others = imported - ours - loop_modules() - set(OTHERS.split()) - {"served"}
    assert not {name for name in others if not name.startswith("_")}


@pytest.mark.parametrize("name", ["click", "json", "logging.config", "tomllib", "h11", "wsproto"])
def test_what_is_loaded_only_when_it_is_used(name, imported):
    assert name not in imported
