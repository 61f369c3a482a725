"""Messages name an option as the user has written it."""

import pytest

from asgiserver.config.options import resolve
from asgiserver.config.wording import as_typed
from asgiserver.errors import ConfigError

FLAGS = {"app": "argument APP", "ssl_keyfile": "flag --ssl-keyfile", "headers": "flag --header"}


@pytest.mark.parametrize(
    ("text", "origins", "typed"),
    [
        ("ssl_keyfile: no file", FLAGS, "--ssl-keyfile: no file"),
        ("headers: bad", FLAGS, "--header: bad"),
        ("ssl_keyfile: no file", {"ssl_keyfile": "keyword ssl_keyfile"}, "ssl_keyfile: no file"),
        ("workers: 2", {"workers": "WEB_CONCURRENCY"}, "WEB_CONCURRENCY: 2"),
        ("port: 2", {"port": "PORT in .env"}, "PORT in .env: 2"),
        ("pid: x", {"pid": "asgiserver.toml"}, "pid in asgiserver.toml: x"),
        (
            "ssl_keyfile is given without ssl_certfile; give both",
            FLAGS,
            "--ssl-keyfile is given without --ssl-certfile; give both",
        ),
        ("uds and fd are both given", FLAGS, "--uds and --fd are both given"),
        (
            "user and group: only root",
            {"user": "ASGISERVER_USER"},
            "ASGISERVER_USER and group: only root",
        ),
        # What only looks like an option stays.
        ("pid: 'ssl_keyfile' in /x/ssl_keyfile", FLAGS, "--pid: 'ssl_keyfile' in /x/ssl_keyfile"),
        ("the user has no port", FLAGS, "the user has no port"),
        ("a keyword only: ssl_context_factory", FLAGS, "a keyword only: ssl_context_factory"),
    ],
)
def test_the_spelling_is_that_of_the_user(text, origins, typed):
    assert as_typed(text, origins) == typed


def test_rules_about_several_options_name_where_each_stands(tmp_path):
    (tmp_path / "asgiserver.toml").write_text("ssl_keyfile = 'key.pem'")
    with pytest.raises(ConfigError) as caught:
        resolve("main:app", cwd=tmp_path, env={})
    assert str(caught.value) == (
        "ssl_keyfile in asgiserver.toml is given without ssl_certfile; give both"
    )
    with pytest.raises(ConfigError, match="--uds and ASGISERVER_FD are both given"):
        resolve(flags={"app": "main:app", "uds": "/s"}, env={"ASGISERVER_FD": "3"})


def test_notes_name_the_flag():
    flags = {"app": "main:app", "reload": True, "workers": "2", "ssl_version": "3"}
    assert resolve(flags=flags).notes == [
        "--ssl-version has no effect: the version is negotiated, see --ssl-min-version",
        "--workers has no effect: with --reload there is one worker",
    ]
