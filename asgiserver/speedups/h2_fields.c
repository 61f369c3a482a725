#include "h2_fields.h"

void begin_request(RequestFields *request) {
    request->head.facts = 0;
    request->head.content_length = 0;
    request->head.is_forwarded = false;
    request->seen = 0;
    request->has_regular = false;
    request->has_length = false;
}

static bool take_pseudo(const Line *line, bool again, RequestFields *request) {
    Reader target = reader_of(line->value);
    if (again || request->has_regular) {
        return false;
    }
    switch (line->meaning) {
    case METHOD_PSEUDO:
        request->head.method = find_method(line->value);
        return request->head.method >= 0;
    case SCHEME_PSEUDO:
        return span_is(line->value, "http", 4) || span_is(line->value, "https", 5);
    case AUTHORITY_PSEUDO:
        return is_host(line->value);
    case PATH_PSEUDO:
        return take_target(&target, &request->head) && reader_at_end(&target);
    default:
        return false;
    }
}

/* No controls, and no blanks around it. */
static bool is_value(Span value) {
    Reader reader = reader_of(value);
    return take_kinds(&reader, BLANK).size == 0 && take_value(&reader).size == value.size
        && span_trim_end(value).size == value.size;
}

static bool take_regular(const Line *line, bool again, RequestFields *request) {
    request->has_regular = true;
    switch (line->meaning) {
    case CONNECTION:
    case HOP_FIELD:
    case TRANSFER_ENCODING:
    case UPGRADE:
    case HOST_FIELD: /* right when it is the same as :authority, and rare */
        return false;
    case CONTENT_TYPE:
    case PRIORITY:
        return !again;
    case TE:
        return !again && span_is_lower(line->value, "trailers", 8);
    case EXPECT:
        request->head.facts |= FACT_EXPECT;
        return !again && span_is_lower(line->value, "100-continue", 12);
    case CONTENT_LENGTH:
        request->has_length = true;
        return !again && span_number(line->value, 18, &request->head.content_length);
    case FORWARDING:
        request->head.is_forwarded = true;
        return true;
    default:
        return true;
    }
}

bool take_field(
    const NameTable *table, Span name, Span value, bool keep_underscores, RequestFields *request,
    Line *line) {
    line->name = name;
    line->value = value;
    line->known = find_common_name(table, name);
    line->meaning = line->known < 0 ? ANY_FIELD : common_names[line->known].meaning;
    bool again = (request->seen >> line->meaning & 1) != 0;
    request->seen |= 1u << line->meaning;
    if (line->meaning >= METHOD_PSEUDO) {
        return take_pseudo(line, again, request);
    }
    if (line->known < 0
        && (name.size == 0 || name.size > LONGEST_NAME || !span_is_of(name, TOKEN)
            || span_has_upper(name) || (!keep_underscores && span_has(name, '_')))) {
        return false;
    }
    return is_value(value) && take_regular(line, again, request);
}

bool end_request(const RequestFields *request, bool has_body) {
    const unsigned needed = 1u << METHOD_PSEUDO | 1u << SCHEME_PSEUDO | 1u << AUTHORITY_PSEUDO
        | 1u << PATH_PSEUDO;
    return (request->seen & needed) == needed && (has_body || request->head.content_length == 0);
}
