/* Lists of addresses through `take_node`: what it takes is the address that the C library reads, in
   the one form that RFC 5952 gives it. */

#include <arpa/inet.h>

#include "../../asgiserver/speedups/addresses.h"
#include "target.h"

long accepted;

/* The address as text with a NUL, which a span does not have. */
static void check_address(const Node *node) {
    char text[LONGEST_ADDRESS + 1] = {0}, again[INET6_ADDRSTRLEN];
    struct in6_addr address;
    check(node->size <= LONGEST_ADDRESS && node->port <= 65535, "out of bounds");
    memcpy(text, node->text, node->size);
    if (strchr(text, ':') == NULL) {
        struct in_addr ipv4;
        check(inet_pton(AF_INET, text, &ipv4) == 1, "no IPv4 address");
        check(strcmp(inet_ntop(AF_INET, &ipv4, again, sizeof again), text) == 0, "another form");
        return;
    }
    check(inet_pton(AF_INET6, text, &address) == 1, "no IPv6 address");
    inet_ntop(AF_INET6, &address, again, sizeof again);
    check(strchr(again, '.') != NULL || strcmp(again, text) == 0, "another form");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Span whole = {data, size};
    Reader reader = reader_of(whole);
    Node node;
    do {
        if (!take_node(&reader, &node)) {
            return 0;
        }
        check_address(&node);
    } while (take_byte(&reader, ','));
    accepted += reader_at_end(&reader);
    return 0;
}
