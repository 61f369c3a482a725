import os
import select
import signal
import subprocess
import sys

from asgiserver.process.signals import SignalQueue, reap_strangers, spawn_mask


def test_queues_signals_and_puts_handlers_back():
    before = signal.getsignal(signal.SIGUSR1)
    signals = SignalQueue([signal.SIGUSR1, signal.SIGHUP])
    try:
        assert signals.read() == []
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGHUP)
        assert select.select([signals], [], [], 5)[0]
        assert sorted(signals.read()) == [signal.SIGHUP, signal.SIGUSR1]
        signals.wake()
        assert select.select([signals], [], [], 5)[0]
        assert signals.read() == []
    finally:
        signals.close()
    assert signal.getsignal(signal.SIGUSR1) == before


def test_a_child_starts_with_signals_held_back():
    program = "import signal; print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with spawn_mask():
        held = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    free = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (held.stdout, free.stdout) == (b"True\n", b"False\n")


def test_reaps_strangers_but_not_its_own():
    program = """
import os, time
from asgiserver.process.signals import reap_strangers
stranger, own = os.fork(), 0
if not stranger:
    os._exit(3)
os.waitid(os.P_PID, stranger, os.WEXITED | os.WNOWAIT)
reap_strangers({own})
try:
    os.waitpid(stranger, 0)
except ChildProcessError:
    print("reaped")
own = os.fork()
if not own:
    os._exit(3)
os.waitid(os.P_PID, own, os.WEXITED | os.WNOWAIT)
reap_strangers({own})
print(os.waitstatus_to_exitcode(os.waitpid(own, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["reaped", "3"], done.stderr
    assert callable(reap_strangers)
