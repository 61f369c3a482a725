"""What a program does to uvicorn's loggers holds for the records of this server."""

from __future__ import annotations

import copy
import json
import logging

import pytest

from asgiserver.compat.uvicorn.config import LOGGING_CONFIG, Config
from asgiserver.compat.uvicorn.logging import Bridge, OwnHandler, for_workers
from asgiserver.log.config_file import apply_log_config
from asgiserver.log.loggers import has_foreign_handlers

LOGGERS = ("asgiserver", "asgiserver.access", "uvicorn", "uvicorn.error", "uvicorn.access")
SERVER, ACCESS = logging.getLogger("asgiserver"), logging.getLogger("asgiserver.access")
REQUEST = '%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", "/health", "1.1", 200


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


class Listed(logging.Handler):
    """Keeps the texts of records, with the names of their loggers."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, record):
        self.texts.append(f"{record.name}: {record.getMessage()}")


@pytest.fixture
def listed():
    return Listed()


def writes_itself(target):
    """Whether the server writes the records of its logger without a handler of `logging`."""
    return not has_foreign_handlers(target)


def test_the_server_writes_its_log_itself_by_default():
    Config("a:app")
    assert writes_itself(SERVER)
    assert writes_itself(ACCESS)
    assert SERVER.level == logging.INFO
    assert not SERVER.propagate


def test_levels_of_the_configuration_change_nothing_of_that():
    Config("a:app", log_level="warning")
    assert writes_itself(SERVER)
    assert not SERVER.isEnabledFor(logging.INFO)
    assert not ACCESS.isEnabledFor(logging.INFO)


def test_each_configuration_replaces_the_one_before():
    Config("a:app")
    Config("a:app")
    assert [type(handler) for handler in SERVER.handlers if isinstance(handler, Bridge)] == [Bridge]
    handlers = logging.getLogger("uvicorn").handlers
    assert [type(handler) for handler in handlers] == [OwnHandler]


def test_a_program_logs_where_the_server_does(capsys):
    Config("a:app")
    logging.getLogger("uvicorn.error").info("one\x1b")
    logging.getLogger("uvicorn").warning("two")
    logging.getLogger("uvicorn.asgi").debug("three")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["INFO     one\\x1b", "WARNING  two"]


def test_a_handler_of_the_program_gets_our_lines(listed):
    Config("a:app")
    logging.getLogger("uvicorn.error").addHandler(listed)
    assert not writes_itself(SERVER)
    assert writes_itself(ACCESS)
    SERVER.info("Stopped")
    assert listed.texts == ["uvicorn.error: Stopped"]


def test_handlers_that_are_replaced_get_our_lines(listed):
    """As loguru's recipe has it: for each logger one handler, which passes records on."""
    Config("a:app")
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        target = logging.getLogger(name)
        target.handlers, target.propagate = [listed], False
    SERVER.info("Stopped")
    ACCESS.info(*REQUEST)
    assert listed.texts == [
        "uvicorn.error: Stopped",
        'uvicorn.access: 1.2.3.4:5 - "GET /health HTTP/1.1" 200',
    ]


def test_the_handlers_of_the_root_logger_get_our_lines(listed):
    Config("a:app", log_config=None, log_level="info")
    logging.getLogger().addHandler(listed)
    try:
        SERVER.info("Stopped")
        ACCESS.info(*REQUEST)
    finally:
        logging.getLogger().removeHandler(listed)
    assert len(listed.texts) == 2


def test_a_filter_for_requests_holds(capsys):
    Config("a:app")
    logging.getLogger("uvicorn.access").addFilter(lambda record: record.args[2] != "/health")
    assert not writes_itself(ACCESS)
    ACCESS.info(*REQUEST)
    ACCESS.info(REQUEST[0], "1.2.3.4:5", "GET", "/tea", "1.1", 200)
    assert ["/tea" in line for line in capsys.readouterr().out.splitlines()] == [True]


def test_a_level_that_is_set_later_holds(capsys):
    Config("a:app")
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    SERVER.info("Stopped")
    SERVER.error("broken")
    ACCESS.info(*REQUEST)
    printed = capsys.readouterr()
    assert "Stopped" not in printed.err
    assert "broken" in printed.err
    assert printed.out == ""


def test_a_configuration_of_the_program_holds(capsys):
    log_config = copy.deepcopy(LOGGING_CONFIG)
    log_config["formatters"]["access"]["fmt"] = "%(client_addr)s wants %(request_line)s"
    Config("a:app", log_config=log_config, use_colors=False)
    SERVER.info("Stopped")
    ACCESS.info(*REQUEST)
    printed = capsys.readouterr()
    assert printed.err == "INFO:     Stopped\n"
    assert printed.out == "1.2.3.4:5 wants GET /health HTTP/1.1\n"


def test_a_file_of_the_program_holds(capsys, tmp_path):
    log_config = copy.deepcopy(LOGGING_CONFIG)
    log_config["loggers"]["uvicorn.error"]["level"] = "ERROR"
    (tmp_path / "log.json").write_text(json.dumps(log_config))
    Config("a:app", log_config=tmp_path / "log.json")
    SERVER.warning("one")
    SERVER.error("two")
    assert capsys.readouterr().err == "ERROR:    two\n"


def test_no_access_log():
    assert Config("a:app", access_log=False).own_config().access_log is False


def test_an_unknown_level_is_refused():
    with pytest.raises(KeyError, match="loud"):
        Config("a:app", log_level="loud")


def test_workers_set_up_the_same(listed):
    settings = {"log_config": LOGGING_CONFIG, "log_level": "error", "access_log": True}
    apply_log_config(for_workers(**settings, use_colors=None))
    assert SERVER.level == logging.ERROR
    assert writes_itself(SERVER)
    logging.getLogger("uvicorn.error").addHandler(listed)
    SERVER.error("broken")
    assert listed.texts == ["uvicorn.error: broken"]
