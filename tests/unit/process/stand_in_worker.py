"""Speaks a worker's side of the control socket, and starts in a few milliseconds.

What it does is written in the file that STAND_IN names: ``serve``, ``fail``, ``crash``.
"""

import json
import os
import socket
import struct
import sys

control = socket.socket(fileno=int(sys.argv[1]))
(length,) = struct.unpack("!I", control.recv(4, socket.MSG_WAITALL))
control.recv(length, socket.MSG_WAITALL)


def report(name, **fields):
    control.sendall(json.dumps([name, fields]).encode() + b"\n")


with open(os.environ["STAND_IN"]) as file:
    behaviour = file.read()
if behaviour == "fail":
    report("Failed", exit_code=3, text="it is broken\nTraceback")
    sys.exit(3)
report("Ready")
report("Beat", rss=1 << 20, requests=1)
if behaviour == "crash":
    os._exit(1)
control.recv(4096)
