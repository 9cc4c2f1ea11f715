/* A layer's feed-forward part, which can be exchanged as attention can (attention/attending.h). Each kind is one file
 * with one const table of functions, and one line in feedings.c. */
#ifndef RUBATO_FEEDING_FEEDING_H
#define RUBATO_FEEDING_FEEDING_H

#include "elastic/shape.h"
#include "store/part.h"
#include "tensor/visit.h"

/* Functions that a kind lacks are NULL. */
typedef struct feeding {
    part_kind part; /* first: a part_choice of feed-forward parts is one of these */
    bool narrows;   /* can run its first neurons alone */

    /* A layer's weights, into *self in the loader's memory. */
    rubato_status (*load)(void **self, const part_source *from);
    /* Readies the weights for running the first neurons alone. Fails: UNSUPPORTED where widths do not divide. */
    rubato_status (*allow_narrow)(void *self, arena *memory, rubato_error *error);
    /* out [rows, hidden] = x + FeedForward(x), with the first `neurons` alone. */
    void (*forward)(const void *self, const run *on, tensor x, size_t neurons, tensor out);
    /* Every linear layer that rows pass through, in the order of loading. */
    void (*visit)(void *self, linear_visitor *visit, void *user);
    count_operations *count;
} feeding;

/* All of them; config.json's object is "feed_forward". */
extern const part_table feeding_table;

static inline const feeding *feeding_of(const part_choice *choice) {
    return (const feeding *)choice->kind;
}

#endif
