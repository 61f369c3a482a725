"""``asgiserver top`` as a command: its arguments, and the server that it asks."""

from __future__ import annotations

import sys

import pytest
from admin_client import admin_of
from process_server import ServerProcess

from asgiserver.cli.main import main
from asgiserver.cli.top import AdminRemote
from asgiserver.errors import ConfigError


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_it_reads_the_status_and_gives_orders(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/admin.sock"
    with ServerProcess(tmp_path, "--admin", address, "--supervise") as server:
        admin = admin_of(server.ready())
        remote = AdminRemote(admin.address)
        assert remote.status()["workers_wanted"] == 1
        file = remote.dump().split()[-1]
        assert (tmp_path / file).read_text().startswith("Supervisor (pid ")
        assert "worker 0 is replaced" in remote.restart(0)
        with pytest.raises(OSError, match="404 there is no worker 9"):
            remote.restart(9)


def test_it_has_a_token(tmp_path):
    with ServerProcess(tmp_path, "--admin", "127.0.0.1:0", "--admin-token", "abc") as server:
        admin = admin_of(server.ready())
        assert AdminRemote(admin.address, "abc").status()["workers"]
        with pytest.raises(OSError, match="401 a token is needed"):
            AdminRemote(admin.address, "abd").status()


def test_a_server_that_is_not_there_is_one_line(capsys):
    assert main(["top", "127.0.0.1:1"]) == 2
    assert "does a server run with --admin?" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:http", "[::1"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ConfigError, match="expected host:port or unix:/path"):
        AdminRemote(address)


def test_help_is_shown(capsys):
    assert main(["top", "--help"]) == 0
    assert "Watch a server that runs with --admin" in capsys.readouterr().out


def test_without_textual_the_extra_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "textual", None)
    monkeypatch.delitem(sys.modules, "asgiserver.cli.top_screen", raising=False)
    assert main(["top"]) == 2
    assert "asgiserver-py[top]" in capsys.readouterr().err
