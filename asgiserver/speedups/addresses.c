#include "addresses.h"

enum { GROUPS = 8 };

/* Four octets without zeros in front, which some read as octal. */
static bool take_ipv4(Reader *reader) {
    for (int i = 0; i < 4; i++) {
        if (i > 0 && !take_byte(reader, '.')) {
            return false;
        }
        uint64_t octet;
        Span digits = take_kinds(reader, DIGIT);
        if (!span_number(digits, 3, &octet) || octet > 255
            || digits.size != (octet > 99 ? 3u : octet > 9 ? 2u : 1u)) {
            return false;
        }
    }
    return true;
}

/* The groups before a gap, or after it: at most `room` of them, with colons in between. */
static size_t take_groups(Reader *reader, uint16_t *groups, size_t room) {
    size_t count = 0;
    while (count < room) {
        Reader before = *reader;
        if (count > 0 && !take_byte(reader, ':')) {
            break;
        }
        uint64_t group;
        if (!span_hex(take_kinds(reader, HEX), 4, &group)) {
            *reader = before; /* perhaps the second colon of a gap */
            break;
        }
        groups[count++] = (uint16_t)group;
    }
    return count;
}

/* An IPv6 address without a part that is written like IPv4 (RFC 4291 section 2.2). */
static bool take_ipv6(Reader *reader, uint16_t groups[GROUPS]) {
    uint16_t tail[GROUPS];
    memset(groups, 0, GROUPS * sizeof *groups);
    size_t count = take_groups(reader, groups, GROUPS);
    if (count == GROUPS) {
        return true;
    }
    if (!take_text(reader, "::", 2)) {
        return false;
    }
    size_t after = take_groups(reader, tail, GROUPS - 1 - count);
    for (size_t i = 0; i < after; i++) {
        groups[GROUPS - after + i] = tail[i];
    }
    return true;
}

static bool is_mapped_ipv4(const uint16_t groups[GROUPS]) {
    for (int i = 0; i < 5; i++) {
        if (groups[i] != 0) {
            return false;
        }
    }
    return groups[5] == 0xffff;
}

/* The first of the longest runs of zeros, when there are two or more in it: RFC 5952 section 4.2. */
static void find_gap(const uint16_t groups[GROUPS], int *begin, int *size) {
    *begin = -1;
    *size = 1;
    for (int i = 0; i < GROUPS; i++) {
        int run = 0;
        while (i + run < GROUPS && groups[i + run] == 0) {
            run++;
        }
        if (run > *size) {
            *begin = i;
            *size = run;
        }
        i += run;
    }
}

static bool put_group(Writer *writer, uint16_t group) {
    bool begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        unsigned digit = group >> shift & 15u;
        begun = begun || digit != 0 || shift == 0;
        if (begun && !put_byte(writer, (uint8_t)(digit < 10 ? '0' + digit : 'a' + digit - 10))) {
            return false;
        }
    }
    return true;
}

static bool put_ipv6(Writer *writer, const uint16_t groups[GROUPS]) {
    int begin, size;
    find_gap(groups, &begin, &size);
    for (int i = 0; i < GROUPS; i++) {
        if (i == begin) {
            if (!put_byte(writer, ':')) {
                return false;
            }
            i += size - 1;
            if (i == GROUPS - 1 && !put_byte(writer, ':')) {
                return false;
            }
        } else if ((i > 0 && !put_byte(writer, ':')) || !put_group(writer, groups[i])) {
            return false;
        }
    }
    return true;
}

bool take_node(Reader *reader, Node *node) {
    uint16_t groups[GROUPS];
    Writer writer = writer_of(node->text, sizeof node->text);
    take_kinds(reader, BLANK);
    Reader begin = *reader;
    node->port = 0;
    bool may_have_port = take_ipv4(reader);
    if (may_have_port) {
        if (!put_span(&writer, span_since(reader, &begin))) {
            return false;
        }
    } else {
        *reader = begin;
        may_have_port = take_byte(reader, '[');
        if (!take_ipv6(reader, groups) || is_mapped_ipv4(groups) || !put_ipv6(&writer, groups)) {
            return false;
        }
        if (may_have_port && !take_byte(reader, ']')) {
            return false;
        }
    }
    node->size = sizeof node->text - writer_left(&writer);
    if (may_have_port && take_byte(reader, ':')) {
        if (!span_number(take_kinds(reader, DIGIT), 5, &node->port) || node->port > 65535) {
            return false;
        }
    }
    take_kinds(reader, BLANK);
    return true;
}
