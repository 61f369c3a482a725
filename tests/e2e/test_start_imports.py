"""What a served GET has imported: a start is mostly imports, so nothing comes in unnoticed."""

import subprocess
import sys
from contextlib import contextmanager

import httpx
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
    h2.budgets h2.channel h2.codec h2.connection h2.core_request h2.faults h2.frames
    h2.header_blocks h2.hpack h2.hpack_policy h2.inflow h2.output h2.priority h2.receiving
    h2.request_head h2.sending h2.settings h2.setup h2.streams h2.watch
    http.addresses http.bounded http.dates http.fields http.forwarded http.message http.peer
    http.semantics http.target http.underscores
    log.access log.access_format log.columns log.escape log.flat log.formatters log.loggers
    log.origin log.outlet log.record log.refusals log.setup log.timestamps
    metrics.figures metrics.histogram
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
    __future__ bisect copy dataclasses faulthandler http importlib._abc importlib.util ipaddress
    runpy traceback urllib urllib.parse
"""


def loop_modules():
    """What asyncio, uvloop and httptools need, whoever serves."""
    code = "import asyncio, httptools, sys, typing, uvloop; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(done.stdout.split())


@contextmanager
def served(folder, *options):
    """A server, and its address."""
    (folder / "served.py").write_text(APP)
    # On a busy machine the loop may stand still for a moment; a stall is told by further modules.
    options = ("--port", "0", "--loop-stall-warn", "1h", *options)
    command = Command(folder, "served:app", *options, ready=False)
    try:
        command.wait_output("Serving on http://")
        yield command, command.output.partition("Serving on ")[2].split()[0]
    finally:
        command.close()


def modules_by_http_1(command, address):
    return set(command.get(address=address).partition(b"\r\n\r\n")[2].decode().split())


@pytest.fixture
def imported(tmp_path):
    """The modules that were there when the application was called."""
    with served(tmp_path) as (command, address):
        return modules_by_http_1(command, address)


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


def test_the_first_request_over_http2_waits_for_no_import(tmp_path):
    with served(tmp_path) as (command, address):
        before = modules_by_http_1(command, address)
        with httpx.Client(http1=False, http2=True) as client:
            assert set(client.get(address).text.split()) == before


def test_http2_that_is_turned_off_is_not_imported(tmp_path):
    with served(tmp_path, "--no-http2") as (command, address):
        modules = modules_by_http_1(command, address)
    assert not {name for name in modules if name.startswith("asgiserver.h2")}
