"""What a server says of itself once it serves."""

import logging

from asgiserver import __version__, speedups
from asgiserver.config.fields import Config
from asgiserver.server import announcement
from asgiserver.server.announcement import announce, clickable, loop_name, make_panel, reader_name


def test_the_panel():
    config = Config("main:app", loop="asyncio", http="h11", sources=("asgiserver.toml", "PORT"))  # type: ignore[call-arg] # of the resolver
    text = make_panel(config, ["http://127.0.0.1:8000", "unix:/run/a.sock"], 0, colors=False)
    assert (
        text
        == f"""
  asgiserver {__version__}  main:app

  Serving on  http://127.0.0.1:8000
              unix:/run/a.sock
  Event loop  asyncio
  HTTP/1      h11
  Options     asgiserver.toml, PORT

  Ctrl-C stops

"""
    )


def test_the_panel_of_workers_with_tls():
    tls = {"ssl_certfile": "a.pem", "ssl_min_version": "1.3"}
    text = make_panel(Config("main:app", workers=4, **tls), ["https://[::]:443"], 4, colors=True)
    assert "\x1b[1mhttps://[::]:443\x1b[0m" in text
    assert "\x1b[1mhttps://localhost:443\x1b[0m" in text
    assert "Workers   \x1b[0m  4\n" in text
    assert "TLS       \x1b[0m  1.3 or higher\n" in text
    text = make_panel(Config("main:app", reload=True), [], 1, colors=False)
    assert "Workers     1, reloading\n" in text


def test_an_application_that_was_given():
    async def app(scope, receive, send):
        pass

    assert f"asgiserver {__version__}  function\n" in make_panel(Config(app), [], 0, colors=False)


def test_addresses_to_click():
    assert clickable(["http://0.0.0.0:80", "http://[::]:80", "http://10.0.0.0:80"]) == [
        "http://0.0.0.0:80",
        "http://localhost:80",
        "http://[::]:80",
        "http://10.0.0.0:80",
    ]


def test_names():
    assert loop_name("uvloop") == "uvloop"
    assert loop_name("auto") in ("uvloop", "asyncio")
    assert reader_name("httptools") == "httptools"


def test_the_reader_without_a_core(monkeypatch):
    monkeypatch.setattr(speedups, "is_used", True)
    assert reader_name("auto") == "compiled core"
    monkeypatch.setattr(speedups, "is_used", False)
    monkeypatch.setattr(speedups, "about", "not built")
    monkeypatch.setattr(speedups, "is_stale", False)
    monkeypatch.setattr(announcement.importlib.util, "find_spec", lambda name: None)
    assert reader_name("auto") == "h11 (compiled core: not built)"
    monkeypatch.setattr(speedups, "is_stale", True)
    assert reader_name("auto") == "h11 (compiled core: stale)"


def test_elsewhere_each_address_is_a_line(caplog):
    with caplog.at_level(logging.INFO, "asgiserver"):
        announce(Config("main:app"), ["http://a:1", "http://b:2"])
    assert caplog.messages == ["Serving on http://a:1", "Serving on http://b:2"]
