/* Bytes that may be read or written, and nothing beside them.

   All reading and writing of bytes in this folder is done by the functions of this file: each looks
   whether there is a byte before it looks at it, or room before it writes, and none relies on what
   stands after the last one. No other file adds to a pointer to bytes, or indexes one. */

#ifndef ASGISERVER_BOUNDS_H
#define ASGISERVER_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A part of the bytes. */
typedef struct {
    const uint8_t *begin;
    size_t size;
} Span;

/* A position in the bytes: begin <= at <= end. */
typedef struct {
    const uint8_t *begin, *at, *end;
} Reader;

/* Bits of a span, from the highest bit of its first byte on. After the last bit come ones without
   end, as in a string of HPACK. */
typedef struct {
    const uint8_t *at, *end;
    uint64_t bits; /* the next ones, highest first; zeros after the `count` that were read */
    unsigned count;
} BitReader;

/* Room for bytes: at <= end. */
typedef struct {
    uint8_t *at, *end;
} Writer;

/* What a byte may be, one bit each. */
enum {
    TOKEN = 1,    /* of a method or a field name: tchar, RFC 9110 section 5.6.2 */
    TARGET = 2,   /* of a request target: visible ASCII without # and ? */
    HOST = 4,     /* of a host that needs no second look: no %, no brackets */
    VALUE = 8,    /* of a field value: tab, space, visible ASCII, 0x80 to 0xff */
    DIGIT = 16,
    HEX = 32,
    BLANK = 64,   /* tab and space */
    QUESTION = 128,
};

extern const uint8_t byte_kinds[256];

static inline uint8_t lower_of(uint8_t byte) {
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

/* Spans. */

static inline bool span_is(Span span, const char *text, size_t size) {
    return span.size == size && memcmp(span.begin, text, size) == 0;
}

static inline bool span_ends_with(Span span, const char *text, size_t size) {
    return span.size >= size && memcmp(span.begin + (span.size - size), text, size) == 0;
}

/* Whether it is `text`, which is lower case, in whatever case. */
static inline bool span_is_lower(Span span, const char *text, size_t size) {
    if (span.size != size) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (lower_of(span.begin[i]) != (uint8_t)text[i]) {
            return false;
        }
    }
    return true;
}

/* Whether all of its bytes are of these kinds. */
static inline bool span_is_of(Span span, unsigned kinds) {
    for (size_t i = 0; i < span.size; i++) {
        if (!(byte_kinds[span.begin[i]] & kinds)) {
            return false;
        }
    }
    return true;
}

/* Whether all of it is printable ASCII without the double quote and the backslash. */
static inline bool span_is_harmless(Span span) {
    for (size_t i = 0; i < span.size; i++) {
        uint8_t byte = span.begin[i];
        if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\') {
            return false;
        }
    }
    return true;
}

static inline bool span_has_upper(Span span) {
    for (size_t i = 0; i < span.size; i++) {
        if (lower_of(span.begin[i]) != span.begin[i]) {
            return true;
        }
    }
    return false;
}

static inline bool span_has(Span span, uint8_t byte) {
    return span.size > 0 && memchr(span.begin, byte, span.size) != NULL;
}

/* A number for a table of names: of the size, of the first, the last and the middle byte. */
static inline unsigned span_hash_lower(Span span) {
    if (span.size == 0) {
        return 0;
    }
    unsigned first = lower_of(span.begin[0]);
    unsigned middle = lower_of(span.begin[span.size / 2]);
    unsigned last = lower_of(span.begin[span.size - 1]);
    return (unsigned)span.size * 5 + first * 3 + middle * 11 + last * 23;
}

/* Writes the span in lower case; false when `room` is too small for it. */
static inline bool span_copy_lower(Span span, char *to, size_t room) {
    if (span.size > room) {
        return false;
    }
    for (size_t i = 0; i < span.size; i++) {
        to[i] = (char)lower_of(span.begin[i]);
    }
    return true;
}

/* Without tabs and spaces at its end. */
static inline Span span_trim_end(Span span) {
    while (span.size > 0 && byte_kinds[span.begin[span.size - 1]] & BLANK) {
        span.size--;
    }
    return span;
}

/* The number of decimal digits in it; false when it is none, or one of more than `most` digits
   (18 at most, so that it fits). */
static inline bool span_number(Span span, size_t most, uint64_t *number) {
    if (span.size == 0 || span.size > most || most > 18) {
        return false;
    }
    *number = 0;
    for (size_t i = 0; i < span.size; i++) {
        if (!(byte_kinds[span.begin[i]] & DIGIT)) {
            return false;
        }
        *number = *number * 10 + (uint64_t)(span.begin[i] - '0');
    }
    return true;
}

/* The number of hexadecimal digits in it; false when it is none, or one of more than `most` digits
   (15 at most, so that it fits). */
static inline bool span_hex(Span span, size_t most, uint64_t *number) {
    if (span.size == 0 || span.size > most || most > 15) {
        return false;
    }
    *number = 0;
    for (size_t i = 0; i < span.size; i++) {
        uint8_t digit = lower_of(span.begin[i]);
        if (!(byte_kinds[digit] & HEX)) {
            return false;
        }
        *number = *number * 16 + (uint64_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return true;
}

/* Readers. */

static inline Reader reader_of(Span span) {
    Reader reader = {span.begin, span.begin, span.begin + span.size};
    return reader;
}

static inline size_t reader_left(const Reader *reader) {
    return (size_t)(reader->end - reader->at);
}

static inline bool reader_at_end(const Reader *reader) {
    return reader->at == reader->end;
}

/* Takes `byte` when it is the next one. */
static inline bool take_byte(Reader *reader, uint8_t byte) {
    if (reader->at == reader->end || *reader->at != byte) {
        return false;
    }
    reader->at++;
    return true;
}

/* Takes `text` when it comes next. */
static inline bool take_text(Reader *reader, const char *text, size_t size) {
    if (reader_left(reader) < size || memcmp(reader->at, text, size) != 0) {
        return false;
    }
    reader->at += size;
    return true;
}

/* What lies between an earlier position of the same reader and its position now. */
static inline Span span_since(const Reader *reader, const Reader *earlier) {
    Span span = {earlier->at, (size_t)(reader->at - earlier->at)};
    return span;
}

/* Takes all before `at`, which is not after the end. */
static inline Span take_up_to(Reader *reader, const uint8_t *at) {
    Span span = {reader->at, (size_t)(at - reader->at)};
    reader->at = at;
    return span;
}

/* Takes all bytes of these kinds, up to the first that is none. */
static inline Span take_kinds(Reader *reader, unsigned kinds) {
    const uint8_t *at = reader->at, *end = reader->end;
    while (at != end && byte_kinds[*at] & kinds) {
        at++;
    }
    return take_up_to(reader, at);
}

/* Takes all before `byte`, or all there is. */
static inline Span take_until(Reader *reader, uint8_t byte) {
    size_t left = reader_left(reader);
    const uint8_t *found = left > 0 ? memchr(reader->at, byte, left) : NULL;
    return take_up_to(reader, found != NULL ? found : reader->end);
}

/* Takes all bytes of a field value, eight at a time where none of them is a control. */
static inline Span take_value(Reader *reader) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint8_t *at = reader->at, *end = reader->end;
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        uint64_t flipped = word ^ (ones * 0x7f);
        uint64_t controls = (word - ones * 0x20) & ~word; /* high bits: a byte is below 0x20 */
        uint64_t deletes = (flipped - ones) & ~flipped;   /* and: one is 0x7f */
        if ((controls | deletes) & (ones * 0x80)) {
            break;
        }
        at += 8;
    }
    while (at != end && byte_kinds[*at] & VALUE) {
        at++;
    }
    return take_up_to(reader, at);
}

/* Takes the next byte, whatever it is. */
static inline bool take_any(Reader *reader, uint8_t *byte) {
    if (reader->at == reader->end) {
        return false;
    }
    *byte = *reader->at++;
    return true;
}

/* Takes `size` bytes; false when fewer are left. */
static inline bool take_size(Reader *reader, uint64_t size, Span *taken) {
    if (reader_left(reader) < size) {
        return false;
    }
    *taken = take_up_to(reader, reader->at + size);
    return true;
}

/* Bits. */

static inline BitReader bits_of(Span span) {
    BitReader reader = {span.begin, span.begin + span.size, 0, 0};
    return reader;
}

/* The next 32 bits, which stay; `count` tells how many of them (or more) are of the span. */
static inline uint32_t peek_bits(BitReader *reader) {
    if (reader->count < 32) {
        while (reader->count <= 56 && reader->at != reader->end) {
            reader->bits |= (uint64_t)*reader->at++ << (56 - reader->count);
            reader->count += 8;
        }
        if (reader->count < 32) {
            return (uint32_t)((reader->bits | UINT64_MAX >> reader->count) >> 32);
        }
    }
    return (uint32_t)(reader->bits >> 32);
}

/* Takes bits that were looked at: at most 32, and at most `count`. */
static inline void skip_bits(BitReader *reader, unsigned size) {
    reader->bits <<= size;
    reader->count -= size;
}

/* Writers. */

static inline Writer writer_of(void *begin, size_t size) {
    Writer writer = {begin, (uint8_t *)begin + size};
    return writer;
}

static inline size_t writer_left(const Writer *writer) {
    return (size_t)(writer->end - writer->at);
}

/* Each writes all of it, or nothing when there is no room. */

static inline bool put_byte(Writer *writer, uint8_t byte) {
    if (writer->at == writer->end) {
        return false;
    }
    *writer->at++ = byte;
    return true;
}

static inline bool put_span(Writer *writer, Span span) {
    if (writer_left(writer) < span.size) {
        return false;
    }
    if (span.size > 0) {
        memcpy(writer->at, span.begin, span.size);
        writer->at += span.size;
    }
    return true;
}

#endif
