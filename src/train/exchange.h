/* Summing gradients over everybody who works on a step. A run that works alone has no exchange; several processes, each
 * with a part of every step's samples, give the trainer one. All workers make the same calls in the same order, once a
 * step, and receive the same bits, so that their parameters stay the same. */
#ifndef RUBATO_TRAIN_EXCHANGE_H
#define RUBATO_TRAIN_EXCHANGE_H

#include "base/error.h"

/* Values that stand next to each other. */
typedef struct gradient_span {
    float *values;
    size_t count;
} gradient_span;

typedef struct gradient_exchange {
    /* Every value becomes its sum over all workers. Spans have the same counts, in the same order, at all of them.
     */
    rubato_status (*sum)(void *user, const gradient_span *all, size_t count, rubato_error *error);
    /* The rows of a table that this worker touched, rising, become those that any worker touched, rising. `rows` has
     * room for `most`. */
    rubato_status (*join)(void *user, uint32_t *rows, size_t *count, size_t most, rubato_error *error);
    void *user;
} gradient_exchange;

#endif
