"""Who runs a configuration: this process, or a supervisor with workers."""

import gc
import os
import sys
import threading

import pytest

from asgiserver.config.fields import Config
from asgiserver.errors import ConfigError
from asgiserver.process import role
from asgiserver.process.runner import needs_supervisor, run, run_or_raise


@pytest.fixture(autouse=True)
def _no_systemd(monkeypatch):
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_serves_unless_a_parent_is_needed():
    assert not needs_supervisor(Config("app:app"))
    assert needs_supervisor(Config("app:app", workers=2))
    assert needs_supervisor(Config("app:app", workers="auto"))
    assert needs_supervisor(Config("app:app", limit_max_requests=5))


@pytest.mark.parametrize(
    ("environ", "needed"),
    [
        ({"NOTIFY_SOCKET": "/run/notify"}, True),
        ({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}, True),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, False),
        ({}, False),
    ],
    ids=["notify", "sockets", "sockets of another", "no systemd"],
)
def test_systemd_needs_a_parent(monkeypatch, environ, needed):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert needs_supervisor(Config("app:app")) is needed
    assert not needs_supervisor(Config(lambda: None))  # which no worker could import


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"preload": True}, "preload"),
        ({"workers": 2, "user": "nobody", "pid": "server.pid"}, "pid, user"),
        ({"group": "nobody", "max_worker_rss": "1G"}, "group, max_worker_rss"),
    ],
)
def test_what_windows_cannot_do_is_refused(monkeypatch, options, named):
    for name in [name for name in sys.modules if name.startswith("asgiserver.process.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("fcntl", "grp", "pwd", "resource"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails, as there
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigError) as caught:
        run(Config("app:app", **options))
    assert str(caught.value).startswith(f"{named}: not on Windows")
    assert "\n" not in str(caught.value)


def test_a_supervisor_needs_the_main_thread():
    caught = []

    def start():
        with pytest.raises(ConfigError) as error:
            run(Config("app:app", workers=2))
        caught.append(str(error.value))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert caught == [
        "workers, reload and all else that needs a supervisor: call run() in the main thread"
    ]


def test_a_worker_has_no_supervisor(monkeypatch):
    monkeypatch.setattr(role, "_worker", False)
    role.be_worker()
    with pytest.raises(ConfigError, match="a worker cannot have workers"):
        run(Config("app:app", workers=2))


async def test_a_running_loop_is_told_what_to_use():
    with pytest.raises(ConfigError, match=r"await asgiserver\.serve\(\.\.\.\)"):
        run_or_raise(Config(lambda: None))


@pytest.mark.parametrize(
    ("given", "here", "used"),
    [("auto", True, "freeze"), ("default", True, "default"), ("auto", False, "auto")],
    ids=["alone", "as one likes", "in a thread of a program"],
)
def test_a_process_that_serves_alone_spares_the_collector_its_start(monkeypatch, given, here, used):
    configs = []

    def run_here(config, notes):
        configs.append(config)
        gc.freeze()
        return 0

    monkeypatch.setattr("asgiserver.server.runner.run", run_here)
    if here:
        run(Config("app:app", gc=given))
    else:
        thread = threading.Thread(target=run, args=(Config("app:app", gc=given),))
        thread.start()
        thread.join()
    assert (gc.get_freeze_count() == 0) is (used == "freeze")  # a program may go on after it
    gc.unfreeze()
    assert [config.gc for config in configs] == [used]
