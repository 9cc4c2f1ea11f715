/* From packed panels, whose padding is zero, to their words that are not. */
#include "kernels/product_sparse.h"

static const uint32_t *column_of(const uint32_t *packed, size_t column, size_t words) {
    return packed + column / PANEL * PANEL * words + column % PANEL;
}

size_t sparse_count(const uint32_t *packed, size_t columns, size_t words) {
    size_t count = 0;
    for (size_t first = 0; first < columns; first += PANEL) {
        const uint32_t *panel = packed + first * words;
        for (size_t i = 0; i < words * PANEL; i++) count += panel[i] != 0;
    }
    return count;
}

void sparse_fill(sparse_words *out, const uint32_t *packed, size_t columns, size_t words) {
    uint32_t count = 0, *begin = out->begin;
    out->columns = columns;
    for (size_t first = 0; first < words; first += SPARSE_PART) {
        const size_t end = words - first < SPARSE_PART ? words : first + SPARSE_PART;
        for (size_t j = 0; j < columns; j++) {
            const uint32_t *column = column_of(packed, j, words);
            *begin++ = count;
            for (size_t k = first; k < end; k++) {
                if (!column[k * PANEL]) continue;
                out->at[count] = (uint8_t)(k - first);
                out->words[count++] = column[k * PANEL];
            }
        }
        *begin++ = count;
    }
}
