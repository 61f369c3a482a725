"""The stand-in has uvicorn's interface, and what a program does to its objects has its effect."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import pickle
import signal
import socket
import threading

import pytest
import uvicorn as real
import uvicorn.config
import uvicorn.logging
import uvicorn.server
import uvicorn.supervisors

import asgiserver.compat.uvicorn as ours
from asgiserver.compat.uvicorn.config import Config
from asgiserver.compat.uvicorn.server import Server, ServerState
from asgiserver.compat.uvicorn.supervisors import BaseReload, ChangeReload, Multiprocess

WAIT = 20  # seconds for anything that must happen
LOGGERS = ("asgiserver", "asgiserver.access", "uvicorn", "uvicorn.error", "uvicorn.access")


@pytest.fixture(autouse=True)
def loggers():
    """Loggers, which a `Config` changes, as they were."""
    before = {}
    for name in LOGGERS:
        target = logging.getLogger(name)
        before[name] = target.level, target.handlers[:], target.filters[:], target.propagate
        target.filters = []
    yield
    for name, (level, handlers, filters, propagate) in before.items():
        target = logging.getLogger(name)
        target.setLevel(level)
        target.handlers, target.filters, target.propagate = handlers, filters, propagate


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (kind := (await receive())["type"]) != "lifespan.shutdown":
            await send({"type": f"{kind}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/hang":
        await asyncio.sleep(3600)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def until(condition):
    """Look ten times a second, as a program does."""
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.01)


async def get(server, path="/"):
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    data = await reader.read()
    writer.close()
    return data


@contextlib.asynccontextmanager
async def serving(server, **arguments):
    """The server while `serve` runs; it must end by itself afterwards."""
    task = asyncio.create_task(server.serve(**arguments))
    await until(lambda: server.started or task.done())
    try:
        yield task
        async with asyncio.timeout(WAIT):
            await task
    finally:
        task.cancel()
        await asyncio.wait({task})


# The interface -----------------------------------------------------------------------------------


def parameters(function):
    found = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


def test_config_has_the_parameters_of_uvicorn_in_their_order():
    assert parameters(Config) == parameters(real.Config)
    assert parameters(Config.__init__)[1:] == parameters(real.Config.__init__)[1:]
    assert inspect.getfullargspec(Config.__init__).args[:3] == ["self", "app", "host"]


def test_run_has_the_keywords_of_uvicorn():
    assert sorted(parameters(ours.run), key=repr) == sorted(parameters(real.run), key=repr)


def public(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_server_has_the_attributes_of_uvicorn():
    theirs = public(real.Server(real.Config(app, log_config=None)))
    assert theirs <= public(Server(Config(app)))
    for name in ("run", "serve", "startup", "main_loop", "on_tick", "shutdown", "handle_exit"):
        mine, other = getattr(Server, name), getattr(real.Server, name)
        if other.__module__ != real.Server.__module__:
            continue  # sse-starlette, where it was imported, has put its own in the place
        assert parameters(mine) == parameters(other)
    assert {"total_requests", "connections", "tasks"} <= public(ServerState())


def test_config_has_the_attributes_of_uvicorn():
    theirs = public(real.Config(app, log_config=None))
    # Two that only uvicorn's own protocols and reloader read.
    assert theirs - public(Config(app)) == {"encoded_headers", "reload_dirs_excludes"}


def test_supervisors_have_the_attributes_of_uvicorn():
    mine, other = public(BaseReload), public(uvicorn.supervisors.basereload.BaseReload)
    assert other <= mine
    assert issubclass(ChangeReload, BaseReload)
    assert "run" in public(Multiprocess)


def test_the_logging_configuration_is_that_of_uvicorn():
    assert ours.config.LOGGING_CONFIG == uvicorn.config.LOGGING_CONFIG
    assert ours.config.LOG_LEVELS == uvicorn.config.LOG_LEVELS
    assert ours.config.STARTUP_FAILURE == uvicorn.config.STARTUP_FAILURE


@pytest.mark.parametrize("use_colors", [False, None])
@pytest.mark.parametrize("name", ["DefaultFormatter", "AccessFormatter"])
def test_formatters_write_what_those_of_uvicorn_write(name, use_colors):
    fmt = "%(levelprefix)s %(message)s"
    if name == "AccessFormatter":
        fmt = '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'
    arguments = ("1.2.3.4:5", "GET", "/a?b", "1.1", 404)
    record = logging.LogRecord(
        "uvicorn.access", logging.INFO, "", 1, '%s - "%s %s HTTP/%s" %d', arguments, None
    )
    mine = getattr(ours.logging, name)(fmt, use_colors=use_colors)
    other = getattr(uvicorn.logging, name)(fmt, use_colors=use_colors)
    assert mine.format(record) == other.format(record)


def test_a_parameter_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="prot"):
        Config(app, prot=8000)


# Configuration -----------------------------------------------------------------------------------


def test_options_reach_the_server():
    own = Config(
        app,
        "::1",
        81,
        timeout_keep_alive=7,
        headers=[("X-A", "b")],
        ws="websockets-sansio",
        loop="asyncio:SelectorEventLoop",
        forwarded_allow_ips="*",
        log_level="warning",
        root_path="/a",
    ).own_config()
    assert (own.host, own.port, own.timeout_keep_alive) == ("::1", 81, 7)
    assert (own.headers, own.ws) == (("X-A:b",), "websockets")
    assert (own.forwarded_allow_ips, own.log_level, own.root_path) == (("*",), "warning", "/a")


def test_what_is_uvicorns_default_is_ours(monkeypatch):
    monkeypatch.setenv("PORT", "81")  # uvicorn does not read it
    own = Config(app).own_config()
    plain = type(own)()
    assert (own.host, own.port) == ("127.0.0.1", 8000)
    for name in ("timeout_keep_alive", "timeout_graceful_shutdown", "ws_compression", "http2"):
        assert getattr(own, name) == getattr(plain, name)


def test_what_uvicorn_has_no_name_for_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("ASGISERVER_HEALTH_PATH", "/health")
    assert Config(app).own_config().health_path == "/health"


def test_attributes_may_be_set_until_the_start():
    config = Config(app)
    config.port, config.http = 82, object
    assert config.own_config().port == 82


def test_a_host_of_none_means_all_addresses():
    assert Config(app, host=None).own_config().host == ""


def test_workers_come_from_the_environment_as_with_uvicorn(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert Config("a:app").workers == 3
    assert Config("a:app").use_subprocess
    assert Config("a:app", workers=1).workers == 1


def test_an_env_file_is_read(tmp_path, monkeypatch):
    monkeypatch.delenv("TEA", raising=False)
    (tmp_path / ".env").write_text("TEA=green\n")
    Config(app, env_file=tmp_path / ".env")
    assert os.environ.pop("TEA") == "green"


def test_bind_socket_gives_a_bound_socket():
    with Config(app, port=0).bind_socket() as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockname()[1] > 0
        assert sock.get_inheritable()


def test_bind_socket_ends_with_3_when_the_port_is_taken(caplog):
    with Config(app, port=0).bind_socket() as sock, pytest.raises(SystemExit) as error:
        Config(app, port=sock.getsockname()[1]).bind_socket()
    assert error.value.code == 3


def test_a_config_and_a_server_can_be_pickled():
    server = pickle.loads(pickle.dumps(Server(Config("a:app", reload=True, port=81))))
    assert server.config.port == 81
    assert server.config.should_reload


# A server that runs ------------------------------------------------------------------------------


async def test_should_exit_stops():
    server = Server(Config(app, port=0))
    async with serving(server):
        assert b"server: asgiserver" in await get(server)
        assert server.server_state.total_requests == 1
        assert server.servers[0].is_serving()
        server.should_exit = True
    assert not server.servers[0].is_serving()


async def test_force_exit_ends_the_wait_for_requests():
    server = Server(Config(app, port=0, timeout_graceful_shutdown=3600))
    async with serving(server):
        request = asyncio.create_task(get(server, "/hang"))
        await until(lambda: server.server_state.tasks)
        server.should_exit = True
        server.force_exit = True
    await request


async def test_loaded_app_is_the_application_before_its_start_up():
    seen = []

    async def looks(scope, receive, send):
        if scope["type"] == "lifespan":
            seen.append(server.config.loaded_app)
        await app(scope, receive, send)

    server = Server(Config(looks, port=0))
    async with serving(server):
        server.should_exit = True
    assert seen == [looks]


async def test_a_subclass_may_override_every_step():
    steps = []

    class Mine(Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            steps.append("startup")

        async def main_loop(self):
            steps.append("main_loop")
            await super().main_loop()

        async def on_tick(self, counter):
            steps.append(f"tick {counter}")
            return counter == 1

        async def shutdown(self, sockets=None):
            await super().shutdown(sockets)
            steps.append("shutdown")

    async with serving(Mine(Config(app, port=0))):
        pass
    assert steps == ["startup", "main_loop", "tick 0", "tick 1", "shutdown"]


async def test_sockets_of_the_program():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = Server(Config(app))
    async with serving(server, sockets=[sock]):
        assert b"hello" in await get(server)
        assert server.servers[0].sockets[0].getsockname() == sock.getsockname()
        server.should_exit = True
    assert sock.fileno() == -1


async def test_the_limit_of_requests_stops():
    server = Server(Config(app, port=0, limit_max_requests=2))
    async with serving(server):
        await get(server)
        await get(server)


async def test_callback_notify_is_called():
    called = asyncio.Event()

    async def notify():
        called.set()

    server = Server(Config(app, port=0, callback_notify=notify))
    async with serving(server):
        async with asyncio.timeout(WAIT):
            await called.wait()
        server.should_exit = True


async def test_cancelling_stops():
    server = Server(Config(app, port=0))
    with pytest.raises(asyncio.CancelledError):
        async with serving(server) as task:
            task.cancel()
    assert not server.servers[0].is_serving()


async def test_should_exit_breaks_off_a_start_up():
    entered = asyncio.Event()

    async def slow(scope, receive, send):
        await receive()
        entered.set()
        await asyncio.sleep(3600)

    server = Server(Config(slow, port=0))
    task = asyncio.create_task(server.serve())
    await entered.wait()
    server.should_exit = True
    async with asyncio.timeout(WAIT):
        await task
    assert not server.started


def run_failing(config):
    """The exit code of a server that does not start, and its log."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("uvicorn.error").addHandler(handler)
    with pytest.raises(SystemExit) as error:
        Server(config).run()
    return error.value.code, [record.getMessage() for record in records]


def test_a_taken_port_ends_with_3_and_one_line():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        code, lines = run_failing(Config(app, port=port))
    assert code == 3
    (line,) = [line for line in lines if "cannot listen" in line]
    assert line.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")


def test_a_start_up_that_fails_ends_with_3():
    async def broken(scope, receive, send):
        await receive()
        raise RuntimeError("no tea")

    code, lines = run_failing(Config(broken, port=0))
    assert code == 3
    assert "no tea" in lines[-1]


def test_an_application_that_is_not_there_ends_with_3():
    code, lines = run_failing(Config("no_such_module:app", port=0))
    assert code == 3
    assert "no module 'no_such_module'" in lines[-1]


async def test_run_in_a_running_loop_names_serve():
    with pytest.raises(RuntimeError, match=r"await Server.serve\(\)"):
        Server(Config(app, port=0)).run()


def test_a_server_in_a_thread():
    server = Server(Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    asyncio.run(until(lambda: server.started))
    assert b"hello" in asyncio.run(get(server))
    server.should_exit = True
    thread.join(WAIT)
    assert not thread.is_alive()


# Signals -----------------------------------------------------------------------------------------


async def test_signals_are_raised_again_after_the_stop():
    raised = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: raised.append(number))
    try:
        server = Server(Config(app, port=0))
        async with serving(server):
            signal.raise_signal(signal.SIGTERM)
            assert server.should_exit
            assert not raised
        assert raised == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("how", ["subclass", "instance"])
async def test_who_replaces_install_signal_handlers_keeps_the_signals(how):
    class Mine(Server):
        def install_signal_handlers(self):
            pass

    server = (Mine if how == "subclass" else Server)(Config(app, port=0))
    if how == "instance":
        server.install_signal_handlers = lambda: None
    before = signal.getsignal(signal.SIGINT)
    async with serving(server):
        assert signal.getsignal(signal.SIGINT) is before
        assert signal.getsignal(signal.SIGTERM) == server.handle_exit
        server.should_exit = True
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_handle_exit_may_be_replaced(monkeypatch):
    seen = []

    def handle(self, number, frame):
        seen.append(number)
        original(self, number, frame)

    original = Server.handle_exit
    monkeypatch.setattr(Server, "handle_exit", handle)
    server = Server(Config(app, port=0))
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        async with serving(server):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_the_second_ctrl_c_forces_and_the_third_interrupts():
    server = Server(Config(app))
    server.handle_exit(signal.SIGINT, None)
    assert (server.should_exit, server.force_exit) == (True, False)
    server.handle_exit(signal.SIGINT, None)
    assert server.force_exit
    with pytest.raises(KeyboardInterrupt):
        server.handle_exit(signal.SIGINT, None)
