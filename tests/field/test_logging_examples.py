"""The whole examples of ``--log-config`` in docs/logging.md do what the page says."""

import json
import re
import signal
from pathlib import Path

import pytest
from cli_server import Command

PAGE = (Path(__file__).parents[2] / "docs" / "logging.md").read_text()
EXAMPLES = dict(re.findall(r"\*\*`(log\.\w+)`\*\*.*?\n\n```\w+\n(.*?)```", PAGE, re.DOTALL))

APP = """
import logging

async def app(scope, receive, send):
    logging.getLogger("shop").info("sold %d", 3)
    if scope["path"] == "/fail":
        raise RuntimeError("no")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.fixture
def serve(tmp_path):
    """Serve two requests with an example, and return the output."""

    def serve(name, *options):
        (tmp_path / "main.py").write_text(APP)
        (tmp_path / name).write_text(EXAMPLES[name])
        flags = ["--port", "0", "--lifespan", "off", "--log-config", name]
        command = Command(tmp_path, "main:app", *flags, *options)
        try:
            command.wait_ready()
            command.get("/a?b=1")
            command.get("/fail")
            command.kill(signal.SIGTERM)
            assert command.wait() == 0
        finally:
            command.close()
        return command.output.splitlines()

    return serve


def test_the_page_has_these_examples():
    assert sorted(EXAMPLES) == ["log.json", "log.toml", "log.yaml"]


def test_everything_as_json(serve):
    lines = [json.loads(line) for line in serve("log.toml")]
    assert {line["logger"] for line in lines} == {"asgiserver", "asgiserver.access", "shop"}
    access = [line for line in lines if line["logger"] == "asgiserver.access"]
    assert [line["status"] for line in access] == [200, 500]
    assert [line["message"] for line in lines if line["logger"] == "shop"] == ["sold 3"] * 2
    (failed,) = (line for line in lines if "exception" in line)
    assert failed["exception_type"] == "RuntimeError"


def test_a_file_and_access_lines_of_ones_own(serve, tmp_path):
    lines = serve("log.json")
    assert len(lines) == 2
    assert re.fullmatch(r"[\d:, -]+ 127\.0\.0\.1:\d+ GET /a 200 0\.\d\d\d", lines[0])
    own = (tmp_path / "server.log").read_text()
    assert re.search(r"(?m)^[\d:, -]+ INFO     asgiserver: Serving on", own)
    assert "RuntimeError: no" in own


def test_ids_in_the_lines_of_the_application(serve):
    pytest.importorskip("yaml")
    lines = serve("log.yaml", "--request-id", "on")
    sold = [re.fullmatch(r"INFO \[([0-9a-f]{32})\] sold 3", line) for line in lines]
    ids = [match[1] for match in sold if match]
    assert len(ids) == len(set(ids)) == 2
    assert f"INFO [{ids[0]}] " in "\n".join(lines)
    assert any(line.startswith(f"ERROR [{ids[1]}] Exception in ASGI") for line in lines)
