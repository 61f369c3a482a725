"""Heads of requests as browsers, proxies, balancers, probes and SDKs send them, by who sends them.

The compiled core has to read each of them itself: one that it leaves to Python costs speed that
nobody would miss in a test.
"""

CHROME = """\
sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
Sec-Fetch-Site: none
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7
Cookie: session_id=eyJ1c2VyX2lkIjo0Mn0.ZyX_w; _ga=GA1.1.1234.5678; theme="dark"; a=b==; c="""

TEXTS = {
    "Chrome": f"GET /a/b?c=d&e=f HTTP/1.1\nHost: www.example.com\nConnection: keep-alive\n{CHROME}",
    "Firefox": """GET / HTTP/1.1
Host: localhost:8000
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
Accept-Language: en-US,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
DNT: 1
Sec-GPC: 1
Connection: keep-alive
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Priority: u=0, i
If-None-Match: W/"5f-abc"
If-Modified-Since: Wed, 21 Oct 2015 07:28:00 GMT""",
    "Safari": """GET /search?q=caf%C3%A9&lang=fr?x=/&y[]=1&z={a|b}^`" HTTP/1.1
Host: example.com
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15
Accept-Language: en-GB,en;q=0.9
Accept-Encoding: gzip, deflate
Connection: keep-alive""",
    "path to decode": "GET /caf%C3%A9/%2F?a=%20 HTTP/1.1\nHost: example.com",
    "browser, form": """POST /login HTTP/1.1
Host: example.com
Content-Type: application/x-www-form-urlencoded
Content-Length: 29
Origin: https://example.com
Referer: https://example.com/login?next=%2Fhome
Cache-Control: max-age=0""",
    "browser, upload": """POST /files HTTP/1.1
Host: example.com
Content-Length: 1048576
Content-Type: multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW
X-CSRFToken: abc""",
    "browser, preflight": """OPTIONS /api/items/7 HTTP/1.1
Host: api.example.com
Origin: https://app.example.com
Access-Control-Request-Method: PUT
Access-Control-Request-Headers: authorization,content-type""",
    "browser, WebSocket": """GET /ws?room=1 HTTP/1.1
Host: example.com
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
Upgrade: websocket
Origin: https://example.com
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Protocol: chat, superchat
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits""",
    "Firefox, WebSocket": """GET / HTTP/1.1
Host: localhost:8000
Connection: keep-alive, Upgrade
Upgrade: WebSocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==""",
    "browser, EventSource": """GET /events HTTP/1.1
Host: example.com
Accept: text/event-stream
Last-Event-ID: 41
Cache-Control: no-cache""",
    "browser, range of a video": """GET /film.mp4 HTTP/1.1
Host: cdn.example.com
Range: bytes=0-
If-Range: "abc"
Sec-Fetch-Dest: video""",
    "curl": "GET / HTTP/1.1\nHost: 127.0.0.1:8000\nUser-Agent: curl/8.10.1\nAccept: */*",
    "curl, HTTP/1.0": "GET / HTTP/1.0\nHost: a\nUser-Agent: curl/8.10.1\nAccept: */*",
    "curl, IPv6": "HEAD / HTTP/1.1\nHost: [::1]:8000\nUser-Agent: curl/8.10.1\nAccept: */*",
    "curl, IPv6, whole": "GET / HTTP/1.1\nHost: [2001:DB8:0:1:2:3:4:5]\nAccept: */*",
    "curl, h2c": """GET / HTTP/1.1
Host: a
Connection: Upgrade, HTTP2-Settings
Upgrade: h2c
HTTP2-Settings: AAMAAABkAAQAAP__""",
    "curl, large upload": """PUT /big.bin HTTP/1.1
Host: a:80
Content-Length: 107374182400
Expect: 100-continue""",
    "curl, from a pipe": """POST /stream HTTP/1.1
Host: a
Transfer-Encoding: chunked
Content-Type: application/octet-stream
Expect: 100-Continue""",
    "wget": """GET /file HTTP/1.1
User-Agent: Wget/1.21.3
Accept: */*
Accept-Encoding: identity
Host: example.com
Connection: Keep-Alive""",
    "ab": "GET / HTTP/1.0\nConnection: Keep-Alive\nHost: a\nUser-Agent: ApacheBench/2.3",
    "requests": """DELETE /items/1 HTTP/1.1
Host: a
User-Agent: python-requests/2.32
Accept-Encoding: gzip, deflate
Accept: */*
Connection: keep-alive
Content-Length: 0""",
    "httpx": """PATCH /items/1 HTTP/1.1
Host: api
Accept: */*
Accept-Encoding: gzip, deflate, br
Connection: keep-alive
User-Agent: python-httpx/0.27
Content-Length: 17
Content-Type: application/json
Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc_-def""",
    "node": """POST /graphql HTTP/1.1
host: api.example.com
connection: keep-alive
content-type: application/json
accept-language: *
sec-fetch-mode: cors
user-agent: node
transfer-encoding: chunked""",
    "Go, trailers": """POST /rpc HTTP/1.1
Host: svc.namespace.svc.cluster.local:8080
User-Agent: Go-http-client/1.1
Transfer-Encoding: chunked
Te: trailers
Trailer: Grpc-Status
Accept-Encoding: gzip""",
    "Java": """GET /x HTTP/1.1
Connection: Upgrade, HTTP2-Settings
Host: a_b.example:8080
HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA
Upgrade: h2c
User-Agent: Java-http-client/21""",
    "boto3": """PUT /bucket/key%20name?x-id=PutObject&partNumber=1 HTTP/1.1
Host: s3.example.com
X-Amz-Content-SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
X-Amz-Date: 20241101T000000Z
Authorization: AWS4-HMAC-SHA256 Credential=A/20241101/eu/s3/aws4_request, Signature=abc
amz-sdk-invocation-id: 7f3c
Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==
Expect: 100-continue
Content-Length: 5""",
    "git": """POST /r.git/git-upload-pack HTTP/1.1
Host: git.example.com
User-Agent: git/2.47
Content-Encoding: gzip
Content-Type: application/x-git-upload-pack-request
Accept: application/x-git-upload-pack-result
Git-Protocol: version=2
Content-Length: 181""",
    "WebDAV": "PROPFIND /dav/ HTTP/1.1\nHost: a\nDepth: 1\nContent-Length: 3",
    "UPnP": 'M-SEARCH /* HTTP/1.1\nHost: 239.255.255.250:1900\nMAN: "ssdp:discover"\nMX: 1',
    "Kubernetes": """GET /healthz HTTP/1.1
Host: 10.1.2.3:8000
User-Agent: kube-probe/1.31
Accept: */*
Connection: close""",
    "ELB, health": "GET /ping HTTP/1.1\nHost: 10.0.0.7\nConnection: close\nUser-Agent: ELB/2.0",
    "HAProxy, health": "OPTIONS / HTTP/1.0",
    "Prometheus": """GET /metrics HTTP/1.1
Host: app:8000
User-Agent: Prometheus/2.54
Accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1
Accept-Encoding: gzip
X-Prometheus-Scrape-Timeout-Seconds: 10""",
    "nginx as it is": "GET /a HTTP/1.0\nHost: backend\nConnection: close\nAccept: */*",
    "nginx, configured": f"""GET /a?b HTTP/1.1
Host: example.com
X-Real-IP: 203.0.113.9
X-Forwarded-For: 203.0.113.9
X-Forwarded-Proto: https
X-Forwarded-Host: example.com
X-Forwarded-Port: 443
X-Forwarded-Prefix: /api
X-Request-ID: 5f0c2f1e6a7b4c3d
{CHROME}""",
    "nginx, empty Connection": "GET / HTTP/1.1\nConnection: \nHost: a\nX-Forwarded-For: 10.0.0.1",
    "ALB": """GET /x HTTP/1.1
X-Forwarded-For: 203.0.113.9
X-Forwarded-Proto: https
X-Forwarded-Port: 443
Host: app.example.com
X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678
User-Agent: Mozilla/5.0""",
    "Cloudflare, then ingress": """POST /x HTTP/1.1
Host: app.example.com
X-Request-ID: 7be2a1
X-Real-IP: 172.68.1.1
X-Forwarded-For: 2001:db8::7, 172.68.1.1
X-Forwarded-Host: app.example.com
X-Forwarded-Port: 443
X-Forwarded-Proto: https
X-Forwarded-Scheme: https
X-Scheme: https
X-Original-Forwarded-For: 2001:db8::7
CF-RAY: 8d9a-FRA
CF-Visitor: {"scheme":"https"}
CF-Connecting-IP: 2001:db8::7
CDN-Loop: cloudflare; loops=1
Content-Type: application/json
Content-Length: 2""",
    "two proxies, two lines": """GET / HTTP/1.1
Host: a
X-Forwarded-For: 203.0.113.9
Via: 1.1 varnish
X-Forwarded-Proto: https
X-Forwarded-For: 10.0.0.1, 10.0.0.2
Via: 1.1 cache
X-Forwarded-For: 10.0.0.3""",
    "RFC 7239": """GET / HTTP/1.1
Host: a
Forwarded: for="[2001:db8::7]:4711";proto=https;host=a;by=_b
Forwarded: for=10.0.0.1""",
    "Envoy": """GET /x HTTP/1.1
host: svc
x-forwarded-for: 10.1.1.1
x-forwarded-proto: http
x-envoy-external-address: 203.0.113.9
x-envoy-attempt-count: 1
x-envoy-expected-rq-timeout-ms: 15000
x-envoy-peer-metadata-id: router~10.1.1.1~istio-ingressgateway-7f.istio-system~cluster.local
x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124
x-b3-spanid: a2fb4a1d1a96d312
x-b3-sampled: 1
traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE
baggage: userId=alice""",
    "webhook": """POST /hooks/pay HTTP/1.1
Host: example.com
Content-Type: application/json; charset=utf-8
Content-Length: 1204
Accept: */*; q=0.5, application/xml
Signature-Of-A-Webhook-With-A-Long-Name-That-Nobody-Would-Type: t=1,v1=5257a869,v0=6ffbb5""",
    "two Connections": "GET / HTTP/1.1\nHost: a\nConnection: te\nTE: trailers\nConnection: close",
    "blanks and odd bytes": "GET / HTTP/1.1\nHost:a \nX-A: \t b\tc \t\nX-B:\nX-C: f\xfcr \xff",
    "many fields": "GET / HTTP/1.1\nHost: a\n" + "\n".join(f"X-{n}: {n}" for n in range(127)),
    "long name": f"GET / HTTP/1.1\nHost: a\n{'X-' * 64}: a",
    "long target and cookie": f"GET /{'a' * 4000}?{'b' * 3000} HTTP/1.1\nHost: a\nA: {'c' * 9000}",
    "every mark": "GET /!$&'()*+,-./:;<=>@[]^_`{|}~\\\" HTTP/1.1\nHost: a\n!#$%&'*+-.^`|~0: a",
}

REAL_HEADS = {
    who: text.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" for who, text in TEXTS.items()
}
