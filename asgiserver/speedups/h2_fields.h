/* The fields of a request of HTTP/2 (RFC 9113 sections 8.2 and 8.3), recognised one by one.

   As in `head.h`: yes to what is usual and right, no to all else, and `asgiserver.h2.request_head`
   names the fault. */

#ifndef ASGISERVER_H2_FIELDS_H
#define ASGISERVER_H2_FIELDS_H

#include "head.h"

/* What is known of a request after some of its fields. */
typedef struct {
    Head head;         /* without its lines */
    unsigned seen;     /* one bit for each Meaning */
    bool has_regular;  /* a field that is no pseudo-field */
    bool has_length;
} RequestFields;

void begin_request(RequestFields *request);

/* Takes in the next field, and tells in `line` what it is; false: it is wrong, or rare. */
bool take_field(
    const NameTable *table, Span name, Span value, bool keep_underscores, RequestFields *request,
    Line *line);

/* Whether the pseudo-fields were all there, and the length fits to whether there is a body. */
bool end_request(const RequestFields *request, bool has_body);

#endif
