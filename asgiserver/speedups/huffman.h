/* The Huffman code of HPACK (RFC 7541 section 5.2, appendix B).

   The code is canonical: codes of one length follow each other in the order of their symbols. So
   the lengths are all there is to know; the tables are made from them. */

#ifndef ASGISERVER_HUFFMAN_H
#define ASGISERVER_HUFFMAN_H

#include "bounds.h"

enum { SYMBOLS = 257, LONGEST_CODE = 30, QUICK_BITS = 10 };

typedef struct {
    uint32_t codes[SYMBOLS];
    /* Codes of at most QUICK_BITS, by the bits that come next. A length of 0: it is a longer one. */
    struct {
        uint8_t symbol, length;
    } quick[1 << QUICK_BITS];
    /* Longer ones by their length: the first code, the one after the last, and where the symbols
       of that length begin in `symbols`, which has all in the order of their codes. */
    uint32_t first[LONGEST_CODE + 1], after[LONGEST_CODE + 1];
    uint16_t begin[LONGEST_CODE + 1];
    uint16_t symbols[SYMBOLS];
} Huffman;

void fill_huffman(Huffman *huffman);

/* Decodes a string; false when it is not one that an encoder may send (a longer padding than 7
   bits, one with zeros, the symbol for the end), or when there is no room. Its text has at most
   `huffman_most` bytes. */
bool huffman_decode(const Huffman *huffman, Span string, Writer *text);

static inline size_t huffman_most(Span string) {
    return string.size / 5 * 8 + string.size % 5 * 8 / 5; /* no code is shorter than 5 bits */
}

/* Bytes of the string that `huffman_encode` makes of a text. */
size_t huffman_size(Span text);

/* Encodes a text; false when there is no room. */
bool huffman_encode(const Huffman *huffman, Span text, Writer *string);

#endif
