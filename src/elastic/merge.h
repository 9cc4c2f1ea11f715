/* Merging neighbouring rows into one, as in the first layer of a Funnel-Transformer's block (Dai et al. 2020, section
 * 2.2): the rows of a sequence from which each merged row is made. */
#ifndef RUBATO_ELASTIC_MERGE_H
#define RUBATO_ELASTIC_MERGE_H

#include <stdbool.h>
#include <stddef.h>

/* All false: the first row stays as it is, the others are merged in pairs, a last row without a partner stays alone,
 * and a merged row is the mean of its two. */
typedef struct merging {
    bool with_first; /* the first row is merged like any other */
    bool truncate;   /* the last row is left out, so that a power of two stays a power of two; not with with_first */
    bool largest;    /* a merged row is the elementwise maximum instead of the mean */
} merging;

/* The number of merged rows of `rows` rows; `rows` itself where there are too few to merge. */
static inline size_t merged_rows(const merging *self, size_t rows) {
    if (rows <= (self->with_first ? 1 : 2)) return rows;
    return self->with_first || self->truncate ? (rows + 1) / 2 : rows / 2 + 1;
}

/* Row `merged` is made of the rows [*first, *first + count). Returns count. */
static inline size_t merged_from(const merging *self, size_t rows, size_t merged, size_t *first) {
    if (!self->with_first && merged == 0) {
        *first = 0;
        return 1;
    }
    *first = self->with_first ? 2 * merged : 2 * merged - 1;
    size_t end = rows - (!self->with_first && self->truncate);
    return *first + 2 <= end ? 2 : 1;
}

#endif
