/* A `main` for targets: inputs that are made of others by chance, with new sizes, bytes and parts.

   Arguments: the number of inputs, a seed, and files with one good input each. `make fuzz-native`
   builds and runs it. */

#include <string.h>

#include "target.h"

enum { MOST = 1 << 17, FILES = 64 };

static uint64_t state;

static uint64_t draw(uint64_t below) { /* xorshift64 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below == 0 ? 0 : state % below;
}

static const char NOISE[] = "\r\n\r\n: \t,[]:%_/?#\x7f\x80\xff\x40\x1f\xbeHTTP/1.1";

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

int main(int count, char **arguments) {
    static uint8_t seeds[FILES][MOST], work[MOST + 8];
    size_t sizes[FILES];
    int files = 0;
    check(count >= 4, "usage: COUNT SEED FILE...");
    long rounds = strtol(arguments[1], NULL, 10);
    state = strtoull(arguments[2], NULL, 10) * 2 + 1;
    for (int i = 3; i < count && files < FILES; i++) {
        FILE *file = fopen(arguments[i], "rb");
        check(file != NULL, "a file cannot be opened");
        sizes[files] = fread(seeds[files], 1, MOST, file);
        fclose(file);
        files++;
    }
    for (long i = 0; i < rounds; i++) {
        size_t seed = (size_t)draw((uint64_t)files);
        memcpy(work, seeds[seed], sizes[seed]);
        size_t size = change(work, sizes[seed]);
        uint8_t *copy = malloc(size > 0 ? size : 1);
        check(copy != NULL, "no memory");
        memcpy(copy, work, size);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
    }
    printf("%ld of %ld inputs accepted\n", accepted, rounds);
    return accepted > rounds / 100 ? 0 : 1;
}
