"""The supervisor with stand-in workers: what restarts leave behind, how failures end."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from asgiserver.config.fields import Config
from asgiserver.errors import BindError, ConfigError
from asgiserver.process.launch import Spawn
from asgiserver.process.supervisor import Supervisor

COMMAND = (sys.executable, "-S", "-E", str(Path(__file__).with_name("stand_in_worker.py")))


class Log(logging.Handler):
    """Lets a thread wait for what is logged."""

    def __init__(self):
        super().__init__()
        self.texts = []
        self.news = threading.Condition()

    def emit(self, record):
        with self.news:
            self.texts.append(record.getMessage())
            self.news.notify_all()

    def count(self, pattern):
        return sum(bool(re.search(pattern, text)) for text in self.texts)

    def see(self, pattern, count=1):
        end = time.monotonic() + 20
        with self.news:
            while self.count(pattern) < count:
                assert self.news.wait(end - time.monotonic()), (pattern, self.texts[-20:])


@pytest.fixture
def log():
    handler = Log()
    logger = logging.getLogger("asgiserver")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def behave(tmp_path, monkeypatch):
    path = tmp_path / "behaviour"
    monkeypatch.setenv("STAND_IN", str(path))
    path.write_text("serve")
    return path.write_text


def supervise(script, log, reread=None, **options):
    """Run a supervisor in this thread, and `script` in another; the exit code."""
    config = Config("app:app", **{"workers": 1, "port": 0, **options})
    errors = []

    def run():
        try:
            log.see("Serving on|could not start")
            script()
        except BaseException as exc:
            errors.append(exc)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run)
    supervisor = Supervisor(config, reread=reread, launcher=Spawn(COMMAND))
    # The script's signals may come before the supervisor has set its handlers, or after it has put
    # back these.
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    thread.start()
    try:
        return supervisor.run()
    finally:
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
        if errors:
            raise errors[0]


def restart():
    os.kill(os.getpid(), signal.SIGHUP)


def test_200_restarts_leave_nothing_behind(log, behave):
    counts = []

    def script():
        for number in range(1, 201):
            restart()
            log.see("has ended", number)
            counts.append(len(os.listdir("/proc/self/fd")))

    before = len(os.listdir("/proc/self/fd"))
    assert supervise(script, log) == 0
    assert set(counts[1:]) == {counts[1]}
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_configuration_is_read_again(log, behave):
    configs = iter(
        [
            Config("app:app", workers=3, port=0),
            ConfigError("workers: must be at least 1, not 0"),
            Config("app:app", workers=2, port=7),
        ]
    )

    def reread():
        result = next(configs)
        if isinstance(result, Exception):
            raise result
        return result

    def script():
        restart()
        log.see("is ready", 2 + 3)
        log.see("Restart complete")
        restart()
        log.see("kept as it was, no restart: workers: must be at least 1")
        restart()
        log.see("A changed port needs a new start")
        log.see("scale down")
        log.see("Restart complete", 2)

    assert supervise(script, log, reread, workers=2) == 0


def test_systemd_hears_the_end_of_a_reload_that_is_refused(log, behave, tmp_path, monkeypatch):
    def reread():
        raise ConfigError("workers: must be at least 1, not 0")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        told = []

        def hear():
            told.append(systemd.recv(999).decode().split("=")[0])

        def script():
            hear()
            restart()
            hear()
            hear()

        assert supervise(script, log, reread) == 0
        hear()
    assert told == ["READY", "RELOADING", "READY", "STOPPING"]


def test_the_first_failure_of_all_ends_it(log, behave):
    behave("fail")
    assert supervise(lambda: None, log, workers=3) == 3
    assert log.count("could not start: it is broken") == 1


def test_a_replacement_that_fails_is_given_up(log, behave):
    def script():
        behave("fail")
        restart()
        log.see("Restart given up")
        behave("serve")
        restart()
        log.see("has ended")

    assert supervise(script, log) == 0
    assert log.count("could not start") == 1


def test_workers_that_keep_crashing_end_it(log, behave):
    def script():
        behave("crash")
        restart()
        log.see("5 workers failed within 60 s")

    assert supervise(script, log) == 5
    assert log.count("died: exit code 1") == 5


def test_an_address_in_use_is_told_before_anything_starts(log, behave, unused_tcp_port):
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        config = Config("app:app", workers=2, port=unused_tcp_port)
        with pytest.raises(BindError, match="in use"):
            Supervisor(config, launcher=Spawn(COMMAND)).run()
    assert not log.count("is ready")


def test_a_worker_that_cannot_be_executed(log, behave):
    config = Config("app:app", workers=2, port=0)
    assert Supervisor(config, launcher=Spawn(("/nonexistent",))).run() == 3
    assert log.count("Cannot start a worker")
