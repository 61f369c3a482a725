"""A server in a program, or in a thread of it, is watched like any other."""

import pytest
from program import run_program

PROGRAM = """
import asyncio, json, logging, os, socket, sys, threading, urllib.request
import asgiserver

reader, writer = os.pipe()


def pause():
    os.read(reader, 1)  # until the log names it


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    pause()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"done"})


def get(address):
    return urllib.request.urlopen(address + "/pause").read()


class Opener(logging.StreamHandler):
    def emit(self, record):
        super().emit(record)
        if "has been blocked" in record.getMessage():
            os.write(writer, b"x")


logging.getLogger("asgiserver").addHandler(Opener())


def show(server):
    dump = server.dump()
    show_line(len(dump["servers"]), dump["servers"][0]["connections"], len(dump["threads"]) > 0)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("control")
        show_line(json.loads(b"".join(iter(lambda: sock.recv(65536), b"")))["pid"] == dump["pid"])


def show_line(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")  # at once, or a log line may be in between
"""
WAYS = {
    "thread": """
with asgiserver.serve_in_thread(app, lifespan="off", control="control") as server:
    get(server.addresses[0])
    show(server)
print([thread.name for thread in threading.enumerate()])
""",
    "task": """
async def main():
    config = asgiserver.Config(app, port=0, lifespan="off", control="control")
    async with asgiserver.Server(config) as server:
        await asyncio.to_thread(get, server.addresses[0])
        await asyncio.to_thread(show, server)

asyncio.run(main())
print([thread.name for thread in threading.enumerate() if "asyncio" not in thread.name])
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_server_in_a_program_is_watched(tmp_path, way):
    (tmp_path / "program.py").write_text(PROGRAM + WAYS[way])
    ended = run_program(tmp_path, "program.py")
    assert ended.code == 0, ended.output
    assert "in program.py:9 pause, by GET /pause (" in ended.output
    assert "was blocked for" in ended.output
    assert "\n1 {" in ended.output
    assert "\nTrue\n" in ended.output
    assert ended.output.endswith("['MainThread']\n")  # the watchdog has ended, too
    assert not (tmp_path / "control").exists()
