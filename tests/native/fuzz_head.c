/* Heads changed at random through `scan_head`, each in memory of exactly its size, so that
   AddressSanitizer sees a step beside it. Built and run by `make fuzz-native`.

   Arguments: the number of heads, a seed, and files with one real head each. It knows no Python;
   what is accepted is compared by tests/fuzz/test_fuzz_core.py. */

#include <stdio.h>
#include <stdlib.h>

#include "../../asgiserver/speedups/head.h"

enum { MOST = 1 << 17 };

static uint64_t state;

static uint64_t draw(uint64_t below) { /* xorshift64 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below == 0 ? 0 : state % below;
}

static const char NOISE[] = "\r\n\r\n: \t,[]:%_/?#\x7f\x80HTTP/1.1";

/* Changes some bytes of `data`, at most MOST of them; the new size. */
static size_t change(uint8_t *data, size_t size) {
    for (uint64_t changes = draw(4); changes > 0 && size > 0; changes--) {
        size_t at = (size_t)draw(size);
        uint8_t byte = draw(2) ? (uint8_t)NOISE[draw(sizeof NOISE - 1)] : (uint8_t)draw(256);
        switch (draw(5)) {
        case 0: /* cut */
            size = at;
            break;
        case 1: /* leave out */
            memmove(data + at, data + at + 1, size - at - 1);
            size--;
            break;
        case 2: /* put in */
            if (size < MOST) {
                memmove(data + at + 1, data + at, size - at);
                data[at] = byte;
                size++;
            }
            break;
        default:
            data[at] = byte;
        }
    }
    return size;
}

static void fail(const char *what) {
    fprintf(stderr, "fuzz_head: %s\n", what);
    exit(1);
}

static void check_span(Span span, Span whole) {
    if (span.begin < whole.begin || span.begin + span.size > whole.begin + whole.size) {
        fail("a span that is not of the head");
    }
}

static bool try_head(const NameTable *table, const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        fail("no memory");
    }
    memcpy(copy, data, size);
    Span whole = {copy, size};
    static Head head;
    bool accepted = scan_head(table, whole, (size_t)draw(200), draw(2) != 0, &head);
    if (accepted) {
        check_span(head.target, whole);
        check_span(head.path, whole);
        check_span(head.query, whole);
        check_span(head.upgrade, whole);
        for (size_t i = 0; i < head.count; i++) {
            check_span(head.lines[i].name, whole);
            check_span(head.lines[i].value, whole);
        }
    }
    free(copy);
    return accepted;
}

int main(int count, char **arguments) {
    static uint8_t seeds[64][MOST], work[MOST + 8];
    size_t sizes[64];
    int files = 0;
    if (count < 4) {
        fail("usage: fuzz_head COUNT SEED FILE...");
    }
    long rounds = strtol(arguments[1], NULL, 10);
    state = strtoull(arguments[2], NULL, 10) * 2 + 1;
    for (int i = 3; i < count && files < 64; i++) {
        FILE *file = fopen(arguments[i], "rb");
        if (file == NULL) {
            fail("a file cannot be opened");
        }
        sizes[files] = fread(seeds[files], 1, MOST, file);
        fclose(file);
        files++;
    }
    NameTable table;
    fill_name_table(&table);
    long accepted = 0;
    for (long i = 0; i < rounds; i++) {
        size_t seed = (size_t)draw((uint64_t)files);
        memcpy(work, seeds[seed], sizes[seed]);
        accepted += try_head(&table, work, change(work, sizes[seed]));
    }
    printf("fuzz_head: %ld of %ld heads accepted\n", accepted, rounds);
    return accepted > rounds / 100 ? 0 : 1;
}
