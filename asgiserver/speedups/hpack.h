/* Field blocks of HPACK (RFC 7541), read and written without a Python object: the static table, and
   the representations of section 6. What is in the dynamic tables is known by `table.c`. */

#ifndef ASGISERVER_HPACK_H
#define ASGISERVER_HPACK_H

#include "bounds.h"
#include "huffman.h"

enum { STATIC_FIELDS = 61, ENTRY_OVERHEAD = 32 };

typedef struct {
    const char *name, *value;
} StaticField;

extern const StaticField static_fields[STATIC_FIELDS];

/* Why a block is not decoded; `asgiserver/h2/hpack_policy.py` has the same numbers, and the texts. */
typedef enum {
    NO_FAULT,
    BLOCK_ENDS,
    INTEGER_TOO_LARGE,
    NO_SUCH_INDEX,
    BAD_HUFFMAN,
    LATE_RESIZE,
    TABLE_TOO_LARGE,
    EARLIER_FAULT,
    TOO_MANY_FIELDS, /* from here on the block was read to its end, and the table is right */
    FIELDS_TOO_LARGE,
} Fault;

/* A name or a value as it is sent. */
typedef struct {
    Span bytes;
    bool is_coded; /* by Huffman */
} String;

typedef enum { INDEXED, ADDED, NOT_ADDED, RESIZE } Kind;

/* One representation. */
typedef struct {
    Kind kind;
    uint64_t number; /* an index, of a field or of its name; the new size; 0: the name follows */
    String name, value;
} Representation;

/* Takes the next representation; neither indexes nor codes are looked at. */
Fault take_representation(Reader *block, Representation *taken);

/* First bytes of representations, and how many bits of the byte an integer has. */
enum {
    PUT_INDEXED = 0x80, BITS_INDEXED = 7,
    PUT_ADDED = 0x40, BITS_ADDED = 6,
    PUT_RESIZE = 0x20, BITS_RESIZE = 5,
    PUT_NEVER = 0x10, BITS_NEVER = 4,
    PUT_NOT_ADDED = 0x00, BITS_NOT_ADDED = 4,
    LONGEST_INTEGER = 11, /* bytes of 64 bits */
};

/* Each is false when there is no room. */
bool put_integer(Writer *block, unsigned pattern, unsigned prefix, uint64_t number);

/* With the Huffman code when that is shorter. */
bool put_string(Writer *block, const Huffman *huffman, Span text);

#endif
