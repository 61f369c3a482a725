"""The requests of production: the same on every machine, and none like the one before."""

from __future__ import annotations

import itertools

from benchmarks import heads


def first(kind: str, count: int = 500) -> list[bytes]:
    return list(itertools.islice(heads.requests(kind), count))


def test_they_are_the_same_in_every_run():
    assert first("production") == first("production")


def test_no_head_comes_twice():
    assert len(set(heads.requests("production"))) == heads.HEADS


def test_a_head_has_18_fields():
    assert {head.count(b"\r\n") - 2 for head in first("production")} == {18}


def test_two_proxies_add_a_second_address():
    (line,) = {head.count(b", 10.") for head in first("two-proxies")}
    assert line == 1


def test_an_upload_is_as_long_as_it_says():
    sizes = []
    for request in first("uploads"):
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}\r\n".encode() in head
        sizes.append(len(body))
    assert min(sizes) < 4096
    assert max(sizes) > 1 << 19


def test_the_file_has_each_request_after_its_length(tmp_path):
    content = heads.write("production", tmp_path).read_bytes()
    found = 0
    while content and found < 100:
        length, _, rest = content.partition(b"\n")
        assert rest.startswith(b"GET /items/")
        content = rest[int(length) :]
        found += 1
    assert found == 100
