#include "hpack.h"

/* RFC 7541 appendix A. */
const StaticField static_fields[STATIC_FIELDS] = {
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""},
};

/* An integer (section 5.1) whose first byte has been taken: five more bytes at most. */
static Fault finish_integer(Reader *block, uint8_t first, unsigned prefix, uint64_t *number) {
    uint8_t most = (uint8_t)((1u << prefix) - 1);
    *number = first & most;
    if (*number < most) {
        return NO_FAULT;
    }
    for (unsigned shift = 0; shift < 35; shift += 7) {
        uint8_t byte;
        if (!take_any(block, &byte)) {
            return BLOCK_ENDS;
        }
        *number += (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return NO_FAULT;
        }
    }
    return INTEGER_TOO_LARGE;
}

/* A string (section 5.2). */
static Fault take_string(Reader *block, String *string) {
    uint8_t first;
    uint64_t size;
    if (!take_any(block, &first)) {
        return BLOCK_ENDS;
    }
    string->is_coded = first >= 0x80;
    Fault fault = finish_integer(block, first, 7, &size);
    if (fault != NO_FAULT) {
        return fault;
    }
    return take_size(block, size, &string->bytes) ? NO_FAULT : BLOCK_ENDS;
}

Fault take_representation(Reader *block, Representation *taken) {
    uint8_t first;
    unsigned prefix;
    if (!take_any(block, &first)) {
        return BLOCK_ENDS;
    }
    if (first & PUT_INDEXED) {
        taken->kind = INDEXED;
        prefix = BITS_INDEXED;
    } else if (first & PUT_ADDED) {
        taken->kind = ADDED;
        prefix = BITS_ADDED;
    } else if (first & PUT_RESIZE) {
        taken->kind = RESIZE;
        prefix = BITS_RESIZE;
    } else { /* a proxy would have to heed whether it may never be indexed; we are none */
        taken->kind = NOT_ADDED;
        prefix = BITS_NOT_ADDED;
    }
    Fault fault = finish_integer(block, first, prefix, &taken->number);
    if (fault != NO_FAULT || taken->kind == INDEXED || taken->kind == RESIZE) {
        return fault;
    }
    if (taken->number == 0) {
        fault = take_string(block, &taken->name);
    }
    return fault != NO_FAULT ? fault : take_string(block, &taken->value);
}

bool put_integer(Writer *block, unsigned pattern, unsigned prefix, uint64_t number) {
    unsigned most = (1u << prefix) - 1;
    if (number < most) {
        return put_byte(block, (uint8_t)(pattern | number));
    }
    bool fits = put_byte(block, (uint8_t)(pattern | most));
    for (number -= most; number >= 0x80; number >>= 7) {
        fits = fits && put_byte(block, (uint8_t)(0x80 | (number & 0x7f)));
    }
    return fits && put_byte(block, (uint8_t)number);
}

bool put_string(Writer *block, const Huffman *huffman, Span text) {
    size_t size = huffman_size(text);
    if (size < text.size) {
        return put_integer(block, 0x80, 7, size) && huffman_encode(huffman, text, block);
    }
    return put_integer(block, 0, 7, text.size) && put_span(block, text);
}
