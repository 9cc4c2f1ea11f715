/* A layer's feed-forward part as an exchangeable part, like attention (attention/attending.h). Each kind is one file
 * with one const table of functions, and one line in feedings.c. */
#ifndef RUBATO_FEEDING_FEEDING_H
#define RUBATO_FEEDING_FEEDING_H

#include "elastic/shape.h"
#include "store/part.h"
#include "tensor/visit.h"

/* The rows, and the part of the feed-forward part that runs. */
typedef struct feeding_input {
    tensor x;
    tensor residual;              /* to which the result is added: x, or x before its norm; the layer sets it */
    size_t layer;                 /* of the encoder, for watchers */
    size_t neurons;               /* the first ones */
    float memory_heads, selected; /* the parts of a memory's heads and of its selected slots; 1: all */
} feeding_input;

/* The work of a memory for some rows, for the limits of the machine. */
typedef struct feeding_demand {
    double flops, weight_bytes; /* of the products */
    double read_bytes;          /* of the table's rows */
} feeding_demand;

/* A kind of feed-forward part. A function that it does not have is NULL. */
typedef struct feeding {
    part_kind part; /* must be first: a part_choice of feed-forward parts points to it */
    bool narrows;   /* can run only its first neurons */
    bool remembers; /* has a memory (feeding/memory.h), of which points can run a part */

    /* Loads a layer's weights into *self, in the loader's memory. */
    rubato_status (*load)(void **self, const part_source *from);
    /* Prepares the weights for running only the first neurons. Fails: UNSUPPORTED where widths do not divide. */
    rubato_status (*allow_narrow)(void *self, arena *memory, rubato_error *error);
    /* out [rows, hidden] = residual + FeedForward(x). */
    void (*forward)(const void *self, const run *on, const feeding_input *in, tensor out);
    /* What comes after the layer's last norm, or after its sum: in->x is the result of that, in whose memory the new
     * result stands in inference. */
    tensor (*after)(const void *self, const run *on, const feeding_input *in);
    /* Calls `visit` for every linear layer that rows pass through, in the order of loading. */
    void (*visit)(void *self, linear_visitor *visit, void *user);
    count_operations *count;
    /* What a memory does for that many rows; NULL: there is none. */
    feeding_demand (*demand)(const void *self, double rows);
} feeding;

/* All kinds; their object in config.json is "feed_forward". */
extern const part_table feeding_table;

static inline const feeding *feeding_of(const part_choice *choice) {
    return (const feeding *)choice->kind;
}

#endif
