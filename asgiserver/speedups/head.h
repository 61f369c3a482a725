/* The head of a request (RFC 9112 sections 2 to 6), recognised without a Python object.

   `scan_head` says yes to what is usual and right, and no to all else: what is wrong, and what is
   right but rare. It names no fault: `asgiserver.h1.head` and `asgiserver.h1.framing` do. */

#ifndef ASGISERVER_HEAD_H
#define ASGISERVER_HEAD_H

#include "bounds.h"

enum { MOST_LINES = 128, LONGEST_NAME = 128 };

/* What a field is to the framing of its message. */
typedef enum {
    ANY_FIELD,
    HOST_FIELD,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    TRANSFER_ENCODING,
    CONNECTION,
    EXPECT,
    TE,
    UPGRADE,
    FORWARDING, /* X-Forwarded-*, Forwarded: their values are not looked at */
    OVERRIDING, /* of a response: Server and Date, which the server would add */
    /* What means something in HTTP/2 only. */
    COOKIE,
    PRIORITY,
    HOP_FIELD, /* of a connection of HTTP/1 */
    METHOD_PSEUDO,
    SCHEME_PSEUDO,
    AUTHORITY_PSEUDO,
    PATH_PSEUDO,
    OTHER_PSEUDO,
} Meaning;

typedef struct {
    const char *text; /* lower case */
    size_t size;
    Meaning meaning;
} Name;

enum { NAMES = 121, METHODS = 34 };
extern const Name common_names[NAMES];
extern const Name supported_methods[METHODS];

/* Where the common names are found: the index in `common_names` plus one, 0 where there is none. */
typedef struct {
    uint8_t slots[256];
} NameTable;

void fill_name_table(NameTable *table);

/* The index in `supported_methods`, or -1. */
int find_method(Span method);

/* A host, perhaps with a port: `asgiserver.http.target.check_host`. */
bool is_host(Span value);

/* The index in `common_names` of this name in whatever case, or -1. */
int find_name(const NameTable *table, Span name);

/* The index in `common_names` of exactly this name, or -1. */
int find_common_name(const NameTable *table, Span name);

/* Facts of the framing. None of them is what most requests are: HTTP/1.1, kept alive, no body, no
   upgrade. */
enum {
    FACT_CLOSE = 1,
    FACT_CHUNKED = 2,
    FACT_EXPECT = 4, /* 100-continue, and there is a body */
    FACT_TRAILERS = 8, /* TE says so */
    FACT_OLD = 16, /* HTTP/1.0 */
    /* The highest two, so that the others alone are a small number. */
    FACT_LENGTH = 32, /* of a body that is not empty */
    FACT_UPGRADE = 64,
};

typedef struct {
    Span name, value;
    int known; /* index in `common_names`, or -1 */
    Meaning meaning;
} Line;

typedef struct {
    int method; /* index in `supported_methods` */
    Span target, path, query;
    bool has_query, is_plain; /* plain: nothing in the path to decode */
    unsigned facts;
    uint64_t content_length;
    Span upgrade; /* the Upgrade field, when Connection names it */
    bool is_forwarded; /* there are forwarding fields */
    size_t count; /* of lines; those after it have no value */
    Line lines[MOST_LINES];
} Head;

/* Takes a path, perhaps with a query; false when it does not begin with a slash. */
bool take_target(Reader *reader, Head *head);

/* Whether `bytes` are one head that this file knows, its last empty line included and nothing after
   it. `head` means nothing when it is not. Names with an underscore are for Python to decide about
   unless `keep_underscores`. */
bool scan_head(
    const NameTable *table, Span bytes, size_t most_fields, bool keep_underscores, Head *head);

#endif
