"""Datasette: a page, JSON, and a CSV stream, from one process and from two."""

from __future__ import annotations

import csv
import signal

import pytest

TARGETS = [("datasette_app:app",), ("datasette_app:app", "--workers", "2")]
ROWS = [["id", "name"], *([str(number), f"tea number {number}"] for number in range(1, 5_001))]

served = pytest.mark.parametrize(
    "served", TARGETS, ids=["one", "two"], indirect=True, scope="module"
)


@served
def test_a_page(served):
    with served.client() as client:
        page = client.get("/shop/teas", params={"_sort_desc": "id"})
        assert page.status_code == 200
        assert "tea number 5000" in page.text
        assert client.get("/-/static/app.css").headers["content-type"].startswith("text/css")
        assert client.get("/shop/coffees").status_code == 404


@served
def test_json(served):
    with served.client() as client:
        query = {"_shape": "array", "_size": "3", "name__endswith": "7"}
        teas = client.get("/shop/teas.json", params=query).json()
    assert teas == [{"id": number, "name": f"tea number {number}"} for number in (7, 17, 27)]


@served
def test_a_stream_of_csv(served):
    with served.client() as client:
        url = "/shop/teas.csv?_stream=on&_size=max"
        with client.stream("GET", url) as response:
            assert response.headers["transfer-encoding"] == "chunked"
            assert list(csv.reader(response.iter_lines())) == ROWS


@pytest.mark.parametrize("target", TARGETS, ids=["one", "two"])
def test_it_stops_with_a_client_connected(run, target):
    with run(*target) as server, server.client() as client:
        assert client.get("/").status_code == 200
        server.stop(signal.SIGINT)
