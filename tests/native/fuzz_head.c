/* Heads through `scan_head`, and their fields through `take_field`. What they accept is compared by
   tests/fuzz/test_fuzz_core.py and tests/fuzz/test_fuzz_h2_request.py. */

#include "../../asgiserver/speedups/h2_fields.h"
#include "target.h"

long accepted;

static void check_span(Span span, Span whole) {
    check(
        span.begin >= whole.begin && span.begin + span.size <= whole.begin + whole.size,
        "a span that is not of the head");
}

/* The head as one of HTTP/2. */
static void try_fields(const NameTable *table, const Head *head, bool keep_underscores) {
    static const char *const names[] = {":method", ":scheme", ":authority", ":path"};
    const Span scheme = {(const uint8_t *)"https", 5};
    const Span host = head->count > 0 ? head->lines[0].value : scheme;
    const Span values[] = {head->target, scheme, host, head->target};
    RequestFields request;
    Line line;
    begin_request(&request);
    for (size_t i = 0; i < 4; i++) {
        Span name = {(const uint8_t *)names[i], strlen(names[i])};
        take_field(table, name, values[i], keep_underscores, &request, &line);
    }
    for (size_t i = 0; i < head->count; i++) {
        take_field(
            table, head->lines[i].name, head->lines[i].value, keep_underscores, &request, &line);
    }
    end_request(&request, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static NameTable table;
    static Head head;
    Span whole = {data, size};
    fill_name_table(&table);
    size_t most_fields = size % 3 == 0 ? size % 200 : MOST_LINES;
    if (!scan_head(&table, whole, most_fields, size % 2 == 0, &head)) {
        return 0;
    }
    accepted++;
    check_span(head.target, whole);
    check_span(head.path, whole);
    check_span(head.query, whole);
    check_span(head.upgrade, whole);
    for (size_t i = 0; i < head.count; i++) {
        check_span(head.lines[i].name, whole);
        check_span(head.lines[i].value, whole);
    }
    try_fields(&table, &head, size % 2 == 0);
    return 0;
}
