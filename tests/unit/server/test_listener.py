"""Binding: what each form of an address means, what is refused, and what is left behind."""

import fcntl
import os
import socket
import stat
import subprocess
import sys

import pytest

from asgiserver import Config
from asgiserver.errors import BindError, ConfigError
from asgiserver.server.listener import Listener, bind_sockets

ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")


@pytest.fixture
def bind():
    """``bind(**options)`` are the listeners; closed at the end."""
    bound = []

    def bind(**options):
        listeners = bind_sockets(Config(**options))
        bound.extend(listeners)
        return listeners

    yield bind
    for listener in bound:
        listener.close()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "socket")


def families(listeners):
    return [listener.socket.family for listener in listeners]


def test_port_0_reports_the_real_port(bind):
    (listener,) = bind(port=0)
    port = listener.socket.getsockname()[1]
    assert port
    assert listener.address == f"http://127.0.0.1:{port}"
    assert str(port) in repr(listener)


@ipv6
def test_ipv6_only_where_it_says_so(bind):
    (listener,) = bind(host="::1", port=0)
    assert listener.address.startswith("http://[::1]:")
    assert listener.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


@ipv6
@pytest.mark.parametrize("options", [{"host": "::", "port": 0}, {"bind": ("[::]:0",)}])
def test_all_of_ipv6_takes_ipv4_too(bind, options):
    (listener,) = bind(**options)
    assert listener.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


def test_a_name_has_one_port_for_all_its_addresses(bind):
    listeners = bind(host="localhost", port=0)
    assert len({listener.socket.getsockname()[1] for listener in listeners}) == 1


def test_sockets_do_not_block_and_are_not_inherited(bind):
    (listener,) = bind(port=0)
    assert listener.socket.getblocking() is False
    assert os.get_inheritable(listener.fileno()) is False


def test_two_of_everything(bind, path):
    listeners = bind(bind=("127.0.0.1:0", "127.0.0.1:0", f"unix:{path}", f"unix:{path}2"))
    assert len({listener.address for listener in listeners}) == 4


@pytest.mark.parametrize(
    "spec", ["127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1", "::1:80", "fd://x", "fd://"]
)
def test_bad_addresses_are_config_errors(bind, spec):
    with pytest.raises(ConfigError) as caught:
        bind(bind=(spec,))
    assert "\n" not in str(caught.value)


def test_brackets_are_explained(bind):
    with pytest.raises(ConfigError, match=r"\[::1\]:80"):
        bind(bind=("::1:80",))


def test_a_taken_port_names_the_address(bind):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match=f"127.0.0.1:{port}: Address already in use"):
            bind(port=port)


def test_an_address_is_taken_before_anybody_listens(bind):
    port = bind(port=0)[0].port
    with pytest.raises(BindError, match="Address already in use"):
        bind(port=port)
    with pytest.raises(BindError, match="Address already in use"):
        bind(host="0.0.0.0", port=port)


def test_connections_that_are_left_keep_nobody_from_starting_but_one(bind):
    (first,) = bind(port=0)
    first.listen(5)
    address = first.socket.getsockname()
    with socket.create_connection(address):
        first.socket.setblocking(True)
        connection, _ = first.socket.accept()
        with connection:
            with pytest.raises(BindError, match="Address already in use"):
                bind(port=address[1])
            first.close()
            (second,) = bind(port=address[1])
            with pytest.raises(BindError, match="Address already in use"):
                bind(port=address[1])
            second.listen(5)
            with pytest.raises(BindError, match="Address already in use"):
                bind(port=address[1])
            socket.create_connection(address).close()


def test_an_unknown_name(bind):
    with pytest.raises(BindError, match=r"no\.such\.host\.invalid"):
        bind(host="no.such.host.invalid")


def test_what_was_bound_is_closed_when_the_rest_fails(bind, path):
    before = set(os.listdir("/dev/fd"))
    with pytest.raises(BindError):
        bind(bind=(f"unix:{path}", "127.0.0.1:0", "192.0.2.1:0"))
    assert not os.path.exists(path)
    assert set(os.listdir("/dev/fd")) == before


# Unix sockets


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_by_umask(bind, path, umask):
    before = os.umask(umask)
    try:
        (listener,) = bind(uds=path)
    finally:
        os.umask(before)
    assert listener.address == f"unix:{path}"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o777 & ~umask


def test_permissions_as_told(bind, path):
    bind(uds=path, uds_mode="660")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


def test_a_stale_socket_is_replaced(bind, path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    bind(uds=path)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("listens", [False, True])
def test_a_socket_whose_owner_lives_is_not(bind, path, kind, listens):
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(path)
        if listens and kind == socket.SOCK_STREAM:
            other.listen()
            other.setblocking(False)
        with pytest.raises(BindError, match="another process"):
            bind(uds=path)
        assert os.path.exists(path)
        if listens and kind == socket.SOCK_STREAM:
            with pytest.raises(BlockingIOError):
                other.accept()  # it has noticed nothing


def test_of_many_that_start_one_takes_a_stale_socket(path):
    program = f"""
import sys
from asgiserver import Config
from asgiserver.errors import BindError
from asgiserver.server import listener
from asgiserver.server.listener import bind_sockets
listener.LOCK_WAIT = 30.0  # the machine may be busy
sys.stdin.readline()
try:
    listeners = bind_sockets(Config(uds={path!r}))
    print("bound", flush=True)
except BindError as exc:
    print(exc, flush=True)
sys.stdin.read()
"""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    command = [sys.executable, "-c", program]
    others = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
    ]
    for other in others:
        other.stdin.write(b"\n")
        other.stdin.flush()
    lines = sorted(other.stdout.readline() for other in others)
    for other in others:
        other.communicate()
    refused = f"cannot listen on unix:{path}: another process does\n".encode()
    assert lines == [b"bound\n", refused, refused, refused]


def test_a_directory_that_somebody_keeps_locked(bind, path, monkeypatch):
    monkeypatch.setattr("asgiserver.server.listener.LOCK_WAIT", 0.0)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(BindError, match="keeps the directory locked"):
            bind(uds=path)
    finally:
        os.close(folder)
    bind(uds=path)


def test_a_link_is_never_removed(bind, path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    for link, target in ((path + ".link", path), (path + ".dangling", path + ".nothing")):
        os.symlink(target, link)
        with pytest.raises(BindError, match="symbolic link"):
            bind(uds=link)
        assert os.readlink(link) == target
    assert os.path.exists(path)


def test_a_name_that_is_none(bind):
    with pytest.raises(ConfigError, match="needs a path"):
        bind(bind=("unix:",))


def test_paths_that_lead_nowhere(bind, path):
    loop = os.path.join(os.path.dirname(path), "loop")
    os.symlink("loop", loop)
    for wrong in (f"{__file__}/x", f"{loop}/x", "x" * 200):
        with pytest.raises(BindError, match="cannot listen on unix:"):
            bind(uds=wrong)


def test_a_file_is_never_removed(bind, path):
    with open(path, "w") as file:
        file.write("precious")
    with pytest.raises(BindError, match="no socket"):
        bind(uds=path)
    assert os.path.exists(path)


def test_a_missing_directory(bind, path):
    with pytest.raises(BindError, match="No such file"):
        bind(uds=path + "/deeper")


def test_close_removes_its_path_from_another_directory(bind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (listener,) = bind(uds="s")
    monkeypatch.chdir("/")
    listener.close()
    assert os.listdir(tmp_path) == []


def test_close_removes_its_own_path_only(bind, path):
    (listener,) = bind(uds=path)
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(path)
        listener.close()
        assert os.path.exists(path)
    (listener,) = bind(uds=path)
    listener.close(unlink=False)
    assert os.path.exists(path)
    (listener,) = bind(uds=path)
    listener.close()
    assert not os.path.exists(path)


@pytest.mark.skipif(not os.path.exists("/proc/net/unix"), reason="Linux only")
def test_abstract_names_are_shown(bind):
    name = f"\0asgiserver-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(name)
        assert Listener(sock).address == "unix:@" + name[1:]


# Inherited descriptors


def test_an_inherited_descriptor_is_duplicated(bind, path):
    for family, address in [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, path)]:
        with socket.socket(family) as sock:
            sock.bind(address)
            os.set_inheritable(sock.fileno(), True)
            (listener,) = bind(fd=sock.fileno())
            assert families([listener]) == [family]
            listener.close()
            assert sock.getsockname()
            assert not os.get_inheritable(sock.fileno())
    assert os.path.exists(path), "it is not ours to remove"


def test_descriptors_that_are_none(bind):
    with pytest.raises(BindError, match="file descriptor 987"):
        bind(fd=987)
    with pytest.raises(BindError, match="file descriptor 9999999999"):
        bind(bind=("fd://9999999999",))
    before = os.listdir("/dev/fd")
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(BindError, match="stream"):
        bind(fd=sock.fileno())
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(BindError, match="file descriptor"):
            bind(fd=read_end)
        assert len(os.listdir("/dev/fd")) == len(before) + 2
    finally:
        os.close(read_end)
        os.close(write_end)


def test_a_path_that_another_one_takes_while_it_is_free(bind, path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with socket.socket(socket.AF_UNIX) as other:
        unlink = os.unlink

        def slowly(what):
            unlink(what)
            monkeypatch.undo()
            other.bind(path)

        monkeypatch.setattr(os, "unlink", slowly)
        with pytest.raises(BindError, match="another process does"):
            bind(uds=path)
        assert os.path.exists(path)
