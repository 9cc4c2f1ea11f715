/* Sums of gradients over all workers of a run. A run of one process has no exchange. Where several processes share a
 * run, each takes a part of every step's samples and gives its trainer an exchange. All workers make the same calls in
 * the same order in every step, and all receive the same bits, so their parameters stay equal. */
#ifndef RUBATO_TRAIN_EXCHANGE_H
#define RUBATO_TRAIN_EXCHANGE_H

#include "base/error.h"

/* Values that lie next to each other. */
typedef struct gradient_span {
    float *values;
    size_t count;
} gradient_span;

typedef struct gradient_exchange {
    /* Replaces every value by its sum over all workers. The spans of all workers have the same counts, in the same
     * order. */
    rubato_status (*sum)(void *user, const gradient_span *all, size_t count, rubato_error *error);
    /* Replaces the rows of a table that this worker touched by the rows that any worker touched; both in rising order.
     * `rows` has room for `most`. */
    rubato_status (*join)(void *user, uint32_t *rows, size_t *count, size_t most, rubato_error *error);
    void *user;
} gradient_exchange;

#endif
