"""A child process is signalled until it is reaped."""

import signal

from asgiserver.process import child as module
from asgiserver.process.child import ChildProcess, exit_text


def test_a_process_that_was_reaped_gets_no_signal(monkeypatch):
    sent = []
    monkeypatch.setattr(module.os, "kill", lambda *args: sent.append(args))
    codes = iter([None, -9])
    child = ChildProcess(1234, lambda: next(codes))
    assert not child.has_ended()
    child.signal(signal.SIGTERM)
    assert child.has_ended()
    child.signal(signal.SIGTERM)  # the number may be that of another process by now
    assert sent == [(1234, signal.SIGTERM)]
    assert (child.has_ended(), child.exit_code) == (True, -9)


def test_a_process_that_is_gone_is_no_error(monkeypatch):
    def kill(pid, signum):
        raise ProcessLookupError

    monkeypatch.setattr(module.os, "kill", kill)
    ChildProcess(1234, lambda: None).signal(signal.SIGTERM)


def test_how_it_ended():
    assert exit_text(0) == "exit code 0"
    assert exit_text(-signal.SIGKILL) == "SIGKILL"
    assert exit_text(-63) == "signal 63" or exit_text(-63).startswith("SIG")
