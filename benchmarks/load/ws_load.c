/* A WebSocket load generator that saturates a server: one thread, epoll, every connection keeps
 * one masked binary message in flight and checks that exactly it comes back.
 *
 * usage: ws_load PORT CONNECTIONS PAYLOAD_BYTES MILLISECONDS [masked | http2]
 * "masked": the peer echoes the payload as it was sent, still masked (the limit program does).
 * "http2": each WebSocket is the one stream of a connection of HTTP/2 (RFC 8441).
 * Prints one line of JSON: messages, seconds, errors, p50_us, p99_us. Talks to 127.0.0.1 only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SLOWEST_US = 1000000, EVENTS = 256, HANDSHAKE_SECONDS = 5 };

/* HTTP/2 (RFC 9113): types of frames, a flag, and their sizes. */
enum { DATA, HEADERS, RST_STREAM = 3, SETTINGS, PING = 6, GOAWAY };
enum { ACK = 1, FRAME_HEAD = 9, LARGEST_FRAME = 16384, ENABLE_CONNECT_PROTOCOL = 8 };

struct connection {
    int fd;
    unsigned char *frame;      /* what is sent: header, mask, masked payload */
    unsigned char *expected;   /* what must come back: header, payload */
    unsigned char *in;
    size_t sent, received;
    int64_t started_ns;
    unsigned char *h2_in;      /* over HTTP/2: a frame of that, or its beginning */
    size_t h2_received;
};

static size_t frame_size, expected_size;
static int over_http2;
static uint32_t latency_us[SLOWEST_US + 1];
static long messages, errors;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "ws_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* RFC 6455 section 5.2; returns the size of the header. */
static size_t write_header(unsigned char *out, size_t payload, int mask_bit) {
    out[0] = 0x82;
    if (payload < 126) {
        out[1] = mask_bit | payload;
        return 2;
    }
    if (payload < 65536) {
        out[1] = mask_bit | 126;
        out[2] = payload >> 8;
        out[3] = payload;
        return 4;
    }
    out[1] = mask_bit | 127;
    for (int i = 0; i < 8; i++) out[2 + i] = (uint64_t)payload >> (56 - 8 * i);
    return 10;
}

static void put_frame_head(unsigned char *out, size_t size, int type, int flags, int stream) {
    const unsigned char head[FRAME_HEAD] = {size >> 16, size >> 8, size, type, flags, 0, 0, 0, stream};
    memcpy(out, head, FRAME_HEAD);
}

static size_t h2_payload(const unsigned char *frame) {
    return (size_t)frame[0] << 16 | frame[1] << 8 | frame[2];
}

/* Each connection has its own payload, so that an answer meant for another one is noticed. */
static void prepare(struct connection *c, unsigned seed, size_t payload, int still_masked) {
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    c->frame = malloc(payload + 14 + FRAME_HEAD);
    c->expected = malloc(payload + 10);
    c->in = malloc(payload + 10);
    c->h2_in = malloc(FRAME_HEAD + LARGEST_FRAME);
    if (!c->frame || !c->expected || !c->in || !c->h2_in) fail("malloc");
    size_t before = over_http2 ? FRAME_HEAD : 0;
    size_t head = before + write_header(c->frame + before, payload, 0x80);
    if (over_http2) put_frame_head(c->frame, head - before + 4 + payload, DATA, 0, 1);
    size_t expected_head = write_header(c->expected, payload, 0);
    memcpy(c->frame + head, mask, 4);
    for (size_t i = 0; i < payload; i++) {
        unsigned char plain = seed * 31 + i * 7 + (i >> 8);
        unsigned char masked = plain ^ mask[i & 3];
        c->frame[head + 4 + i] = masked;
        c->expected[expected_head + i] = still_masked ? masked : plain;
    }
    frame_size = head + 4 + payload;
    expected_size = expected_head + payload;
}

/* A field that is in no table of HPACK and goes into none (RFC 7541 section 6.2.2). */
static size_t put_field(unsigned char *out, const char *name, const char *value) {
    size_t name_size = strlen(name), value_size = strlen(value); /* less than 127 */
    out[0] = 0;
    out[1] = name_size;
    memcpy(out + 2, name, name_size);
    out[2 + name_size] = value_size;
    memcpy(out + 3 + name_size, value, value_size);
    return 3 + name_size + value_size;
}

static void send_all(int fd, const void *data, size_t size) {
    if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size) fail("send");
}

static void read_all(int fd, unsigned char *to, size_t size) {
    if (size && recv(fd, to, size, MSG_WAITALL) != (ssize_t)size) fail("handshake");
}

/* Answers a frame that wants an answer; 0 for one that ends the WebSocket. */
static int answer_frame(int fd, unsigned char *frame, size_t size) {
    int type = frame[3];
    if ((type == SETTINGS || type == PING) && !(frame[4] & ACK)) {
        size = type == PING ? size : 0;
        put_frame_head(frame, size, type, ACK, 0);
        send_all(fd, frame, FRAME_HEAD + size);
    }
    return type != RST_STREAM && type != GOAWAY;
}

/* Blocking: the preface with large windows, then an extended CONNECT once the server allows it. */
static void open_stream(struct connection *c, const char *authority) {
    static const unsigned char begin[] =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        "\0\0\6\4\0\0\0\0\0" "\0\4\x7f\xff\xff\xff"   /* SETTINGS_INITIAL_WINDOW_SIZE */
        "\0\0\4\x8\0\0\0\0\0" "\x7f\xff\0\0";          /* WINDOW_UPDATE of the connection */
    unsigned char request[512], *frame = c->h2_in;
    size_t end = FRAME_HEAD;
    int allowed = 0, asked = 0;
    send_all(c->fd, begin, sizeof begin - 1);
    for (;;) {
        read_all(c->fd, frame, FRAME_HEAD);
        size_t size = h2_payload(frame);
        if (size > LARGEST_FRAME) fail("frame too large");
        read_all(c->fd, frame + FRAME_HEAD, size);
        for (size_t i = FRAME_HEAD; frame[3] == SETTINGS && i + 6 <= FRAME_HEAD + size; i += 6)
            allowed |= frame[i + 1] == ENABLE_CONNECT_PROTOCOL && frame[i + 5] == 1;
        if (frame[3] == HEADERS) {
            /* Status 200 is field 8 of the static table; some servers write it out. */
            if (frame[FRAME_HEAD] == 0x88 || memmem(frame + FRAME_HEAD, size, "200", 3)
                || memmem(frame + FRAME_HEAD, size, "\x10\x01", 2)) /* by Huffman */
                return;
            fail("the answer is not 200");
        }
        int was_settings = frame[3] == SETTINGS && !(frame[4] & ACK);
        if (!answer_frame(c->fd, frame, size)) fail("the stream was refused");
        if (was_settings && !allowed) {
            errno = EPROTONOSUPPORT;
            fail("no WebSockets over HTTP/2");
        }
        if (!allowed || asked) continue;
        asked = 1;
        end += put_field(request + end, ":method", "CONNECT");
        end += put_field(request + end, ":protocol", "websocket");
        end += put_field(request + end, ":scheme", "http");
        end += put_field(request + end, ":path", "/");
        end += put_field(request + end, ":authority", authority);
        end += put_field(request + end, "sec-websocket-version", "13");
        put_frame_head(request, end - FRAME_HEAD, HEADERS, 4 /* END_HEADERS */, 1);
        send_all(c->fd, request, end);
    }
}

/* Blocking: connect, upgrade, read up to the blank line. The server speaks next only when asked. */
static void open_connection(struct connection *c, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = HANDSHAKE_SECONDS};
    char request[256], answer[2048];
    size_t got = 0;
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    if (over_http2) {
        snprintf(request, sizeof request, "127.0.0.1:%d", port);
        open_stream(c, request);
        return;
    }
    int size = snprintf(request, sizeof request,
                        "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", port);
    if (send(c->fd, request, size, MSG_NOSIGNAL) != size) fail("handshake");
    do {
        if (got == sizeof answer - 1) fail("answer to the handshake too long");
        ssize_t n = recv(c->fd, answer + got, 1, 0);
        if (n <= 0) fail("handshake");
        got += n;
        answer[got] = 0;
    } while (!strstr(answer, "\r\n\r\n"));
    if (strncmp(answer, "HTTP/1.1 101", 12)) fail("the answer is not 101");
    if (!strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) fail("wrong Sec-WebSocket-Accept");
}

/* Sends what is left of the frame; 0 when the connection is broken. */
static int push(struct connection *c) {
    while (c->sent < frame_size) {
        ssize_t n = send(c->fd, c->frame + c->sent, frame_size - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN;
        c->sent += n;
    }
    return 1;
}

static int answered(struct connection *c) {
    if (memcmp(c->in, c->expected, expected_size)) return 0;
    int64_t end = now_ns(), us = (end - c->started_ns) / 1000;
    latency_us[us < SLOWEST_US ? us : SLOWEST_US]++;
    messages++;
    c->sent = c->received = 0;
    c->started_ns = end;
    return push(c);
}

/* Takes the payloads of DATA frames for the bytes of the WebSocket. */
static int pull_frames(struct connection *c) {
    size_t room = FRAME_HEAD + LARGEST_FRAME;
    for (;;) {
        ssize_t n = recv(c->fd, c->h2_in + c->h2_received, room - c->h2_received, MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return 0;
        c->h2_received += n;
        unsigned char *frame = c->h2_in;
        size_t left = c->h2_received;
        while (left >= FRAME_HEAD && left >= FRAME_HEAD + h2_payload(frame)) {
            size_t size = h2_payload(frame);
            if (frame[3] == DATA) {
                if (c->received + size > expected_size) return 0;
                memcpy(c->in + c->received, frame + FRAME_HEAD, size);
                c->received += size;
                if (c->received == expected_size && !answered(c)) return 0;
            } else if (!answer_frame(c->fd, frame, size)) {
                return 0;
            }
            frame += FRAME_HEAD + size;
            left -= FRAME_HEAD + size;
        }
        memmove(c->h2_in, frame, left);
        c->h2_received = left;
        if (left >= FRAME_HEAD && h2_payload(c->h2_in) > LARGEST_FRAME) return 0;
    }
}

static int pull(struct connection *c) {
    if (over_http2) return pull_frames(c);
    while (c->received < expected_size) {
        ssize_t n = recv(c->fd, c->in + c->received, expected_size - c->received, MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return 0;
        c->received += n;
    }
    return answered(c);
}

static int percentile(double share) {
    long seen = 0, wanted = messages * share;
    for (int us = 0; us < SLOWEST_US; us++)
        if ((seen += latency_us[us]) > wanted) return us;
    return SLOWEST_US;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr,
                "usage: ws_load PORT CONNECTIONS PAYLOAD_BYTES MILLISECONDS [masked | http2]\n");
        return 2;
    }
    int port = atoi(argv[1]), count = atoi(argv[2]);
    size_t payload = atol(argv[3]);
    over_http2 = argc > 5 && !strcmp(argv[5], "http2");
    if (over_http2 && payload + 14 > LARGEST_FRAME) {
        fprintf(stderr, "ws_load: over HTTP/2 a message has to fit into one frame\n");
        return 2;
    }
    int64_t duration = atol(argv[4]) * 1000000LL;
    struct epoll_event events[EVENTS];
    struct connection *connections = calloc(count, sizeof *connections);
    int poller = epoll_create1(0), alive = count;
    for (int i = 0; i < count; i++) {
        struct connection *c = &connections[i];
        prepare(c, i, payload, argc > 5 && !over_http2);
        open_connection(c, port);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e)) fail("epoll_ctl");
    }
    int64_t start = now_ns(), end = start + duration, now = start;
    for (int i = 0; i < count; i++) {
        connections[i].started_ns = start;
        if (!push(&connections[i])) fail("send");
    }
    for (; now < end && alive; now = now_ns()) {
        int ready = epoll_wait(poller, events, EVENTS, (end - now) / 1000000 + 1);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (push(c) && pull(c)) continue;
            errors++;
            alive--;
            close(c->fd);
        }
    }
    printf("{\"messages\": %ld, \"seconds\": %.6f, \"errors\": %ld, \"p50_us\": %d, \"p99_us\": %d}\n",
           messages, (now - start) / 1e9, errors, percentile(0.5), percentile(0.99));
    return 0;
}
