"""`Config`: what each kind of value may be written as, and which combinations are refused."""

import dataclasses
import pickle

import pytest

from asgiserver.config.fields import OFF, Config, option_info
from asgiserver.config.values import KINDS, split_headers
from asgiserver.errors import ConfigError


def test_every_field_is_an_option_of_a_known_kind():
    for field in dataclasses.fields(Config):
        info = option_info(field)
        if field.name in ("app", "notes", "remarks", "sources", "origins"):
            assert info is None
        else:
            assert info.kind in KINDS
            assert info.help
            assert field.kw_only


def test_defaults_stand_for_themselves():
    config = Config()
    for field in dataclasses.fields(Config):
        assert getattr(config, field.name) == field.default


def test_a_config_is_picklable_and_frozen():
    config = Config("main:app", port=0, timeout_request="30s")
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1


def test_replace_keeps_what_was_set_and_says_things_once():
    config = dataclasses.replace(
        Config("main:app", timeout_worker_healthcheck=9, http="zttp"), port=1
    )
    assert config.port == 1
    assert config.http == "auto"
    assert len(config.notes) == 2


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (5, 5.0),
        (0.5, 0.5),
        ("30", 30.0),
        ("1.5", 1.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("2d", 172800.0),
        ("off", OFF),
        (OFF, OFF),
        (None, 75.0),
    ],
)
def test_durations(written, seconds):
    assert Config(timeout_keep_alive=written).timeout_keep_alive == seconds


@pytest.mark.parametrize("wrong", [-1, "-1", "", "soon", "5 parsecs", "1s junk", True, [], "nan"])
def test_wrong_durations(wrong):
    with pytest.raises(ConfigError, match=r"^timeout_keep_alive: expected a duration such as 30"):
        Config(timeout_keep_alive=wrong)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (8192, 8192),
        ("8192", 8192),
        ("64KiB", 65536),
        ("64k", 65536),
        ("16MiB", 16 * 2**20),
        ("16M", 16 * 2**20),
        ("1.5m", 1572864),
        ("2 GiB", 2**31),
        ("off", OFF),
        (OFF, OFF),
    ],
)
def test_sizes(written, size):
    assert Config(limit_request_body=written).limit_request_body == size


@pytest.mark.parametrize("wrong", [-1, "64KB", "much", 1.5, True, ""])
def test_wrong_sizes(wrong):
    with pytest.raises(ConfigError, match=r"^limit_request_body: expected a size in bytes"):
        Config(limit_request_body=wrong)


@pytest.mark.parametrize(
    ("written", "value"), [(True, True), ("true", True), ("1", True), (0, False), ("off", False)]
)
def test_booleans(written, value):
    assert Config(access_log=written).access_log is value


@pytest.mark.parametrize(("written", "value"), [(3, 3), ("3", 3), ("off", None), (None, None)])
def test_numbers_that_may_be_off(written, value):
    assert Config(limit_concurrency=written).limit_concurrency == value


def test_silence_of_a_websocket_is_not_measured_with_zero_none_or_off():
    for written in (None, 0, "0", "off"):
        assert Config(ws_ping_interval=written).ws_ping_interval == OFF
    assert Config(timeout_worker_stuck=0).timeout_worker_stuck == OFF


def test_lists_take_one_or_several_strings_or_paths(tmp_path):
    assert Config(reload_dirs=tmp_path).reload_dirs == (str(tmp_path),)
    assert Config(env_file="a,b").env_file == ("a,b",)
    assert Config(bind=["a:1", "b:2"]).bind == ("a:1", "b:2")
    assert Config(forwarded_allow_ips="10.0.0.1, 10.1.0.0/16").forwarded_allow_ips == (
        "10.0.0.1",
        "10.1.0.0/16",
    )


def test_headers_as_strings_pairs_and_mappings():
    expected = ("X-A:1", "X-B:2: 3")
    assert Config(headers=["X-A: 1", "X-B : 2: 3 "]).headers == expected
    assert Config(headers=[("X-A", "1"), (b"X-B", b"2: 3")]).headers == expected
    assert Config(headers={"X-A": "1", "X-B": "2: 3"}).headers == expected
    assert Config(headers="X-A: 1").headers == ("X-A:1",)


@pytest.mark.parametrize("wrong", ["", "name", ": x", "a b: c", "a: b\r\nc: d", 5, ("a",)])
def test_wrong_headers(wrong):
    with pytest.raises(ConfigError, match="headers: expected Name:Value"):
        Config(headers=[wrong])


def test_joined_headers_are_split_only_where_a_name_follows():
    text = "Cache-Control: no-cache, no-store, X-A: 1,Expires: Wed, 21 Oct 2015 07:28:00 GMT"
    assert split_headers(text) == [
        "Cache-Control: no-cache, no-store",
        "X-A: 1",
        "Expires: Wed, 21 Oct 2015 07:28:00 GMT",
    ]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("INFO", "info"),
        ("warn", "warning"),
        (10, "debug"),
        (5, "trace"),
        (25, "warning"),
        (99, "critical"),
    ],
)
def test_log_levels(written, name):
    assert Config(log_level=written).log_level == name


def test_modes_of_a_unix_socket():
    assert Config(uds_mode="0660").uds_mode == "660"
    assert Config(uds_mode=0o600).uds_mode == "600"
    with pytest.raises(ConfigError, match="three octal digits"):
        Config(uds_mode="rw")


def test_client_certificates_by_name_or_number():
    with pytest.raises(ConfigError, match="needs ssl_ca_certs"):
        Config(ssl_cert_reqs="required", ssl_certfile="c", ssl_keyfile="k")
    config = Config(ssl_cert_reqs="required", ssl_ca_certs="ca", ssl_certfile="c")
    assert config.ssl_cert_reqs == 2
    assert Config(ssl_cert_reqs=0).ssl_cert_reqs == 0


def test_a_root_path_has_no_slash_at_its_end():
    assert Config(root_path="/api/").root_path == "/api"
    assert Config(root_path="/").root_path == ""
    with pytest.raises(ConfigError, match="begins with a slash, '/api'"):
        Config(root_path="api")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"backlog": 2**31}, "backlog: must be at most 2147483647, not 2147483648"),
        ({"fd": 2**31}, "fd: must be at most 2147483647"),
        ({"ready_fd": "99999999999"}, "ready_fd: must be at most 2147483647"),
        ({"workers": 10**400}, "workers: must be from 1 to 512, not a number of 1329 bits"),
        ({"workers": "9" * 5000}, "workers: expected a whole number or auto, not '999"),
        ({"backlog": "off"}, "backlog: cannot be 'off'; give a whole number"),
        ({"timeout_write": 10**400}, "timeout_write: expected a duration"),
        ({"timeout_write": "9" * 400}, "timeout_write: expected a duration"),
        ({"max_worker_age": "20000d"}, "max_worker_age: must be at most 1000000000 (or off)"),
        ({"limit_request_body": "9" * 400 + "k"}, "limit_request_body: expected a size"),
        ({"ws_max_size": "9999999999T"}, "ws_max_size: must be at most 9223372036854775807"),
        ({"uds": ""}, "uds: expected a name or a path, not ''"),
        ({"ssl_certfile": ""}, "ssl_certfile: expected a name or a path, not ''"),
        ({"bind": [""]}, "bind: expected host:port, unix:/path or fd://N, not ''"),
        ({"uds": "a\0b"}, r"uds: expected a string without NUL, not 'a\x00b'"),
        ({"headers": 3}, "headers: expected a list of Name:Value, not 3"),
        ({"headers": {"a": 1}}, "headers: expected Name:Value"),
        ({"headers": ["X-Price: 5 €"]}, "headers: expected Name:Value, a value of Latin-1"),
        ({"app_dir": "\ud800"}, r"app_dir: expected a string that can be encoded, not '\ud800'"),
        ({"log_config": 3}, "log_config: expected the name of a file, or a dict, not 3"),
        ({"ssl_keyfile_password": 1234}, "ssl_keyfile_password: expected a string without NUL"),
    ],
)
def test_values_of_no_use_are_refused_in_one_short_line(options, text):
    with pytest.raises(ConfigError) as caught:
        Config(**options)
    assert str(caught.value).startswith(text)
    assert len(str(caught.value)) < 400
    assert "1234" not in str(caught.value)  # which is a secret


def test_a_wrong_choice_names_the_closest():
    with pytest.raises(ConfigError, match=r"^http: expected auto, httptools, h11, not 'h12'; did"):
        Config(http="h12")


@pytest.mark.parametrize(
    ("options", "used", "note"),
    [
        ({"http": "zttp"}, ("http", "auto"), "http=zttp is not available here: auto is used"),
        ({"loop": "zuvloop"}, ("loop", "auto"), "loop=zuvloop is not available here"),
        ({"ws": "websockets-sansio"}, ("ws", "websockets"), "websockets is used"),
        ({"timeout_worker_healthcheck": 9}, ("workers", 1), "--timeout-worker-stuck"),
        ({"reload": True, "workers": 4}, ("workers", 1), "with --reload there is one worker"),
    ],
)
def test_what_is_not_as_written_is_noted_once(options, used, note):
    config = Config("main:app", **options)
    assert getattr(config, used[0]) == used[1]
    assert len(config.notes) == 1
    assert note in config.notes[0]


def test_names_of_uvicorn_for_other_options():
    assert Config(h11_max_incomplete_event_size=1000).limit_request_head == 1000
    assert Config(ws_per_message_deflate=True).ws_compression == "shared"
    assert Config(ws_per_message_deflate=True, ws_compression="full").ws_compression == "full"
    assert Config(ws_per_message_deflate=False, ws_compression="shared").ws_compression == "off"


async def application(scope, receive, send):
    """Never called."""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"port": 65536}, "port: must be from 0 to 65535, not 65536"),
        ({"port": -1}, "port: must be from 0"),
        ({"port": "http"}, "port: expected a whole number, not 'http'"),
        ({"backlog": 0}, "backlog: must be at least 1"),
        ({"workers": 0}, "workers: must be from 1 to 512"),
        ({"workers": 513}, "workers: must be from 1 to 512, not 513"),
        ({"workers": "all"}, "workers: expected a whole number or auto"),
        ({"timeout_write": 0}, r"timeout_write: must be at least 0.001 \(or off\)"),
        ({"drain_delay": "off"}, "drain_delay: must be from 0 to 86400"),
        ({"loop": "uvlop"}, "loop: expected auto, asyncio, uvloop, none or module:factory"),
        ({"run_once": "task"}, "run_once: expected module:function"),
        ({"static": "assets"}, "static: expected /route=directory, not 'assets'"),
        ({"uds": "/s", "fd": 3}, "uds and fd are both given"),
        ({"bind": "a:1", "uds": "/s"}, "bind is given, and so are other addresses"),
        ({"ssl_keyfile": "k"}, "ssl_keyfile is given without ssl_certfile"),
        ({"ssl_sni": "name"}, "ssl_sni: expected name=certfile:keyfile"),
        ({"ssl_redirect": ":80"}, "ssl_redirect needs TLS"),
        ({"app": application, "workers": 2}, "workers: 2 processes need the application"),
        ({"app": application, "reload": True}, "reload needs the application as an import string"),
        ({"host": 5}, "host: expected a string"),
        ({"bind": {"a": 1}}, "bind: expected a list of strings"),
        ({"access_log": "maybe"}, "access_log: expected true or false"),
    ],
)
def test_refused(options, text):
    with pytest.raises(ConfigError, match=f"^{text}") as caught:
        Config(**options)
    assert "\n" not in str(caught.value)


def test_the_repr_shows_what_was_set_and_no_secret():
    assert repr(Config()) == "Config()"
    config = Config("main:app", port=1, ssl_certfile="a", ssl_keyfile_password="geheim")
    shown = "Config('main:app', port=1, ssl_certfile='a', ssl_keyfile_password=***)"
    assert repr(config) == shown


def test_what_is_on_without_asking():
    """The defaults are safe on the open internet, and documented as they are: change both."""
    config = Config("a:b")
    assert (config.timeout_request_head, config.timeout_request_body) == (20, 30)
    assert (config.timeout_write, config.timeout_keep_alive) == (60, 75)
    assert (config.limit_request_line, config.limit_request_head) == (8 * 1024, 64 * 1024)
    assert config.limit_request_fields == 128
    assert config.forwarded_allow_ips == ("loopback", "unix")
    assert config.forwarded_fields == ("for", "proto")
    assert config.header_underscore == "drop"
    assert config.proxy_protocol == "off"
    assert config.ssl_min_version == "1.2"
    assert config.timeout_request == config.limit_request_body == OFF
    assert config.limit_connections is config.limit_concurrency is None
