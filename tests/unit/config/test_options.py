"""Where options come from, which one wins, and what a wrong one is told."""

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from asgiserver.config.fields import OFF, Config
from asgiserver.config.options import (
    FIELDS,
    describe,
    flag_names,
    markdown,
    resolve,
    resolve_keywords,
)
from asgiserver.errors import ConfigError

ROOT = Path(__file__).parents[3]


def test_the_strongest_source_wins(tmp_path):
    (tmp_path / "asgiserver.toml").write_text(
        "port = 1\nbacklog = 1\nhost = '1'\nuds_mode = '600'\nfd = 1"
    )
    env = {
        "PORT": "2",
        "UVICORN_PORT": "3",
        "UVICORN_BACKLOG": "3",
        "UVICORN_HOST": "3",
        "ASGISERVER_PORT": "4",
        "ASGISERVER_BACKLOG": "4",
    }
    resolved = resolve(
        "main:app",
        flags={"port": "6"},
        keywords={"port": 5, "ready_fd": 5},
        env=env,
        cwd=tmp_path,
    )
    found = {
        name: (getattr(resolved.config, name), resolved.origins[name])
        for name in ("app", "port", "ready_fd", "backlog", "host", "fd", "http")
    }
    assert found == {
        "app": ("main:app", "argument APP"),
        "port": (6, "flag --port"),
        "ready_fd": (5, "keyword ready_fd"),
        "backlog": (4, "ASGISERVER_BACKLOG"),
        "host": ("3", "UVICORN_HOST"),
        "fd": (1, "asgiserver.toml"),
        "http": ("auto", "default"),
    }
    assert resolved.notes == ["options taken from UVICORN_HOST"]


@pytest.mark.parametrize(
    ("env", "name", "value", "origin"),
    [
        ({"PORT": "80"}, "port", 80, "PORT"),
        ({"WEB_CONCURRENCY": "auto"}, "workers", "auto", "WEB_CONCURRENCY"),
        ({"FORWARDED_ALLOW_IPS": "a,b"}, "forwarded_allow_ips", ("a", "b"), "FORWARDED_ALLOW_IPS"),
        ({"ASGISERVER_BIND": "a:1, b:2"}, "bind", ("a:1", "b:2"), "ASGISERVER_BIND"),
        ({"ASGISERVER_HEADER": "a: 1,b: 2"}, "headers", ("a:1", "b:2"), "ASGISERVER_HEADER"),
        ({"ASGISERVER_HEADERS": "a: 1, 2"}, "headers", ("a:1, 2",), "ASGISERVER_HEADERS"),
        ({"UVICORN_HEADERS": "a:1 b:2"}, "headers", ("a:1", "b:2"), "UVICORN_HEADERS"),
        ({"UVICORN_RELOAD_DIRS": "a:b"}, "reload_dirs", ("a", "b"), "UVICORN_RELOAD_DIRS"),
        ({"UVICORN_APP": "main:app"}, "app", "main:app", "UVICORN_APP"),
        ({"ASGISERVER_ACCESS_LOG": "no"}, "access_log", False, "ASGISERVER_ACCESS_LOG"),
        ({"ASGISERVER_TIMEOUT_WRITE": "off"}, "timeout_write", OFF, "ASGISERVER_TIMEOUT_WRITE"),
        ({"ASGISERVER_PORT": ""}, "port", 8000, "default"),
        ({"ASGISERVER_PORT": "tcp://10.0.0.1:80"}, "port", 8000, "default"),
    ],
)
def test_environment(env, name, value, origin):
    resolved = resolve(env=env)
    assert getattr(resolved.config, name) == value
    assert resolved.origins[name] == origin


def test_none_as_a_keyword_is_not_given():
    resolved = resolve(keywords={"workers": None, "ws_ping_interval": None}, env={"PORT": "1"})
    assert resolved.origins["workers"] == "default"
    assert resolved.config.ws_ping_interval == OFF


def test_notes_of_the_configuration_are_notes_of_the_resolution():
    assert "http=zttp is not available here" in resolve(flags={"http": "zttp"}).notes[0]


def test_pyproject_has_a_table_and_dashes_are_fine(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        "[tool.asgiserver]\napp = 'main:app'\nreload-dir = ['src']\ntimeout_write = '5s'\n"
        "log_config = {version = 1}\n"
    )
    resolved = resolve(cwd=tmp_path)
    config = resolved.config
    assert (config.app, config.reload_dirs, config.timeout_write) == ("main:app", ("src",), 5.0)
    assert config.log_config == {"version": 1}
    assert resolved.origins["app"] == "pyproject.toml"


def test_pyproject_of_others_is_not_even_parsed(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project\nname = 'broken'")
    assert resolve(cwd=tmp_path).config == Config()
    (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = ['asgiserver']")
    assert resolve(cwd=tmp_path).config == Config()


def test_asgiserver_toml_is_read_before_pyproject(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.asgiserver]\nport = 1\nfd = 3")
    (tmp_path / "asgiserver.toml").write_text("port = 2")
    config = resolve(cwd=tmp_path).config
    assert (config.port, config.fd) == (2, None)


@pytest.mark.parametrize("text", ["port = 2", "[tool.asgiserver]\nport = 2"])
def test_a_file_of_any_name(tmp_path, text):
    (tmp_path / "asgiserver.toml").write_text("port = 1")
    (tmp_path / "deploy.toml").write_text(text)
    assert resolve(cwd=tmp_path, config_file="deploy.toml").origins["port"] == "deploy.toml"
    assert resolve(cwd=tmp_path, env={"ASGISERVER_CONFIG": "deploy.toml"}).config.port == 2


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        (
            "asgiserver.toml",
            b"prot = 1",
            "asgiserver.toml: unknown option 'prot'; did you mean 'port'",
        ),
        (
            "asgiserver.toml",
            b"port = 'x'",
            "asgiserver.toml: port: expected a whole number, not 'x'",
        ),
        ("asgiserver.toml", b"port = ", "asgiserver.toml: Invalid value"),
        ("asgiserver.toml", b"\xff", "asgiserver.toml: cannot be read"),
        ("asgiserver.toml", b"callback_notify = 1", "can only be given as a keyword argument"),
        ("pyproject.toml", b"[tool.asgiserver", "pyproject.toml: Expected"),
        (
            "pyproject.toml",
            b"tool = 'asgiserver'",
            "pyproject.toml: tool must be a table, not 'asgiserver'",
        ),
        ("pyproject.toml", b"tool.asgiserver = 5", "tool.asgiserver must be a table, not 5"),
        ("asgiserver.toml", b"app = 5", "asgiserver.toml: app: expected 'module:attribute', not 5"),
        (
            "asgiserver.toml",
            b"headers = {X-Version = 3}",
            "asgiserver.toml: headers: expected Name:Value",
        ),
    ],
)
def test_wrong_files(tmp_path, file, content, text):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ConfigError, match=text):
        resolve(cwd=tmp_path)


def test_a_file_that_is_named_must_be_there_and_have_options(tmp_path):
    with pytest.raises(ConfigError, match=r"config: no file 'x\.toml' in "):
        resolve(cwd=tmp_path, config_file="x.toml")
    (tmp_path / "pyproject.toml").write_text("[project]")
    with pytest.raises(ConfigError, match=r"the file has no \[tool.asgiserver\] table"):
        resolve(cwd=tmp_path, config_file="pyproject.toml")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"flags": {"port": "x"}}, "--port: expected a whole number"),
        ({"flags": {"headers": ("x",)}}, "--header: expected Name:Value"),
        ({"keywords": {"port": "x"}}, "port: expected a whole number"),
        ({"keywords": {"prot": 1}}, "unknown option 'prot'; did you mean 'port'?"),
        ({"keywords": {"zzzzzz": 1}}, "unknown option 'zzzzzz'$"),
        ({"env": {"PORT": "x"}}, "PORT: expected a whole number"),
        ({"env": {"UVICORN_PORT": "x"}}, "UVICORN_PORT: expected a whole number"),
        (
            {"env": {"ASGISERVER_PROT": "1"}},
            "ASGISERVER_PROT: unknown option; did you mean ASGISERVER_PORT",
        ),
        ({"keywords": {"uds": "/s", "fd": 3}}, "uds and fd are both given"),
    ],
)
def test_errors_name_what_is_wrong_and_where(source, text):
    with pytest.raises(ConfigError, match=f"^{text}") as caught:
        resolve(**source)
    assert "\n" not in str(caught.value)


def test_variables_of_others_are_only_mentioned():
    env = {"ASGISERVER_ZZZ": "10.0.0.1", "ASGISERVER_WORKER_INDEX": "1", "OTHER": "1"}
    assert resolve(env=env).notes == ["these environment variables are not options: ASGISERVER_ZZZ"]


def service_variables(service):
    """What Kubernetes sets for a service of that name, with a port called web."""
    name = service.upper().replace("-", "_")
    return {
        f"{name}_SERVICE_HOST": "10.0.0.1",
        f"{name}_SERVICE_PORT": "80",
        f"{name}_SERVICE_PORT_WEB": "80",
        f"{name}_PORT": "tcp://10.0.0.1:80",
        f"{name}_PORT_80_TCP": "tcp://10.0.0.1:80",
        f"{name}_PORT_80_TCP_PROTO": "tcp",
        f"{name}_PORT_80_TCP_PORT": "80",
        f"{name}_PORT_80_TCP_ADDR": "10.0.0.1",
    }


@pytest.mark.parametrize(
    "service",
    [
        "asgiserver",
        *(f"asgiserver-{name}" for name in ("db", "ws", "fd", "static", "workers", "reload", "x")),
        *(f"asgiserver-{name}" for name in ("port", "prot", "host", "bind", "app", "ssl-redirect")),
        "uvicorn",
    ],
)
def test_variables_of_services_are_noted_for_debugging(service):
    env = service_variables(service)
    resolved = resolve(env=env)
    assert resolved.config == Config()
    assert resolved.notes == []
    (remark,) = resolved.config.remarks
    named = set(remark.removeprefix("environment variables of services, not options: ").split(", "))
    mine = {name for name in env if name.startswith("ASGISERVER_") or name == "UVICORN_PORT"}
    assert named == mine if mine else not resolved.config.remarks


def test_addresses_in_variables_that_others_set_are_no_options():
    address = "tcp://10.0.0.1:80"
    resolved = resolve(env={"PORT": address, "WEB_CONCURRENCY": address})
    assert resolved.config == Config()
    (remark,) = resolved.config.remarks
    assert remark.endswith("options: PORT, WEB_CONCURRENCY")


def test_env_files_belong_to_the_environment(tmp_path):
    (tmp_path / "asgiserver.toml").write_text("workers = 3\nport = 3\nhost = '::1'")
    one, two = tmp_path / "one.env", tmp_path / "two.env"
    one.write_text("PORT=4\nWEB_CONCURRENCY=4\nUVICORN_BACKLOG=4\nDATABASE=x\nEMPTY")
    two.write_text("PORT=5\nASGISERVER_FD=5\nASGISERVER_ENV_FILE=three.env")
    env = {"WEB_CONCURRENCY": "2"}
    resolved = resolve(keywords={"env_file": [one, two]}, env=env, cwd=tmp_path)
    config = resolved.config
    assert (config.port, config.workers, config.backlog, config.fd) == (4, 2, 4, 5)
    assert config.env_file == (str(one), str(two))
    assert resolved.origins["port"] == f"PORT in {one}"
    assert resolved.origins["workers"] == "WEB_CONCURRENCY"
    assert resolved.notes == [f"options taken from UVICORN_BACKLOG in {one}"]
    assert env == {"WEB_CONCURRENCY": "2"}
    # Without an environment, the files are the application's alone.
    assert resolve(keywords={"env_file": one}).config.port == 8000


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"ASGISERVER_PROT=1", "ASGISERVER_PROT in .env: unknown option; did you mean"),
        (b"PORT=x", "PORT in .env: expected a whole number, not 'x'"),
        ("NAME=Jürgen".encode("latin-1"), "env_file: '.env' is not UTF-8: "),
        (b"NAME=a\0b", "env_file: '.env' sets what no environment can hold, the variable 'NAME'"),
        (b"'a=b'=c", "env_file: '.env' sets what no environment can hold, the variable 'a=b'"),
    ],
)
def test_wrong_env_files(tmp_path, monkeypatch, content, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        resolve(keywords={"env_file": ".env"}, env={})
    assert str(caught.value).startswith(text)


def test_keywords_alone_or_with_environment_and_file(tmp_path, monkeypatch):
    (tmp_path / "asgiserver.toml").write_text("backlog = 7")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASGISERVER_PORT", "9")
    alone = resolve_keywords("main:app", {"host": "::1"}, env=False).config
    assert alone == Config("main:app", host="::1")
    assert resolve_keywords("main:app", {"host": "::1"}, env=True).config == Config(
        "main:app", host="::1", backlog=7, port=9
    )


def test_what_is_described_can_be_read_back(tmp_path):
    options = {"port": 0, "timeout_write": 1.5, "headers": ["a: 1"], "ssl_keyfile_password": "x"}
    resolved = resolve("main:app", keywords=options | {"ssl_certfile": "c"})
    text = describe(resolved)
    assert "port = 0" in text
    assert "# keyword port" in text
    assert 'ssl_keyfile_password = "***"' in text
    (tmp_path / "asgiserver.toml").write_text(text)
    again = resolve(cwd=tmp_path).config
    assert dataclasses.replace(again, ssl_keyfile_password="x") == resolved.config


def test_every_value_is_described_once():
    names = [line.removeprefix("# ").split(" =")[0] for line in describe(resolve()).splitlines()]
    assert names == ["app", *(name for name, (_, info) in FIELDS.items() if info.cli)]


def test_the_documentation_is_up_to_date():
    assert (ROOT / "docs" / "options.md").read_text(encoding="utf-8") == markdown(), (
        "run python -m asgiserver.options > docs/options.md"
    )


def test_the_documentation_is_made_by_a_command():
    done = subprocess.run(
        [sys.executable, "-m", "asgiserver.options"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == markdown()


# All names that uvicorn 0.54 takes as flags, as arguments of run(), and as arguments of Config.
UVICORN_FLAGS = """
    --host --port --uds --fd --reload --reload-dir --reload-include --reload-exclude --reload-delay
    --workers --loop --http --http2 --ws --ws-max-size --ws-max-queue --ws-ping-interval
    --ws-ping-timeout --ws-per-message-deflate --lifespan --interface --env-file --log-config
    --log-level --access-log --use-colors --proxy-headers --server-header --date-header
    --forwarded-allow-ips --root-path --limit-concurrency --backlog --limit-max-requests
    --limit-max-requests-jitter --timeout-keep-alive --timeout-graceful-shutdown
    --timeout-worker-healthcheck --ssl-keyfile --ssl-certfile --ssl-keyfile-password --ssl-version
    --ssl-cert-reqs --ssl-ca-certs --ssl-ciphers --header --app-dir
    --h11-max-incomplete-event-size --reset-contextvars --factory
"""
UVICORN_KEYWORDS = """
    host port uds fd loop http http2 ws ws_max_size ws_max_queue ws_ping_interval ws_ping_timeout
    ws_per_message_deflate lifespan interface reload reload_dirs reload_includes reload_excludes
    reload_delay workers env_file log_config log_level access_log proxy_headers server_header
    date_header forwarded_allow_ips root_path limit_concurrency backlog limit_max_requests
    limit_max_requests_jitter timeout_keep_alive timeout_graceful_shutdown
    timeout_worker_healthcheck ssl_keyfile ssl_certfile ssl_keyfile_password ssl_version
    ssl_cert_reqs ssl_ca_certs ssl_ciphers ssl_context_factory headers use_colors app_dir factory
    h11_max_incomplete_event_size reset_contextvars callback_notify timeout_notify
"""


def test_uvicorns_flags_and_keywords_exist():
    flags = {flag for name, (_, info) in FIELDS.items() if info.cli for flag in flag_names(name)}
    assert set(UVICORN_FLAGS.split()) <= flags
    assert set(UVICORN_KEYWORDS.split()) <= set(FIELDS)


def test_uvicorns_own_defaults_are_accepted():
    """Wrappers pass all arguments on with uvicorn's defaults."""
    uvicorn = pytest.importorskip("uvicorn")
    parameters = inspect.signature(uvicorn.Config).parameters
    keywords = {name: parameter.default for name, parameter in parameters.items() if name != "app"}
    assert set(UVICORN_KEYWORDS.split()) == {*keywords, "reload", "app_dir"}
    keywords.pop("log_config")
    assert resolve("main:app", keywords=keywords).notes == []
    json.dumps(describe(resolve("main:app", keywords=keywords)))
