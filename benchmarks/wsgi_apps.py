"""The WSGI twins of the handlers in `apps` that wait and that compute."""

import time

import apps

HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "13")]


def wait(environ, start_response):
    """An I/O-bound handler: 100 ms of waiting."""
    time.sleep(0.1)
    start_response("200 OK", HEADERS)
    return [apps.HELLO]


def cpu(environ, start_response):
    """A CPU-bound handler."""
    apps.compute()
    start_response("200 OK", HEADERS)
    return [apps.HELLO]
