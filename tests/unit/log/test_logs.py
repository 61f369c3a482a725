"""Set-up of the loggers, escaping, and the log of refused requests."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgiserver.config.fields import Config
from asgiserver.errors import ConfigError, PeerError
from asgiserver.log.columns import wants_colors
from asgiserver.log.escape import client_text, escape
from asgiserver.log.loggers import ACCESS_LOGGER, LOGGER, StandInHandler, has_foreign_handlers
from asgiserver.log.refusals import LinesPerPeer, PeerErrorLog
from asgiserver.log.setup import TRACE, log_level, setup_logging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(LOGGER)
access = logging.getLogger(ACCESS_LOGGER)


@pytest.fixture(autouse=True)
def host() -> Iterator[logging.Logger]:
    """Both loggers as in a fresh program, below this root instead of pytest's."""
    root = logger.parent
    host = logger.parent = logging.RootLogger(logging.WARNING)
    logger.setLevel(logging.NOTSET)
    yield host
    for target in (logger, access):
        target.handlers.clear()
        target.setLevel(logging.NOTSET)
        target.propagate = True
    logger.parent = root


class Stderr:
    """What was written to stderr since the test began."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Stderr:
    return Stderr(capsys)


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.seen]


@pytest.fixture
def records() -> Records:
    handler = Records()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler


# Escaping


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"/items?q=1", "/items?q=1"),
        (b"", ""),
        (b"/\x1b[2J", "/\\x1b[2J"),
        (b"a\r\nb\tc\0", "a\\x0d\\x0ab\\x09c\\x00"),
        (b'\\x1b "quoted"', "\\x5cx1b \\x22quoted\\x22"),
        (b"\x7f\x80\xff", "\\x7f\\x80\\xff"),
        ("é\x1b", "\\xc3\\xa9\\x1b"),
        ("\udc80", "\\xed\\xb2\\x80"),
    ],
)
def test_escape(data: bytes | str, text: str) -> None:
    assert escape(data) == text


@given(st.binary() | st.text())
def test_escaped_text_is_printable_and_unambiguous(data: bytes | str) -> None:
    text = escape(data)
    assert text.isascii()
    assert not text or text.isprintable()
    assert '"' not in text
    original = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    assert text.encode().decode("unicode_escape").encode("latin-1") == original


def test_client_text() -> None:
    assert client_text(("10.0.0.1", 80)) == "10.0.0.1:80"
    assert client_text(("::1", 80)) == "[::1]:80"
    assert client_text(("evil\n", 80)) == "evil\\x0a:80"
    assert client_text(None) == "-"


# Levels and colours


def test_log_level() -> None:
    assert log_level("TRACE") == TRACE
    assert log_level(logging.DEBUG) == logging.DEBUG
    with pytest.raises(ConfigError, match="did you mean warning"):
        log_level("warn")
    with pytest.raises(ConfigError, match="use one of critical"):
        log_level("zzz")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("asked", "environ", "stream", "colors"),
    [
        (None, {}, Terminal(), True),
        (None, {}, io.StringIO(), False),
        (None, {}, None, False),
        (None, {"TERM": "dumb"}, Terminal(), False),
        (None, {"NO_COLOR": "1"}, Terminal(), False),
        (None, {"FORCE_COLOR": "1"}, io.StringIO(), True),
        (None, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
        (True, {"NO_COLOR": "1"}, io.StringIO(), True),
        (False, {"FORCE_COLOR": "1"}, Terminal(), False),
    ],
)
def test_colors(
    monkeypatch: pytest.MonkeyPatch,
    asked: bool | None,
    environ: dict[str, str],
    stream: io.StringIO | None,
    colors: bool,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert wants_colors(asked, stream) is colors


def test_a_closed_stream_has_no_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    stream = io.StringIO()
    stream.close()
    assert wants_colors(None, stream) is False


# Set-up


def test_alone_we_write_to_stderr(stderr: Stderr) -> None:
    root_before = (logging.root.level, list(logging.root.handlers))
    handle = setup_logging(Config(use_colors=False))
    logger.info("Serving on %s", "http://127.0.0.1:8000")
    logger.debug("not shown")
    handle.close()
    logger.info("after close")
    lines = stderr.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(" INFO     Serving on http://127.0.0.1:8000")
    assert (logging.root.level, list(logging.root.handlers)) == root_before


def test_control_bytes_of_a_traceback_are_made_visible(stderr: Stderr) -> None:
    handle = setup_logging(Config(use_colors=False))
    try:
        raise ValueError("\x1b[2J\r\x9b")
    except ValueError:
        logger.exception("Failed")
    handle.close()
    text = stderr.getvalue()
    assert "ValueError: \\x1b[2J\\x0d\\x9b" in text
    assert "\x1b" not in text
    assert text.count("\n") > 3


def test_colored_level(stderr: Stderr) -> None:
    handle = setup_logging(Config(use_colors=True))
    logger.error("x")
    handle.close()
    assert "\x1b[31mERROR   \x1b[0m x" in stderr.getvalue()


def test_trace_level(stderr: Stderr) -> None:
    handle = setup_logging(Config(log_level="trace", use_colors=False))
    logger.log(TRACE, "frame")
    handle.close()
    assert " TRACE    frame" in stderr.getvalue()
    assert logger.level == logging.NOTSET


def test_a_configured_host_is_left_alone(stderr: Stderr, records: Records) -> None:
    logger.setLevel(logging.NOTSET)
    handle = setup_logging(Config())
    assert logger.level == logging.NOTSET
    logger.warning("for the host")
    handle.close()
    assert records.messages == ["for the host"]
    assert stderr.getvalue() == ""


def test_a_configured_host_gets_the_level_that_was_asked_for(records: Records) -> None:
    logger.setLevel(logging.NOTSET)
    handle = setup_logging(Config(log_level="debug"))
    assert logger.level == logging.DEBUG
    handle.close()
    assert logger.level == logging.NOTSET
    assert logger.handlers == [records]


def test_a_host_that_configures_logging_later_takes_over(stderr: Stderr) -> None:
    handle = setup_logging(Config())
    records = Records()
    logger.addHandler(records)
    logger.info("once")
    handle.close()
    assert records.messages == ["once"]
    assert stderr.getvalue() == ""


def test_handlers_of_the_root_logger_count(host: logging.Logger) -> None:
    assert not has_foreign_handlers(access)
    logger.addHandler(logging.NullHandler())
    assert not has_foreign_handlers(access)
    host.addHandler(Records())
    assert has_foreign_handlers(access)
    logger.propagate = False
    assert not has_foreign_handlers(access)


def test_several_servers_share_one_handler(stderr: Stderr) -> None:
    first, second = setup_logging(Config()), setup_logging(Config())
    assert len(logger.handlers) == 1
    assert repr(first) == "<LoggingHandle open <StandInHandler users=2>>"
    first.close()
    first.close()
    logger.info("one line")
    second.close()
    assert stderr.getvalue().count("one line") == 1
    assert logger.handlers == []
    assert logger.level == logging.NOTSET
    assert repr(second) == "<LoggingHandle closed <StandInHandler users=0>>"


def test_no_stderr_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = setup_logging(Config(use_colors=False))
    monkeypatch.setattr(sys, "stderr", None)
    logger.error("nobody hears this")
    handle.close()


# --log-config


def dict_config(**loggers: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "formatters": {"short": {"format": "%(name)s|%(message)s"}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "formatter": "short",
                "stream": "ext://sys.stdout",
            }
        },
        "loggers": {name.replace("_", "."): entry for name, entry in loggers.items()},
    }


def apply_and_log(source: Any) -> None:
    handle = setup_logging(Config(log_config=source))
    logger.info("hello")
    handle.close()


def test_log_config_dict(capsys: pytest.CaptureFixture[str]) -> None:
    settings = dict_config(asgiserver={"handlers": ["out"], "level": "INFO"})
    settings["disable_existing_loggers"] = True
    other = logging.getLogger("tests.other")
    before = json.dumps(settings)
    apply_and_log(settings)
    assert capsys.readouterr() == ("asgiserver|hello\n", "")
    assert not other.disabled
    assert json.dumps(settings) == before


def test_log_config_without_our_handlers_keeps_the_default(stderr: Stderr) -> None:
    handle = setup_logging(Config(log_config={"loggers": {"asgiserver": {"propagate": False}}}))
    logger.info("hello")
    handle.close()
    assert stderr.getvalue().endswith("hello\n")


def test_log_config_level_holds_unless_a_level_is_asked_for() -> None:
    settings = dict_config(asgiserver={"handlers": ["out"], "level": "ERROR"})
    setup_logging(Config(log_config=settings)).close()
    handle = setup_logging(Config(log_config=settings))
    assert logger.level == logging.ERROR
    handle.close()
    handle = setup_logging(Config(log_config=settings, log_level="debug"))
    assert logger.level == logging.DEBUG
    handle.close()


TOML = """
[formatters.short]
format = "%(name)s|%(message)s"
[handlers.out]
class = "logging.StreamHandler"
formatter = "short"
stream = "ext://sys.stdout"
[loggers.asgiserver]
handlers = ["out"]
level = "INFO"
"""
INI = """
[loggers]
keys = root, ours, twice
[handlers]
keys = out
[formatters]
keys = short
[logger_root]
handlers =
[logger_ours]
qualname = uvicorn
handlers = out
level = INFO
propagate = 0
[logger_twice]
qualname = uvicorn.error
handlers =
[handler_out]
class = StreamHandler
formatter = short
args = (sys.stdout,)
[formatter_short]
format = %(name)s|%(message)s
"""


def test_log_config_json_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.json"
    settings = dict_config(asgiserver={"handlers": ["out"], "level": "INFO"})
    path.write_text(json.dumps(settings))
    apply_and_log(str(path))
    assert capsys.readouterr().out == "asgiserver|hello\n"


def test_log_config_toml_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.toml"
    path.write_text(TOML)
    apply_and_log(path)
    assert capsys.readouterr().out == "asgiserver|hello\n"


def test_log_config_yaml_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "log.yaml"
    settings = dict_config(asgiserver={"handlers": ["out"], "level": "INFO"})
    path.write_text(json.dumps(settings))  # JSON is YAML
    apply_and_log(path)
    assert capsys.readouterr().out == "asgiserver|hello\n"


def test_log_config_yaml_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "log.yml"
    path.write_text("version: 1")
    with pytest.raises(ConfigError, match=r"log\.yml: YAML needs PyYAML \(pip install pyyaml\)"):
        setup_logging(Config(log_config=str(path)))


def test_log_config_ini_file_for_uvicorn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.ini"
    path.write_text(INI)
    root_before = (logging.root.level, list(logging.root.handlers))
    try:
        apply_and_log(path)
    finally:  # this file names the root logger itself
        logging.root.handlers[:] = root_before[1]
        logging.root.setLevel(root_before[0])
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("uvicorn's loggers are read as asgiserver and asgiserver.access")
    assert second == "asgiserver|hello"


UVICORN = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "uvicorn.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "uvicorn.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
            "use_colors": False,
        },
    },
    "handlers": {
        "default": {
            "formatter": "default",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stderr",
        },
        "access": {
            "formatter": "access",
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}


def test_a_log_config_written_for_uvicorn_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    handle = setup_logging(Config(log_config=UVICORN))
    logger.info("hello")
    access.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/a?b", "1.1", 200)
    handle.close()
    out, err = capsys.readouterr()
    assert out == 'INFO:     127.0.0.1:1 - "GET /a?b HTTP/1.1" 200\n'
    warning, hello = err.splitlines()
    assert warning.startswith("WARNING:  --log-config: uvicorn's loggers are read as asgiserver")
    assert hello == "INFO:     hello"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("log.json", "{", "Expecting property name"),
        ("log.json", "[]", "must hold a mapping"),
        ("log.json", '{"handlers": {"x": {"class": "no.Such"}}}', "Unable to configure handler"),
        ("log.json", '{"version": 7}', "Unsupported version"),
        ("log.toml", "=", "Invalid statement"),
        ("log.ini", "nonsense", "no section headers"),
        ("log.conf", "[a]\nb=c", "No section: 'loggers'"),
    ],
)
def test_bad_log_config_is_one_line(tmp_path: Path, name: str, text: str, problem: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        setup_logging(Config(log_config=str(path)))
    line = str(caught.value)
    assert line.startswith(f"--log-config {path}: ")
    assert problem in line
    assert "\n" not in line


def test_missing_log_config() -> None:
    with pytest.raises(ConfigError, match=r"--log-config no\.json: No such file or directory"):
        setup_logging(Config(log_config="no.json"))


def test_a_failed_set_up_installs_nothing() -> None:
    with pytest.raises(ConfigError):
        setup_logging(Config(log_config={"version": 7}))
    assert not any(isinstance(handler, StandInHandler) for handler in logger.handlers)


# Refused requests

REFUSED = PeerError(400, "missing Host field")


def test_one_line_per_refused_request(records: Records) -> None:
    log = PeerErrorLog()
    log.report(("10.0.0.1", 51422), REFUSED, 0.0)
    log.report(None, PeerError(431, "head too large\n"), 0.0)
    assert records.messages == [
        "Refused 10.0.0.1:51422: 400 missing Host field",
        "Refused -: 431 head too large\\x0a",
    ]
    assert {record.levelno for record in records.seen} == {logging.INFO}
    assert all(record.exc_info is None for record in records.seen)


def test_lines_per_peer_and_minute_are_bounded(records: Records) -> None:
    log = PeerErrorLog(per_peer=2)
    for port in range(100):
        log.report(("10.0.0.1", port), REFUSED, port / 10)
    log.report(("10.0.0.2", 1), REFUSED, 10.0)
    assert records.messages == [
        "Refused 10.0.0.1:0: 400 missing Host field",
        "Refused 10.0.0.1:1: 400 missing Host field",
        "Further refused requests of 10.0.0.1 are not logged for a minute",
        "Refused 10.0.0.2:1: 400 missing Host field",
    ]
    log.report(("10.0.0.1", 7), REFUSED, 60.0)
    assert records.messages[-1] == "Refused 10.0.0.1:7: 400 missing Host field"


def test_lines_of_all_peers_are_bounded(records: Records) -> None:
    log = PeerErrorLog(overall=3)
    for host in range(100):
        log.report((f"10.0.0.{host}", 1), REFUSED, 0.0)
    assert len(records.messages) == 4
    assert records.messages[-1] == "Further refused requests are not logged for a minute"


def test_memory_for_peers_is_bounded(records: Records) -> None:
    log = PeerErrorLog()
    for host in range(3000):
        log.report((f"::{host:x}", 1), REFUSED, 0.0)
    assert repr(log) == f"<PeerErrorLog <LinesPerPeer peers={LinesPerPeer.PEERS}>>"


def test_nothing_is_counted_when_nothing_is_logged(records: Records) -> None:
    logger.setLevel(logging.WARNING)
    log = PeerErrorLog()
    log.report(("10.0.0.1", 1), REFUSED, 0.0)
    assert repr(log) == "<PeerErrorLog <LinesPerPeer peers=0>>"
    assert records.messages == []
