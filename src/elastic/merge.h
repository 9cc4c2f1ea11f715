/* Neighbouring rows merged into one, as the first layer of a Funnel-Transformer's block does it (Dai et al. 2020,
 * section 2.2): which rows of a sequence become which. */
#ifndef RUBATO_ELASTIC_MERGE_H
#define RUBATO_ELASTIC_MERGE_H

#include <stdbool.h>
#include <stddef.h>

/* All false: the first row stays by itself, the others are taken two by two, a last one alone, and a merged row is the
 * mean of its two. */
typedef struct merging {
    bool with_first; /* the first row is merged like any other */
    bool truncate;   /* the last row is left out, so that lengths that are powers of two stay so; not with_first */
    bool largest;    /* element by element the larger of the two instead of the mean */
} merging;

/* Rows that `rows` become; as many as there are where there is nothing to merge. */
static inline size_t merged_rows(const merging *self, size_t rows) {
    if (rows <= (self->with_first ? 1 : 2)) return rows;
    return self->with_first || self->truncate ? (rows + 1) / 2 : rows / 2 + 1;
}

/* The rows [*first, *first + count) that row `merged` is made of; returns the count. */
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
