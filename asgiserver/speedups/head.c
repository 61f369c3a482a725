#include "head.h"

/* The kinds of each byte; `tests/unit/h1/test_core_reader.py` tries every byte in every place. */
const uint8_t byte_kinds[256] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x48, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x48, 0x0f, 0x0a, 0x09, 0x0f, 0x0b, 0x0f, 0x0f, 0x0e, 0x0e, 0x0f, 0x0f, 0x0a, 0x0f, 0x0f, 0x0a,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x0a, 0x0e, 0x0a, 0x0e, 0x0a, 0x88,
    0x0a, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f,
    0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0a, 0x0a, 0x0a, 0x0b, 0x0f,
    0x0b, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x2f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f,
    0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0f, 0x0a, 0x0b, 0x0a, 0x0f, 0x00,
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08,
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08,
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08,
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08,
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08,
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08,
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08,
    0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08,
};

#define METHOD(text) {text, sizeof text - 1, ANY_FIELD}
#define NAME(text) {text, sizeof text - 1, ANY_FIELD}
#define MEANS(text, meaning) {text, sizeof text - 1, meaning}

/* Those of `asgiserver.http.semantics.METHODS`; the first are looked at first. */
const Name supported_methods[METHODS] = {
    METHOD("GET"), METHOD("POST"), METHOD("HEAD"), METHOD("PUT"), METHOD("DELETE"),
    METHOD("OPTIONS"), METHOD("PATCH"), METHOD("TRACE"), METHOD("QUERY"), METHOD("ACL"),
    METHOD("BIND"), METHOD("CHECKOUT"), METHOD("COPY"), METHOD("LINK"), METHOD("LOCK"),
    METHOD("M-SEARCH"), METHOD("MERGE"), METHOD("MKACTIVITY"), METHOD("MKCALENDAR"),
    METHOD("MKCOL"), METHOD("MOVE"), METHOD("NOTIFY"), METHOD("PROPFIND"), METHOD("PROPPATCH"),
    METHOD("PURGE"), METHOD("REBIND"), METHOD("REPORT"), METHOD("SEARCH"), METHOD("SOURCE"),
    METHOD("SUBSCRIBE"), METHOD("UNBIND"), METHOD("UNLINK"), METHOD("UNLOCK"),
    METHOD("UNSUBSCRIBE"),
};

/* Names that have a meaning here, and those that clients and proxies send most: one object each. */
const Name common_names[NAMES] = {
    MEANS("host", HOST_FIELD),
    MEANS("content-length", CONTENT_LENGTH),
    MEANS("content-type", CONTENT_TYPE),
    MEANS("transfer-encoding", TRANSFER_ENCODING),
    MEANS("connection", CONNECTION),
    MEANS("expect", EXPECT),
    MEANS("te", TE),
    MEANS("upgrade", UPGRADE),
    MEANS("forwarded", FORWARDING),
    MEANS("x-forwarded-for", FORWARDING),
    MEANS("x-forwarded-proto", FORWARDING),
    MEANS("x-forwarded-host", FORWARDING),
    MEANS("x-forwarded-port", FORWARDING),
    MEANS("x-forwarded-prefix", FORWARDING),
    NAME("user-agent"), NAME("accept"), NAME("accept-language"), NAME("accept-encoding"),
    MEANS("date", OVERRIDING),
    MEANS("server", OVERRIDING),
    MEANS("cookie", COOKIE),
    MEANS("priority", PRIORITY),
    MEANS("proxy-connection", HOP_FIELD),
    MEANS("keep-alive", HOP_FIELD),
    NAME("accept-charset"), NAME("referer"), NAME("origin"), NAME("authorization"),
    NAME("proxy-authorization"),
    NAME("cache-control"), NAME("pragma"), NAME("dnt"), NAME("range"), NAME("if-range"),
    NAME("if-match"), NAME("if-none-match"), NAME("if-modified-since"), NAME("if-unmodified-since"),
    NAME("from"), NAME("via"), NAME("max-forwards"), NAME("prefer"),
    NAME("content-encoding"), NAME("content-language"), NAME("content-disposition"),
    NAME("content-md5"), NAME("trailer"), NAME("upgrade-insecure-requests"), NAME("save-data"),
    NAME("sec-gpc"), NAME("sec-purpose"), NAME("sec-fetch-dest"), NAME("sec-fetch-mode"),
    NAME("sec-fetch-site"), NAME("sec-fetch-user"), NAME("sec-ch-ua"), NAME("sec-ch-ua-mobile"),
    NAME("sec-ch-ua-platform"), NAME("access-control-request-method"),
    NAME("access-control-request-headers"), NAME("sec-websocket-key"),
    NAME("sec-websocket-version"), NAME("sec-websocket-extensions"), NAME("sec-websocket-protocol"),
    NAME("last-event-id"), NAME("x-requested-with"), NAME("x-csrf-token"), NAME("x-csrftoken"),
    NAME("x-xsrf-token"), NAME("x-api-key"), NAME("x-real-ip"), NAME("x-request-id"),
    NAME("x-request-start"), NAME("x-correlation-id"), NAME("x-forwarded-server"),
    NAME("x-forwarded-scheme"), NAME("x-scheme"), NAME("x-original-uri"), NAME("x-amzn-trace-id"),
    NAME("x-cloud-trace-context"), NAME("x-envoy-external-address"), NAME("x-envoy-attempt-count"),
    NAME("x-b3-traceid"), NAME("x-b3-spanid"), NAME("x-b3-sampled"), NAME("traceparent"),
    NAME("tracestate"), NAME("baggage"), NAME("cf-ray"), NAME("cf-connecting-ip"),
    NAME("cf-ipcountry"), NAME("cf-visitor"), NAME("cdn-loop"), NAME("true-client-ip"),
    NAME("x-client-ip"), NAME("idempotency-key"), NAME("http2-settings"),
    /* All other names of HPACK's static table: of HTTP/2, and of responses. */
    MEANS(":method", METHOD_PSEUDO),
    MEANS(":scheme", SCHEME_PSEUDO),
    MEANS(":authority", AUTHORITY_PSEUDO),
    MEANS(":path", PATH_PSEUDO),
    MEANS(":protocol", OTHER_PSEUDO),
    MEANS(":status", OTHER_PSEUDO),
    NAME("accept-ranges"), NAME("access-control-allow-origin"), NAME("age"), NAME("allow"),
    NAME("content-location"), NAME("content-range"), NAME("etag"), NAME("expires"),
    NAME("last-modified"), NAME("link"), NAME("location"), NAME("proxy-authenticate"),
    NAME("refresh"), NAME("retry-after"), NAME("set-cookie"),
    NAME("strict-transport-security"), NAME("vary"), NAME("www-authenticate"),
};

void fill_name_table(NameTable *table) {
    memset(table->slots, 0, sizeof table->slots);
    for (unsigned i = 0; i < NAMES; i++) {
        const Name *name = &common_names[i];
        Span span = {(const uint8_t *)name->text, name->size};
        uint8_t slot = (uint8_t)span_hash_lower(span);
        while (table->slots[slot] != 0) { /* fewer names than slots, so there is a free one */
            slot++;
        }
        table->slots[slot] = (uint8_t)(i + 1);
    }
}

int find_name(const NameTable *table, Span span) {
    uint8_t slot = (uint8_t)span_hash_lower(span);
    for (; table->slots[slot] != 0; slot++) {
        int index = table->slots[slot] - 1;
        if (span_is_lower(span, common_names[index].text, common_names[index].size)) {
            return index;
        }
    }
    return -1;
}

int find_common_name(const NameTable *table, Span name) {
    int index = find_name(table, name);
    bool is_it = index >= 0 && span_is(name, common_names[index].text, common_names[index].size);
    return is_it ? index : -1;
}

int find_method(Span span) {
    for (int i = 0; i < METHODS; i++) {
        if (span_is(span, supported_methods[i].text, supported_methods[i].size)) {
            return i;
        }
    }
    return -1;
}

/* An IPv6 address (RFC 4291 section 2.2) in its two usual forms: eight groups, or fewer with one
   gap. One that ends like IPv4 is left to Python. */
static bool is_ipv6(Span span) {
    Reader reader = reader_of(span);
    int groups = 0;
    bool gap = take_text(&reader, "::", 2);
    while (!reader_at_end(&reader)) {
        Span group = take_kinds(&reader, HEX);
        if (group.size == 0 || group.size > 4) {
            return false;
        }
        groups++;
        if (reader_at_end(&reader)) {
            break;
        }
        if (take_text(&reader, "::", 2)) {
            if (gap) {
                return false;
            }
            gap = true;
        } else if (!take_byte(&reader, ':') || reader_at_end(&reader)) {
            return false;
        }
    }
    return gap ? groups <= 7 : groups == 8;
}

bool is_host(Span value) {
    Reader reader = reader_of(value);
    if (take_byte(&reader, '[')) {
        if (!is_ipv6(take_until(&reader, ']')) || !take_byte(&reader, ']')) {
            return false;
        }
    } else {
        Span host = take_kinds(&reader, HOST);
        if (host.size == 0 || host.size > 255) {
            return false;
        }
    }
    if (take_byte(&reader, ':')) {
        uint64_t port;
        Span digits = take_kinds(&reader, DIGIT);
        if (digits.size > 0 && (!span_number(digits, 5, &port) || port > 65535)) {
            return false;
        }
    }
    return reader_at_end(&reader);
}

/* Members that a list may have, one bit each: RFC 9110 section 5.6.1. */
enum { HAS_CLOSE = 1, HAS_KEEP_ALIVE = 2, HAS_UPGRADE = 4, HAS_TRAILERS = 8 };

static unsigned find_members(Span value) {
    Reader reader = reader_of(value);
    unsigned found = 0;
    do {
        take_kinds(&reader, BLANK);
        Span member = span_trim_end(take_until(&reader, ','));
        if (span_is_lower(member, "close", 5)) {
            found |= HAS_CLOSE;
        } else if (span_is_lower(member, "keep-alive", 10)) {
            found |= HAS_KEEP_ALIVE;
        } else if (span_is_lower(member, "upgrade", 7)) {
            found |= HAS_UPGRADE;
        } else if (span_is_lower(member, "trailers", 8)) {
            found |= HAS_TRAILERS;
        }
    } while (take_byte(&reader, ','));
    return found;
}

bool take_target(Reader *reader, Head *head) {
    Reader target = *reader;
    if (!take_byte(reader, '/')) {
        return false;
    }
    take_kinds(reader, TARGET);
    head->path = span_since(reader, &target);
    head->is_plain = !span_has(head->path, '%');
    head->has_query = take_byte(reader, '?');
    head->query = take_kinds(reader, TARGET | QUESTION);
    head->target = span_since(reader, &target);
    return true;
}

/* A method, a path, perhaps with a query, and the version. */
static bool scan_request_line(Reader *reader, Head *head) {
    head->method = find_method(take_kinds(reader, TOKEN));
    if (head->method < 0 || !take_byte(reader, ' ')) {
        return false;
    }
    if (!take_target(reader, head)) {
        return false;
    }
    if (!take_text(reader, " HTTP/1.", 8)) {
        return false;
    }
    head->facts = 0;
    if (take_byte(reader, '0')) {
        head->facts = FACT_OLD | FACT_CLOSE;
    } else if (!take_byte(reader, '1')) {
        return false;
    }
    return take_text(reader, "\r\n", 2);
}

static bool scan_line(const NameTable *table, Reader *reader, Line *line) {
    line->name = take_kinds(reader, TOKEN);
    if (line->name.size == 0 || line->name.size > LONGEST_NAME || !take_byte(reader, ':')) {
        return false;
    }
    take_kinds(reader, BLANK);
    Span value = take_value(reader);
    line->value = span_trim_end(value);
    line->known = find_name(table, line->name);
    line->meaning = line->known < 0 ? ANY_FIELD : common_names[line->known].meaning;
    if (line->meaning == TRANSFER_ENCODING && line->value.size != value.size) {
        return false; /* white space that some trim and others do not */
    }
    return take_text(reader, "\r\n", 2);
}

/* What the fields with a meaning say, until all of them have been seen. */
typedef struct {
    unsigned seen;       /* one bit for each Meaning */
    unsigned connection; /* members of all Connection fields */
    unsigned te;
    Span upgrade;
} Said;

static bool was_seen(const Said *said, Meaning meaning) {
    return (said->seen >> meaning & 1) != 0;
}

/* Takes in one field; false when it is wrong, or rare. */
static bool take_in(const Line *line, Head *head, Said *said) {
    Span value = line->value;
    bool again = was_seen(said, line->meaning);
    said->seen |= 1u << line->meaning;
    switch (line->meaning) {
    case FORWARDING:
        head->is_forwarded = true;
        return true;
    case CONNECTION:
        said->connection |= find_members(value);
        return true;
    case TE:
        said->te |= find_members(value);
        return true;
    case UPGRADE:
        said->upgrade = value;
        return !again;
    case HOST_FIELD:
        return !again && is_host(value);
    case CONTENT_TYPE:
        return !again;
    case CONTENT_LENGTH:
        return !again && span_number(value, 18, &head->content_length);
    case TRANSFER_ENCODING:
        return !again && span_is_lower(value, "chunked", 7);
    case EXPECT:
        return !again && span_is_lower(value, "100-continue", 12);
    default:
        return true;
    }
}

/* What all fields together mean; false when they contradict each other. */
static bool conclude(Head *head, const Said *said) {
    bool modern = !(head->facts & FACT_OLD);
    if (modern && !was_seen(said, HOST_FIELD)) {
        return false;
    }
    if (was_seen(said, TRANSFER_ENCODING)) {
        if (!modern || was_seen(said, CONTENT_LENGTH)) {
            return false;
        }
        head->facts |= FACT_CHUNKED;
    }
    if (head->content_length > 0) {
        head->facts |= FACT_LENGTH;
    }
    if (said->connection & HAS_CLOSE) {
        head->facts |= FACT_CLOSE;
    } else if (said->connection & HAS_KEEP_ALIVE) {
        head->facts &= ~(unsigned)FACT_CLOSE;
    }
    if (modern) {
        if (said->connection & HAS_UPGRADE) {
            head->upgrade = said->upgrade;
            head->facts |= head->upgrade.size > 0 ? FACT_UPGRADE : 0;
        }
        if (said->te & HAS_TRAILERS) {
            head->facts |= FACT_TRAILERS;
        }
        bool has_body = head->facts & (FACT_LENGTH | FACT_CHUNKED);
        if (has_body && was_seen(said, EXPECT)) {
            head->facts |= FACT_EXPECT;
        }
    }
    return true;
}

bool scan_head(
    const NameTable *table, Span bytes, size_t most_fields, bool keep_underscores, Head *head) {
    Reader reader = reader_of(bytes);
    const Span nothing = {bytes.begin, 0};
    Said said = {0, 0, 0, nothing};
    head->content_length = 0;
    head->upgrade = nothing;
    head->is_forwarded = false;
    head->count = 0;
    if (most_fields > MOST_LINES) {
        most_fields = MOST_LINES;
    }
    /* A head of which a part is missing, or with a body, is not worth reading. */
    if (!span_ends_with(bytes, "\r\n\r\n", 4) || !scan_request_line(&reader, head)) {
        return false;
    }
    while (!take_text(&reader, "\r\n", 2)) {
        if (head->count == most_fields) {
            return false;
        }
        Line *line = &head->lines[head->count];
        if (!scan_line(table, &reader, line) || !take_in(line, head, &said)) {
            return false;
        }
        if (line->known < 0 && !keep_underscores && span_has(line->name, '_')) {
            return false;
        }
        head->count++;
    }
    return reader_at_end(&reader) && conclude(head, &said);
}
