"""Django Channels' live tests, with `LiveServer` in the place of daphne."""

from __future__ import annotations

import os
import subprocess
import sys

SETTINGS = """
SECRET_KEY = "tea"
ALLOWED_HOSTS = []
INSTALLED_APPS = ["channels", "django.contrib.contenttypes", "django.contrib.auth"]
ROOT_URLCONF = "project"
ASGI_APPLICATION = "project.application"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "data",
        "TEST": {"NAME": "test_data"},
    }
}
"""

PROJECT = """
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path

http = get_asgi_application()


class Echo(WebsocketConsumer):
    def receive(self, text_data):
        self.send(text_data=text_data.upper())


def users(request):
    from django.contrib.auth.models import User

    return HttpResponse(f"{User.objects.count()} users")


urlpatterns = [path("", users)]
application = ProtocolTypeRouter(
    {"http": http, "websocket": URLRouter([path("ws", Echo.as_asgi())])}
)
"""

TESTS = """
import urllib.request

from asgiserver.testing import LiveServer
from channels.testing import ChannelsLiveServerTestCase
from django.contrib.auth.models import User
from websockets.sync.client import connect


class LiveTests(ChannelsLiveServerTestCase):
    ProtocolServerProcess = LiveServer

    def test_the_database_of_the_test(self):
        User.objects.create_user("leaf")
        with urllib.request.urlopen(self.live_server_url) as response:
            self.assertEqual(response.headers["server"], "asgiserver")
            self.assertEqual(response.read(), b"1 users")

    def test_a_websocket(self):
        with connect(f"{self.live_server_ws_url}/ws", proxy=None) as client:
            client.send("tea")
            self.assertEqual(client.recv(), "TEA")


class Broken(LiveServer):
    OPTIONS = {"host": "no address"}


class BrokenTests(ChannelsLiveServerTestCase):
    ProtocolServerProcess = Broken

    def test_nothing(self):
        pass
"""


def test_channels_live_server_test_case(tmp_path):
    for name, text in {"settings": SETTINGS, "project": PROJECT, "tests": TESTS}.items():
        (tmp_path / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "django", "test", "--settings", "settings", "tests.LiveTests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr


def test_a_server_that_does_not_start_ends_the_test_and_says_why(tmp_path):
    for name, text in {"settings": SETTINGS, "project": PROJECT, "tests": TESTS}.items():
        (tmp_path / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "django", "test", "--settings", "settings", "tests.BrokenTests"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "RuntimeError: Server stopped" in done.stderr
    assert "BindError: cannot resolve 'no address'" in done.stderr
