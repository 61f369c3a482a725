"""Requests of HTTP/2 as clients and proxies send them, in fields."""


def _fields(text):
    """Lines of ``name value``."""
    pairs = (line.strip().partition(" ") for line in text.strip().splitlines())
    return [(name.encode(), value.encode()) for name, _, value in pairs]


REAL_REQUESTS = {
    name: _fields(text)
    for name, text in {
        "curl": """
            :method GET
            :path /a?b=c
            :scheme https
            :authority example.com
            user-agent curl/7.88.1
            accept */*
        """,
        "curl, a form": """
            :method POST
            :path /form
            :scheme http
            :authority 127.0.0.1:8000
            user-agent curl/7.88.1
            accept */*
            content-length 7
            content-type application/x-www-form-urlencoded
        """,
        "Chrome": """
            :method GET
            :authority example.com
            :scheme https
            :path /items/42?q=caf%C3%A9&page=2
            cache-control max-age=0
            sec-ch-ua "Chromium";v="140", "Not=A?Brand";v="24"
            sec-ch-ua-mobile ?0
            sec-ch-ua-platform "Linux"
            upgrade-insecure-requests 1
            user-agent Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0
            accept text/html,application/xhtml+xml,image/avif,image/webp,*/*;q=0.8
            sec-fetch-site none
            sec-fetch-mode navigate
            sec-fetch-user ?1
            sec-fetch-dest document
            accept-encoding gzip, deflate, br, zstd
            accept-language en-US,en;q=0.9
            cookie sessionid=5f0c1d7e
            cookie csrftoken=abc
            cookie theme=dark
            priority u=0, i
        """,
        "Firefox": """
            :method GET
            :path /
            :authority example.com
            :scheme https
            user-agent Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0
            accept text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
            accept-language en-US,en;q=0.5
            accept-encoding gzip, deflate, br, zstd
            cookie a=b
            upgrade-insecure-requests 1
            sec-fetch-dest document
            sec-fetch-mode navigate
            sec-fetch-site none
            sec-fetch-user ?1
            priority u=0, i
            te trailers
        """,
        "Safari": """
            :method GET
            :scheme https
            :path /api/items
            :authority example.com
            accept */*
            sec-fetch-site same-origin
            cookie a=b; c=d
            if-none-match W/"5f0"
            sec-fetch-dest empty
            sec-fetch-mode cors
            user-agent Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15
            accept-language en-GB,en;q=0.9
            priority u=3, i
            accept-encoding gzip, deflate, br
        """,
        "grpcio": """
            :scheme http
            :method POST
            :authority localhost:50051
            :path /helloworld.Greeter/SayHello
            te trailers
            content-type application/grpc
            user-agent grpc-python/1.74.0 grpc-c/49.0.0 (linux; chttp2)
            grpc-accept-encoding identity, deflate, gzip
            grpc-timeout 9999m
        """,
        "h2load": """
            :method GET
            :scheme http
            :authority [::1]:8000
            :path /
            user-agent h2load nghttp2/1.52.0
        """,
        "httpx": """
            :method GET
            :authority example.com
            :scheme https
            :path /
            accept */*
            accept-encoding gzip, deflate
            user-agent python-httpx/0.28.1
        """,
        "Envoy": """
            :method GET
            :scheme http
            :path /a/b
            :authority api.example.com
            x-forwarded-for 203.0.113.7, 10.0.0.1
            x-forwarded-proto https
            x-envoy-external-address 203.0.113.7
            x-request-id 5a4e0e5e-9f0b-4a6f-8d55-3d5d6a1c2f6a
            x-envoy-expected-rq-timeout-ms 15000
            traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
        """,
        "two proxies, two lines": """
            :method GET
            :scheme https
            :path /
            :authority api.example.com
            x-forwarded-for 203.0.113.7
            x-forwarded-for 10.0.0.1
            x-forwarded-proto https
            forwarded for=203.0.113.7;proto=https
        """,
        "Google Front End": """
            :method GET
            :scheme https
            :authority service-abc.a.run.app
            :path /
            x-cloud-trace-context 0af7651916cd43dd8448eb211c80319c/1234;o=1
            traceparent 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
            x-forwarded-for 203.0.113.7
            x-forwarded-proto https
            forwarded for="203.0.113.7";proto=https
        """,
        "an upload that waits": """
            :method PUT
            :scheme https
            :authority example.com
            :path /upload
            content-length 1048576
            expect 100-continue
        """,
        "an empty value": """
            :method DELETE
            :scheme https
            :authority example.com
            :path /a%20b/c
            x-empty
        """,
    }.items()
}
