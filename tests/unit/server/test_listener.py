"""Binding: what each form of an address means, what is refused, and what is left behind."""

import os
import socket
import stat

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
    assert listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


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


def test_a_socket_that_answers_is_not(bind, path):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(BindError, match="another process"):
            bind(uds=path)
        assert os.path.exists(path)


def test_a_file_is_never_removed(bind, path):
    with open(path, "w") as file:
        file.write("precious")
    with pytest.raises(BindError, match="no socket"):
        bind(uds=path)
    assert os.path.exists(path)


def test_a_missing_directory(bind, path):
    with pytest.raises(BindError, match="No such file"):
        bind(uds=path + "/deeper")


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
            (listener,) = bind(fd=sock.fileno())
            assert families([listener]) == [family]
            listener.close()
            assert sock.getsockname()
    assert os.path.exists(path), "it is not ours to remove"


def test_descriptors_that_are_none(bind):
    with pytest.raises(BindError, match="file descriptor 987"):
        bind(fd=987)
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(BindError, match="stream"):
        bind(fd=sock.fileno())
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(BindError, match="file descriptor"):
            bind(fd=read_end)
    finally:
        os.close(read_end)
        os.close(write_end)
