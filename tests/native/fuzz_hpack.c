/* Field blocks through `take_representation`, and their strings through the Huffman code and back.
   What blocks mean is compared by tests/fuzz/test_fuzz_hpack.py. */

#include "../../asgiserver/speedups/hpack.h"
#include "target.h"

long accepted;

static Huffman huffman;

static uint8_t *memory_of(size_t size) {
    uint8_t *memory = malloc(size > 0 ? size : 1);
    check(memory != NULL, "no memory");
    return memory;
}

/* A text becomes a string that becomes the text; without room it does not. */
static void check_text(Span text) {
    size_t size = huffman_size(text);
    uint8_t *memory = memory_of(size), *again = memory_of(text.size);
    Writer writer = writer_of(memory, size);
    check(huffman_encode(&huffman, text, &writer) && writer_left(&writer) == 0, "a size is wrong");
    Span string = {memory, size};
    writer = writer_of(again, text.size);
    check(huffman_decode(&huffman, string, &writer), "a text is not decoded");
    check(writer_left(&writer) == 0 && (text.size == 0 || memcmp(again, text.begin, text.size) == 0),
        "another text");
    if (text.size > 0) {
        writer = writer_of(again, text.size - 1);
        check(!huffman_decode(&huffman, string, &writer), "more than there is room for");
        writer = writer_of(memory, size - 1);
        check(!huffman_encode(&huffman, text, &writer), "more than there is room for");
    }
    free(memory);
    free(again);
}

static void check_string(String string) {
    check_text(string.bytes);
    if (!string.is_coded) {
        return;
    }
    size_t most = huffman_most(string.bytes);
    uint8_t *memory = memory_of(most);
    Writer writer = writer_of(memory, most);
    if (huffman_decode(&huffman, string.bytes, &writer)) {
        Span text = {memory, most - writer_left(&writer)};
        check(huffman_size(text) == string.bytes.size, "a code that is not the only one");
        check_text(text);
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const Span nothing = {data, 0};
    Span whole = {data, size};
    if (huffman.after[LONGEST_CODE] == 0) {
        fill_huffman(&huffman);
    }
    Reader block = reader_of(whole);
    while (!reader_at_end(&block)) {
        Representation taken = {INDEXED, 0, {nothing, false}, {nothing, false}};
        if (take_representation(&block, &taken) != NO_FAULT) {
            return 0;
        }
        check_string(taken.name);
        check_string(taken.value);
    }
    accepted++;
    return 0;
}
