"""A container whose file system is read-only, and whose user nobody has heard of."""

import shutil
import subprocess

import pytest
from process_server import ServerProcess

APP = """
import sys



async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("the shutdown ran", file=sys.stderr, flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = bytearray()
    more = scope["method"] == "POST"
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    body = b"%d" % len(body)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""

READ_ONLY = """
while read -r _ place _; do
    case $place in (/proc|/proc/*|/sys|/sys/*) ;; (*) mount -o remount,bind,ro "$place" ;; esac
done < /proc/self/mounts
for place in /tmp /var/tmp /dev/shm . ; do
    if touch $place/try 2> /dev/null; then echo "$place is writable" >&2; exit 1; fi
done
"""
# Nobody's number, and no home. The interpreter may lie in a folder that is closed to it.
NOBODY = (
    *("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"),
    *("env", "-u", "HOME", "-u", "USER", "-u", "LOGNAME"),
)
UNSHARE = ("unshare", "--mount", "sh", "-c", READ_ONLY + 'exec "$@"', "sh")
THROUGH = f"""
import os, sys
os.execvp("unshare", [*{UNSHARE!r}, *{NOBODY!r}, sys.executable, *sys.argv[1:]])
"""


@pytest.fixture(autouse=True)
def _may_become_nobody():
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("unshare and setpriv are not installed")
    tried = subprocess.run([*UNSHARE, *NOBODY, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no mount namespaces here: {tried.stderr.strip()}")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--workers", "2"),
        ("--workers", "2", "--balance", "reuseport"),
        ("--supervise",),
        ("--reload",),
        ("--workers", "2", "--preload"),
    ],
    ids=" ".join,
)
def test_it_serves_and_stops_without_a_directory_to_write_to(tmp_path, options):
    (tmp_path / "app.py").write_text(APP)
    with ServerProcess(tmp_path, *options, through=THROUGH) as server:
        server.ready()
        connection = server.connect()
        connection.request("POST", "/", body=bytes(3_000_000))
        assert connection.getresponse().read() == b"3000000"
        connection.close()
        assert server.stop() == 0
        assert "the shutdown ran" in server.log
        assert "Traceback" not in server.log
