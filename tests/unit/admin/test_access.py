"""Whom the admin listener answers."""

from __future__ import annotations

import pytest

from asgiserver.admin.access import Access

LOCAL = {b"host": b"127.0.0.1:9000"}
ORDER = {b"x-asgiserver-admin": b"1"}
TOKEN = {b"authorization": b"Bearer secret"}


@pytest.mark.parametrize(
    ("place", "token", "request_", "fields", "expected"),
    [
        ("loopback", None, "GET /metrics", LOCAL, None),
        ("loopback", None, "GET /metrics", {b"host": b"localhost"}, None),
        ("loopback", None, "GET /metrics", {b"host": b"LOCALHOST.:80"}, None),
        ("loopback", None, "GET /metrics", {b"host": b"[::1]:9000"}, None),
        ("loopback", None, "GET /metrics", {b"host": b"attacker.example:9000"}, 403),
        ("loopback", None, "GET /livez", {b"host": b"attacker.example"}, 403),
        ("loopback", None, "GET /metrics", {b"host": b"127.0.0.1.attacker.example"}, 403),
        ("loopback", None, "GET /metrics", {}, 403),
        ("loopback", None, "POST /drain", LOCAL, 403),
        ("loopback", None, "POST /drain", LOCAL | ORDER, None),
        ("loopback", None, "POST /drain", {b"host": b"attacker.example"} | ORDER, 403),
        ("loopback", "secret", "GET /metrics", LOCAL, 401),
        ("loopback", "secret", "POST /drain", LOCAL | ORDER, 401),
        ("loopback", "secret", "POST /drain", LOCAL | TOKEN, None),
        ("unix", None, "GET /status", {b"host": b"anything"}, None),
        ("unix", None, "POST /drain", {}, None),
        ("unix", None, "GET /dump", {}, None),
        ("loopback", None, "GET /dump", LOCAL, 403),
        ("loopback", None, "GET /dump", LOCAL | ORDER, None),
        ("network", None, "GET /dump", ORDER, 403),
        ("network", "secret", "GET /dump", {}, 401),
        ("network", "secret", "GET /dump", TOKEN, None),
        ("unix", "secret", "POST /drain", {}, 401),
        ("network", None, "GET /metrics", {b"host": b"10.0.0.1"}, None),
        ("network", None, "POST /drain", {b"host": b"10.0.0.1"} | ORDER, 403),
        ("network", "secret", "GET /metrics", {b"host": b"10.0.0.1"}, 401),
        ("network", "secret", "GET /metrics", TOKEN, None),
        ("network", "secret", "POST /drain", TOKEN, None),
        ("network", "secret", "GET /readyz", {}, None),
        ("network", "secret", "GET /metrics", {b"authorization": b"bearer  secret"}, None),
        ("network", "secret", "GET /metrics", {b"authorization": b"Bearer secre"}, 401),
        ("network", "secret", "GET /metrics", {b"authorization": b"Basic secret"}, 401),
        ("network", "secret", "GET /metrics", {b"authorization": b"Bearer \xff"}, 401),
    ],
)
def test_refusals(place, token, request_, fields, expected):
    method, path = request_.split()
    refused = Access(place, token).refusal(method, path, fields)
    assert (refused and refused[0]) == expected
