/* The 8-bit product with a weight in which most words are zero: four neighbours along the depth. Only the other words
 * are kept and multiplied, so the product takes time with them, and not with the size of the weight. A register holds
 * rows here, and not columns: a word of b is multiplied with as many rows as it has lanes. Sums are exact, and the end
 * of the product (scales, bias, activation, residual) has the operations of the dense one on the same instruction set.
 * So a result is equal to the bit, whichever of the two products made it. */
#ifndef RUBATO_KERNELS_PRODUCT_SPARSE_H
#define RUBATO_KERNELS_PRODUCT_SPARSE_H

#include "kernels/product_low.h"

enum {
    SPARSE_PART = 96
}; /* words of a part of the depth: with the rows of a block, it stays in the first-level cache */

/* Parts of the depth, one after the other; in each, the words of every column, by their places. */
typedef struct sparse_words {
    uint32_t *begin; /* [parts][columns + 1] of each column in `at` and `words` */
    uint8_t *at;     /* the place of a word within its part */
    uint32_t *words;
    size_t columns;
} sparse_words;

typedef struct product_sparse {
    product_low dense; /* its b is not read; no `half`, no `add` */
    const sparse_words *b;
    size_t first;      /* the column of b that is the product's first */
    uint32_t *scratch; /* [sparse_scratch(columns)] */
} product_sparse;

typedef struct sparse_kernels {
    void (*product)(const product_sparse *product);
    size_t block;       /* rows that are multiplied together */
    size_t least_rows;  /* for fewer rows the dense product is faster */
    double most_filled; /* the part of a weight's words that may be other than zero: above, the dense product is faster.
                           Measured; see docs/performance.md */
} sparse_kernels;

extern const sparse_kernels sparse_avx2, sparse_avx2vnni, sparse_avx512vnni;

enum { SPARSE_MOST_ROWS = 64 }; /* the largest block */

/* The words of memory that a product of that many columns needs; they begin at 64 bytes. */
static inline size_t sparse_scratch(size_t columns) {
    return SPARSE_MOST_ROWS * ((columns + 15) / 16 * 16 + 2 * SPARSE_PART);
}

static inline size_t sparse_parts(size_t words) {
    return (words + SPARSE_PART - 1) / SPARSE_PART;
}

/* The number of words of packed panels that are not zero, up to `columns`. */
size_t sparse_count(const uint32_t *packed, size_t columns, size_t words);

/* Fills begin, at and words, for which there is room, from packed panels. */
void sparse_fill(sparse_words *out, const uint32_t *packed, size_t columns, size_t words);

#endif
