/* What a fuzz target has: `mutate.c` runs it where there is only gcc, libFuzzer where there is clang.

   A target gets each input in memory of exactly its size, so that AddressSanitizer sees a step
   beside it. It knows no Python. */

#ifndef TARGET_H
#define TARGET_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Tries one input; ends the process when something is wrong. It returns 0: libFuzzer asks for it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many inputs were taken for good ones. */
extern long accepted;

static inline void check(int is_right, const char *what) {
    if (!is_right) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

#endif
