/* A WebSocket load generator that saturates a server: one thread, epoll, every connection keeps
 * one masked binary message in flight and checks that exactly it comes back.
 *
 * usage: ws_load PORT CONNECTIONS PAYLOAD_BYTES MILLISECONDS [masked]
 * "masked": the peer echoes the payload as it was sent, still masked (the limit program does).
 * Prints one line of JSON: messages, seconds, errors, p50_us, p99_us. Talks to 127.0.0.1 only. */
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

struct connection {
    int fd;
    unsigned char *frame;      /* what is sent: header, mask, masked payload */
    unsigned char *expected;   /* what must come back: header, payload */
    unsigned char *in;
    size_t sent, received;
    int64_t started_ns;
};

static size_t frame_size, expected_size;
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

/* Each connection has its own payload, so that an answer meant for another one is noticed. */
static void prepare(struct connection *c, unsigned seed, size_t payload, int still_masked) {
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    c->frame = malloc(payload + 14);
    c->expected = malloc(payload + 10);
    c->in = malloc(payload + 10);
    if (!c->frame || !c->expected || !c->in) fail("malloc");
    size_t head = write_header(c->frame, payload, 0x80);
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

static int pull(struct connection *c) {
    while (c->received < expected_size) {
        ssize_t n = recv(c->fd, c->in + c->received, expected_size - c->received, MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return 0;
        c->received += n;
    }
    if (memcmp(c->in, c->expected, expected_size)) return 0;
    int64_t end = now_ns(), us = (end - c->started_ns) / 1000;
    latency_us[us < SLOWEST_US ? us : SLOWEST_US]++;
    messages++;
    c->sent = c->received = 0;
    c->started_ns = end;
    return push(c);
}

static int percentile(double share) {
    long seen = 0, wanted = messages * share;
    for (int us = 0; us < SLOWEST_US; us++)
        if ((seen += latency_us[us]) > wanted) return us;
    return SLOWEST_US;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: ws_load PORT CONNECTIONS PAYLOAD_BYTES MILLISECONDS [masked]\n");
        return 2;
    }
    int port = atoi(argv[1]), count = atoi(argv[2]);
    size_t payload = atol(argv[3]);
    int64_t duration = atol(argv[4]) * 1000000LL;
    struct epoll_event events[EVENTS];
    struct connection *connections = calloc(count, sizeof *connections);
    int poller = epoll_create1(0), alive = count;
    for (int i = 0; i < count; i++) {
        struct connection *c = &connections[i];
        prepare(c, i, payload, argc > 5);
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
