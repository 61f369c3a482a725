#include "huffman.h"

/* Bits of the code of each byte, and at last of the end of a string. */
static const uint8_t lengths[SYMBOLS] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
};

enum { END = 256 };

void fill_huffman(Huffman *huffman) {
    memset(huffman, 0, sizeof *huffman);
    uint32_t code = 0;
    uint16_t count = 0;
    for (unsigned length = 1; length <= LONGEST_CODE; length++, code <<= 1) {
        huffman->first[length] = code;
        huffman->begin[length] = count;
        for (uint16_t symbol = 0; symbol < SYMBOLS; symbol++) {
            if (lengths[symbol] != length) {
                continue;
            }
            for (uint32_t i = 0; length <= QUICK_BITS && i < 1u << (QUICK_BITS - length); i++) {
                uint32_t bits = (code << (QUICK_BITS - length)) + i;
                huffman->quick[bits].symbol = (uint8_t)symbol;
                huffman->quick[bits].length = (uint8_t)length;
            }
            huffman->codes[symbol] = code++;
            huffman->symbols[count++] = symbol;
        }
        huffman->after[length] = code;
    }
}

/* The symbol of a code that is too long for `quick`. Every sequence of bits begins with a code. */
static unsigned find_long(const Huffman *huffman, uint32_t bits, unsigned *length) {
    for (unsigned size = QUICK_BITS + 1; size <= LONGEST_CODE; size++) {
        uint32_t code = bits >> (32 - size);
        if (code < huffman->after[size]) {
            *length = size;
            return huffman->symbols[huffman->begin[size] + (code - huffman->first[size])];
        }
    }
    *length = LONGEST_CODE;
    return END;
}

bool huffman_decode(const Huffman *huffman, Span string, Writer *text) {
    BitReader reader = bits_of(string);
    for (;;) {
        uint32_t bits = peek_bits(&reader);
        unsigned symbol = huffman->quick[bits >> (32 - QUICK_BITS)].symbol;
        unsigned length = huffman->quick[bits >> (32 - QUICK_BITS)].length;
        if (length == 0) {
            symbol = find_long(huffman, bits, &length);
        }
        if (length > reader.count) { /* the rest is padding: less than a byte, and all ones */
            return reader.count < 8 && bits == UINT32_MAX;
        }
        if (symbol == END || !put_byte(text, (uint8_t)symbol)) {
            return false;
        }
        skip_bits(&reader, length);
    }
}

size_t huffman_size(Span text) {
    Reader reader = reader_of(text);
    size_t bits = 7;
    for (uint8_t byte; take_any(&reader, &byte);) {
        bits += lengths[byte];
    }
    return bits / 8;
}

bool huffman_encode(const Huffman *huffman, Span text, Writer *string) {
    Reader reader = reader_of(text);
    uint64_t bits = 0; /* its lowest `count` have to be written; count < 8 between two symbols */
    unsigned count = 0;
    for (uint8_t byte; take_any(&reader, &byte);) {
        bits = bits << lengths[byte] | huffman->codes[byte];
        for (count += lengths[byte]; count >= 8; count -= 8) {
            if (!put_byte(string, (uint8_t)(bits >> (count - 8)))) {
                return false;
            }
        }
    }
    return count == 0 || put_byte(string, (uint8_t)(bits << (8 - count) | 0xff >> count));
}
