import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from asgiserver.errors import ConfigError
from asgiserver.process.privileges import drop_privileges

root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


def test_unknown_names():
    drop_privileges(None, None)
    with pytest.raises(ConfigError, match="no user 'nobody-at-all'"):
        drop_privileges("nobody-at-all", None)
    with pytest.raises(ConfigError, match="no group 'nobody-at-all'"):
        drop_privileges(None, "nobody-at-all")


@root
@pytest.mark.parametrize("user", ["nobody", "65534"])
def test_becomes_somebody_for_good(user):
    program = f"""
import os
from asgiserver.process.privileges import drop_privileges
drop_privileges({user!r}, None)
drop_privileges({user!r}, None)  # as a successor does
print(os.getresuid(), os.getgroups())
try:
    os.setuid(0)
except PermissionError:
    print("for good")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "(65534, 65534, 65534) [65534]\nfor good" in done.stdout, done.stderr


@root
def test_logs_belong_to_whom_it_becomes():
    with tempfile.TemporaryDirectory() as name:  # pytest's folders are for their owner alone
        folder = Path(name)
        folder.chmod(0o755)
        check_owners(folder)


def check_owners(folder):
    (folder / "own.log").write_text("one")
    files = [str(folder / name) for name in ("own.log", "access.log", "none/a.log")]
    program = f"""
from asgiserver.process.privileges import drop_privileges
drop_privileges("65534", None, [*{files!r}, "/dev/null"])
for path in {files[:2]!r}:
    open(path, "a").write("two")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "own.log").read_text() == "onetwo"
    assert (folder / "access.log").stat().st_uid == 65534
    assert os.stat("/dev/null").st_uid == 0
