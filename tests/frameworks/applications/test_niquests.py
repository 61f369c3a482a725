"""The client niquests, whose HTTP/2 is not that of httpx; see the dependency group for why here."""

import asyncio

import niquests
import pytest
from pki import Authority

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


async def app(scope, receive, send):
    """Answers with the version of HTTP and with how many bytes came."""
    received, more = 0, True
    while more:
        message = await receive()
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = f"{scope['http_version']} {received}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def test_niquests_sends_bodies_one_after_the_other_and_at_the_same_time(serve, tmp_path):
    ca = Authority()
    (tmp_path / "ca.pem").write_text(ca.pem)
    crt, key = ca.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    server = await serve(app, ssl_certfile=crt, ssl_keyfile=key)
    url = f"https://localhost:{server.listeners[0].port}"

    def ask(multiplexed: bool) -> list[tuple[int | None, str | None]]:
        with niquests.Session(disable_http3=True, multiplexed=multiplexed) as session:
            answers = [
                session.post(f"{url}/{number}", data=b"x" * 5000, verify=str(tmp_path / "ca.pem"))
                for number in range(5)
            ]
            session.gather()
            return [(answer.http_version, answer.text) for answer in answers]

    for multiplexed in (False, True):
        answers = await asyncio.to_thread(ask, multiplexed)
        assert answers == [(20, "2 5000")] * 5
