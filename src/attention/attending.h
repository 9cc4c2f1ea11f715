/* A layer's attention as a part that can be exchanged. Each mechanism is one file with one const table of functions,
 * and one line in attendings.c; the encoder, calibration, search, training and saving know it by that table alone.
 *
 * A mechanism owns what projects queries, keys and values, and the output. Its setting is a small struct that nothing
 * else reads: config.json gives it, layers carry it, config.json receives it again. */
#ifndef RUBATO_ATTENTION_ATTENDING_H
#define RUBATO_ATTENTION_ATTENDING_H

#include "elastic/batch.h"
#include "elastic/shape.h"
#include "store/part.h"
#include "tensor/visit.h"

/* One pass through one layer's attention. It may be copied onto the tape, since the arrays live as long. */
typedef struct attending_input {
    size_t layer;               /* of those that the encoder runs, from 0 */
    size_t heads;               /* that run: the first ones */
    tensor x;                   /* rows of which keys and values are made */
    tensor asking;              /* rows of which queries are made: x, or fewer; also the residual */
    batch sequences, queries;   /* of x, of `asking` */
    const size_t *origin;       /* the original row of each of x, where rows have retired; NULL: none has */
    const size_t *query_origin; /* the same of `asking` */
    batch input;                /* as it came: types of original rows, lengths */
    float *significance;        /* [rows of x] receives the attention that each row got; NULL: nobody asks */
    bool others_only;           /* without the attention that a row paid to itself */
} attending_input;

/* The distance of a key or query from its sequence's first key, in original rows. origin: in->origin for keys,
 * in->query_origin for queries. */
static inline size_t attending_place(const attending_input *in, size_t sequence, const size_t *origin, size_t row) {
    size_t first = in->sequences.start[sequence];
    return (origin ? origin[row] : row) - (in->origin ? in->origin[first] : first);
}

/* What a mechanism's own products (scores and mixing) demand of a machine, for `sequences` of `length` rows. */
typedef struct attending_demand {
    double flops, activation_bytes;
    precision products;
    double rate; /* of that precision's peak */
} attending_demand;

/* A mechanism. Functions that it lacks are NULL. */
typedef struct attending {
    part_kind part; /* first: a part_choice of attention is one of these */
    /* Capabilities. A point that needs one that is missing is refused. */
    bool yields_received; /* can tell the attention that each row received */
    bool fewer_queries;   /* queries may be fewer than keys: merging, tokens that leave */
    bool narrows;         /* can run its first heads alone */
    bool causal;          /* a row sees no later row */

    /* What all layers share, in the loader's memory: made before them, and its parameters loaded after them, which is
     * their order in files. Gradients of what was derived from parameters are given back to them by `collect`, before
     * the norm of all gradients is taken, and `refresh` derives it again after a step. */
    rubato_status (*make_shared)(void **shared, const part_source *from);
    rubato_status (*load_shared)(void *shared, const part_source *from);
    void (*collect)(void *shared);
    void (*refresh)(void *shared);

    /* A layer's weights, into *self in the loader's memory: its linear layers, and after the rest of the layer is
     * loaded what it has besides. */
    rubato_status (*load)(void **self, const part_source *from);
    rubato_status (*load_terms)(void *self, const part_source *from);
    /* Fails: UNSUPPORTED where widths do not divide. Readies the weights for running the first heads alone. */
    rubato_status (*allow_narrow)(void *self, arena *memory, rubato_error *error);
    /* Whether heads can be put into another order by reordering the visited layers alone; NULL: always. */
    bool (*sortable)(const void *setting);
    /* out [rows of asking, hidden] = asking + Attention(x). */
    void (*forward)(const void *self, const run *on, const attending_input *in, tensor out);
    /* Every linear layer that rows pass through, in the order of loading. */
    void (*visit)(void *self, linear_visitor *visit, void *user);
    count_operations *count;
    attending_demand (*demand)(const void *self, const kernel_table *kernels, size_t sequences, size_t length);
} attending;

/* All of them; config.json's object is "attention". */
extern const part_table attending_table;

static inline const attending *attending_of(const part_choice *choice) {
    return (const attending *)choice->kind;
}

#endif
