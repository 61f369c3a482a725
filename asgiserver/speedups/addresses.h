/* IP addresses as proxies write them (RFC 7239 section 6), recognised without a Python object.

   As in `head.h`, what is wrong or rare is left to Python, which has the last word. */

#ifndef ASGISERVER_ADDRESSES_H
#define ASGISERVER_ADDRESSES_H

#include "bounds.h"

enum { LONGEST_ADDRESS = 39, MOST_NODES = 64 };

typedef struct {
    uint8_t text[LONGEST_ADDRESS]; /* canonical: RFC 5952 */
    size_t size;
    uint64_t port; /* 0: unknown */
} Node;

/* Takes one address, with or without its port, and the white space around it. */
bool take_node(Reader *reader, Node *node);

#endif
