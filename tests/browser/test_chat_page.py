"""The chat page of the examples in a real browser: messages, close codes, compression, TLS."""

import json
import re
import signal

import pytest
import pytest_asyncio
from chromium import chromium, find_chromium
from cli_server import Command
from pki import Authority

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory):
    async with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def serve_chat(tmp_path):
    """``serve_chat(*flags)`` is the command that serves the page, ready."""
    find_chromium()
    commands = []

    def serve_chat(*flags):
        command = Command(tmp_path, "examples.chat:app", "--port", "0", *flags)
        commands.append(command)
        command.wait_ready()
        return command

    yield serve_chat
    for command in commands:
        command.close()


class Member:
    """Someone before the page, who fills in its forms and reads what it shows."""

    def __init__(self, page):
        self.page = page

    async def submit(self, form, field, text):
        await self.page.evaluate(
            f"document.getElementById('{field}').value = {json.dumps(text)};"
            f"document.getElementById('{form}').requestSubmit()"
        )

    async def join(self, name):
        await self.submit("join", "name", name)

    async def say(self, text):
        await self.submit("speak", "text", text)

    async def sees_state(self, text):
        await self.page.until(f"document.getElementById('state').value === {json.dumps(text)}")

    async def sees(self, *lines):
        """Exactly these messages, in this order."""
        shown = "[...document.querySelectorAll('#log li')].map(line => line.textContent)"
        await self.page.until(f"{shown}.length >= {len(lines)}")
        assert await self.page.evaluate(shown) == list(lines)


async def arrive(browser, command):
    """A `Member` before the page that `command` serves."""
    return Member(await browser.open(command.ready["addresses"][0]))


async def joined(browser, command, name):
    member = await arrive(browser, command)
    await member.join(name)
    await member.sees_state("open")
    await member.sees(f"{name} joined (1 here)")
    return member


@pytest.mark.parametrize(
    ("codec", "compression"),
    [
        ("python", "off"),
        ("python", "shared"),
        ("python", "full"),
        ("wsproto", "full"),
        ("websockets", "full"),
    ],
)
async def test_two_members_talk(browser, serve_chat, codec, compression):
    command = serve_chat("--ws", codec, "--ws-compression", compression)
    ada = await joined(browser, command, "Ada")
    bob = await arrive(browser, command)
    await bob.join("Bob")
    await bob.sees("Bob joined (2 here)")
    said = ["Grüße, 世界 🎉", "x" * 100_000, "x" * 100_000]
    for text in said:
        await ada.say(text)
    await bob.sees("Bob joined (2 here)", *(f"Ada: {text}" for text in said))
    await bob.say("/quit")
    await bob.sees_state("closed with 4000 (goodbye)")
    told = ["Ada joined (1 here)", "Bob joined (2 here)", *(f"Ada: {text}" for text in said)]
    await ada.sees(*told, "Bob left (1 here)")
    command.kill(signal.SIGTERM)
    assert command.wait() == 0
    assert "Traceback" not in command.output


@pytest.mark.parametrize(("flag", "version"), [("--http2", "2"), ("--no-http2", "1.1")])
async def test_over_tls(browser, serve_chat, tmp_path, flag, version):
    """With HTTP/2 the WebSocket is a stream of the connection on which the page came (RFC 8441)."""
    crt, key = Authority().issue("localhost", "127.0.0.1").write(tmp_path, "server")
    log = "{method} {path} HTTP/{version} {status} {event}"
    command = serve_chat(
        "--ssl-certfile", crt, "--ssl-keyfile", key, flag, "--access-log-format", log
    )
    assert command.ready["addresses"][0].startswith("https://")
    ada = await joined(browser, command, "Ada")
    said = ["hello", "x" * 100_000]
    for text in said:
        await ada.say(text)
    await ada.sees("Ada joined (1 here)", *(f"Ada: {text}" for text in said))
    await ada.say("/quit")
    await ada.sees_state("closed with 4000 (goodbye)")
    command.kill(signal.SIGTERM)
    assert command.wait() == 0
    status = "200" if version == "2" else "101"
    assert re.search(rf"HTTP/{version} {status} websocket_close", command.output)
    assert "Traceback" not in command.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_shutdown_is_1012(browser, serve_chat, number):
    command = serve_chat()
    ada = await joined(browser, command, "Ada")
    command.kill(number)
    await ada.sees_state("closed with 1012 (server shutdown)")
    assert command.wait() == 0
    assert "Traceback" not in command.output


async def test_too_big_a_message_is_1009(browser, serve_chat):
    command = serve_chat("--ws-max-size", "1000")
    ada = await joined(browser, command, "Ada")
    await ada.say("x" * 1001)
    await ada.page.until("document.getElementById('state').value.startsWith('closed with 1009')")


async def test_denied_then_welcome(browser, serve_chat):
    """A browser tells a page nothing of a denial response but that there is no connection."""
    command = serve_chat()
    ada = await joined(browser, command, "Ada")
    other = await arrive(browser, command)
    await other.join("Ada")
    await other.sees_state("closed with 1006")
    await other.join("Bob")
    await other.sees("Bob joined (2 here)")
    await ada.sees("Ada joined (1 here)", "Bob joined (2 here)")
    assert "ERROR" not in command.output


async def test_leaving(browser, serve_chat):
    """With the button, and with the tab."""
    command = serve_chat()
    ada = await joined(browser, command, "Ada")
    await ada.page.evaluate("document.getElementById('leave').click()")
    await ada.sees_state("closed with 1000")
    await ada.join("Ada")
    await ada.sees("Ada joined (1 here)", "Ada joined (1 here)")
    await ada.page.close()
    command.wait_output(" 1001 ")
    command.kill(signal.SIGTERM)
    assert command.wait() == 0
    assert " 1000 " in command.output
    assert "Traceback" not in command.output
