"""Any value for any option, from anywhere: the options it means, or a `ConfigError` of one line."""

import contextlib
import datetime
import io
import os
import string
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asgiserver.cli import main as cli
from asgiserver.cli import migrate
from asgiserver.config.fields import Config, has_tls
from asgiserver.config.options import FIELDS, describe, flag_names, resolve
from asgiserver.errors import ConfigError
from asgiserver.log.access import make_access_log
from asgiserver.process.reload import FileFilter
from asgiserver.process.runner import needs_supervisor
from asgiserver.server.proxy import make_proxies
from asgiserver.server.tls import TLS
from asgiserver.static.app import StaticFiles
from asgiserver.wire.server_fields import default_fields

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
"""Inputs a test; the variable asks for more of them."""

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
pytestmark = pytest.mark.timeout(max(60, EXAMPLES // 5))

NAMES = sorted({alias for name in FIELDS for alias in (name, flag_names(name)[0][2:])})
CLI = sorted(name for name, (_, info) in FIELDS.items() if info.cli)
FLAGS = sorted(flag for name in CLI for flag in flag_names(name))
WORDS = [
    *sorted({choice for _, info in FIELDS.values() for choice in info.choices}),
    *("", "\0", "off", "auto", "none", "-", "--", "=", "-1", "0", "1", "660", "0o660", "/"),
    *("9" * 30, "9" * 400, "9" * 5000, "-" + "9" * 5000, "1e999", "nan", "inf", "²", "٣", "1_0"),
    *("9" * 400 + "k", "9" * 400 + "ms", "1m30s", "64KiB", "5000d", "99999999999t", "-1s"),
    *("\udcff", "\ud800", "a\nb", "\x1b[31m", "ä" * 300, "X: 1", "X:\udcff", "X: \0", "a:b"),
    *("unix:", "unix:/a", "fd://", "fd://" + "9" * 30, ":" + "9" * 5000, "[", "[::1]:1", "*"),
    *("/a=b", "a=b:c", "tcp://10.0.0.1:80", "/etc/passwd/x", ".", "..", "no/such", "main:app"),
    *("{client}", "{", "%(message)s", "{headers[x]}"),
]

PEER_WORDS = sorted(
    {*migrate.SERVERS}
    | {name for peer in migrate.SERVERS.values() for flag in peer.flags for name in flag.names}
)

texts = st.one_of(st.sampled_from(WORDS), st.text(max_size=20), st.integers().map(str))
integers = st.one_of(
    st.integers(), st.sampled_from([2**31, 2**63, 10**400, -(10**400), 1 << 10000])
)
scalars = st.one_of(
    texts,
    integers,
    st.booleans(),
    st.floats(),
    st.datetimes(),
    st.dates(),
    st.times(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
"""What a TOML file can hold; as keywords, the same and worse."""


def assert_one_line(text):
    assert text
    assert "\n" not in text
    assert len(text) < 10_000


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """An empty directory, and no variable that sets an option."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("ASGISERVER_", "UVICORN_", "_ASGISERVER")):
            monkeypatch.delenv(name)
    for name in ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(name, raising=False)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def run_command(arguments, run=None):
    """Run a command line on standard streams that are as strict as those of a process."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="strict")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(arguments, run=run)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    ended = Ended(code, *texts)
    if code and arguments[:1] != ["migrate"]:
        assert_one_line(ended.err.removesuffix("\n"))
        assert ended.err.startswith("asgiserver: error: ")
    return ended


def attempt(function):
    """What `function` returns, or None after a `ConfigError`; nothing else may be raised."""
    try:
        return function()
    except ConfigError as error:
        assert_one_line(" ".join(str(error).split()))
        return None


def use(resolved):
    """What a start does with options before it opens anything."""
    config = resolved.config
    describe(resolved)
    repr(config)
    needs_supervisor(config)
    FileFilter(config)
    default_fields(config.headers)
    attempt(partial(make_proxies, config))
    if has_tls(config):
        attempt(partial(TLS, config))
    if config.static:
        attempt(partial(StaticFiles, None, config.static))
    log = attempt(partial(make_access_log, config))
    if log is not None:
        log.close()
    # A worker is given a copy.
    assert Config(**{name: getattr(config, name) for name in ("app", *FIELDS)}) == config


def toml(value):
    """`value` as TOML."""
    if isinstance(value, dict):
        pairs = (f"{toml_string(key)} = {toml(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if value.bit_length() < 64 else hex(abs(value))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return toml_string(value) if isinstance(value, str) else repr(value)


def toml_string(text):
    text = text.encode("utf-8", "replace").decode()
    escaped = "".join(
        char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}" for char in text
    )
    return f'"{escaped}"'


@fuzz
@given(st.dictionaries(st.sampled_from(NAMES), values, min_size=1, max_size=4))
@example({"headers": {"X-Version": 3}})
@example({"headers": 3})
@example({"headers": ["X: €"]})
@example({"ssl-certfile": "\ud800"})
@example({"port": "off"})
@example({"backlog": 2**31})
@example({"timeout-write": 10**400})
@example({"limit-request-body": "9" * 400 + "k"})
def test_any_keyword(options):
    resolved = attempt(lambda: resolve("main:app", keywords=options))
    if resolved is not None:
        use(resolved)


def test_what_is_nested_too_deeply_to_be_shown():
    value = []
    for _ in range(10_000):
        value = [value]
    for name in CLI:
        assert attempt(partial(resolve, "main:app", keywords={name: value})) is None


@fuzz
@given(
    st.dictionaries(st.sampled_from([*NAMES, "app", "prot"]), values, max_size=4),
    st.sampled_from(["asgiserver.toml", "pyproject.toml"]),
    st.booleans(),
)
@example({"headers": {"X-Version": 3}}, "asgiserver.toml", True)
@example({"log-config": {"a": datetime.date(2000, 1, 1)}}, "asgiserver.toml", True)
@example({"app": 5}, "asgiserver.toml", True)
def test_any_value_in_a_file_at_the_start_and_at_a_reload(options, name, named):
    """Both paths begin with the same words on the command line."""
    lines = [f"{toml_string(key)} = {toml(value)}" for key, value in options.items()]
    header = ["[tool.asgiserver]"] if name == "pyproject.toml" else []
    read_file(name, "\n".join([*header, *lines]).encode(), named)


def read_file(name, content, named):
    """Reload with a file, then start with it: both accept it, or both say why not."""
    arguments = ["main:app", *(["--config", name] if named else [])]
    reloaded, started = [], []

    def reload(_resolved, reread):
        Path(name).write_bytes(content)
        again = attempt(reread)
        reloaded.append(again is not None and again.config)
        return 0

    def start(resolved, _reread):
        use(resolved)
        started.append(resolved.config)
        return 0

    Path(name).write_text("[tool.asgiserver]")
    assert run_command(arguments, reload).code == 0
    if run_command(arguments, start).code:
        started.append(False)
    Path(name).unlink()
    assert started == reloaded


ROOTS = [
    b"tool = 'asgiserver'",
    b"tool = ['asgiserver']",
    b"[tool]\nasgiserver = 5",
    b"[[tool]]\nasgiserver = {}",
    b"[[tool.asgiserver]]\nport = 1",
    b"tool.asgiserver.port.port = 1",
    b"tool.asgiserver = " + b"[" * 5000,
    b"tool.asgiserver" + b".a" * 3000 + b" = 1",
    b"log-config" + b".a" * 3000 + b" = 1 # asgiserver",
    b"asgiserver = " + b"9" * 5000,
    b"asgiserver = 0x" + b"f" * 50000,
    b"\xff asgiserver",
    b"\xef\xbb\xbfport = 1 # asgiserver",
    b"# asgiserver \0",
    b"tool.asgiserver.app = {}",
    b"'' = 1 # asgiserver",
    b"tool.asgiserver.'\\'' = 1",
]


@fuzz
@given(
    st.one_of(
        st.sampled_from(ROOTS),
        st.binary(max_size=60),
        values.map(lambda value: f"tool = {toml(value)} # asgiserver".encode()),
        values.map(lambda value: f"tool.asgiserver = {toml(value)}".encode()),
    ),
    st.sampled_from(["asgiserver.toml", "pyproject.toml", "other.toml"]),
)
def test_a_file_of_any_shape(content, name):
    read_file(name, content, named=name == "other.toml")


@pytest.mark.parametrize("content", ROOTS)
@pytest.mark.parametrize("name", ["asgiserver.toml", "pyproject.toml"])
def test_roots_of_files(content, name):
    read_file(name, content, named=False)


VARIABLES = st.one_of(
    st.sampled_from(
        [
            *(f"{prefix}_{name.upper()}" for name in CLI for prefix in ("ASGISERVER", "UVICORN")),
            *("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "ASGISERVER_CONFIG"),
            *("ASGISERVER_APP", "ASGISERVER_DB_PORT", "ASGISERVER_PORT_80_TCP_ADDR"),
        ]
    ),
    st.text(string.ascii_uppercase + "_", max_size=12).map(lambda text: f"ASGISERVER_{text}"),
)


@fuzz
@given(st.dictionaries(VARIABLES, texts, max_size=4))
@example({"ASGISERVER_CONFIG": "\0"})
@example({"ASGISERVER_ENV_FILE": "\0"})
def test_any_variable(environment):
    resolved = attempt(lambda: resolve("main:app", env=environment))
    if resolved is not None:
        use(resolved)


@fuzz
@given(
    st.one_of(
        st.binary(max_size=80),
        st.dictionaries(VARIABLES, texts, max_size=4).map(
            lambda table: (
                "\n".join(f"{name}={value}" for name, value in table.items()).encode(
                    "utf-8", "surrogateescape"
                )
                if all("\ud800" not in value for value in table.values())
                else b""
            )
        ),
    )
)
@example("NAME=Jürgen".encode("latin-1"))
@example(b"NAME=a\0b")
@example(b"NA\0ME=a")
@example(b"'a=b'=c")
@example(b"ASGISERVER_PROT=1")
@example(b"PORT=tcp://10.0.0.1:80\nWEB_CONCURRENCY=3\n")
def test_any_env_file(content):
    path = Path(".env")
    path.write_bytes(content)
    resolved = attempt(lambda: resolve("main:app", keywords={"env_file": path}, env={}))
    if resolved is not None:
        use(resolved)


@fuzz
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(FLAGS), texts).map(list),
            st.tuples(st.sampled_from(FLAGS), texts).map(lambda pair: ["=".join(pair)]),
            st.sampled_from(FLAGS).map(lambda flag: [flag]),
            texts.map(lambda text: [text]),
        ),
        max_size=5,
    ),
    st.booleans(),
)
@example([["--uds", ""]], False)
@example([["main:\udcff"]], True)
@example([["--backlog", str(2**31)]], False)
@example([["--fd", str(2**31)]], False)
@example([["--ready-fd", str(2**31)]], False)
def test_any_command_line_is_one_line_and_a_code(words, print_config):
    words = [word for group in words for word in group if "\0" not in word]
    served = []

    def run(resolved, reread):
        use(resolved)
        served.append(reread().config)
        return 0

    ended = run_command([*words, *(["--print-config"] if print_config else [])], run)
    if ended.code == 0:
        assert ended.err == ""
        assert served or ended.out
    else:
        assert ended.code == 2
        assert not served


@fuzz
@given(st.lists(st.one_of(texts, st.sampled_from(PEER_WORDS)), max_size=6))
@example(["uvicorn", "main:\udcff"])
@example(["gunicorn", "-w", "9" * 5000, "main:app"])
def test_any_command_line_of_another_server(words):
    assert run_command(["migrate", *(word for word in words if "\0" not in word)]).code in (0, 2)
