/* A layer's attention as an exchangeable part. Each mechanism is one file with one const table of functions, and one
 * line in attendings.c. The encoder, calibration, search, training and saving know a mechanism only by that table.
 *
 * A mechanism owns the projections of queries, keys and values, and the output projection. Its setting is a small
 * struct that only the mechanism reads. It is read from config.json, kept in the layers, and written to config.json. */
#ifndef RUBATO_ATTENTION_ATTENDING_H
#define RUBATO_ATTENTION_ATTENDING_H

#include "elastic/batch.h"
#include "elastic/shape.h"
#include "store/part.h"
#include "tensor/visit.h"

/* One pass through one layer's attention. It may be copied onto the tape, since the arrays live as long. */
typedef struct attending_input {
    size_t layer;      /* number among the layers that the encoder runs, from 0 */
    size_t heads;      /* the heads that run, always the first ones */
    tensor x;          /* the rows for keys and values */
    tensor query_rows; /* the rows for queries: x, or fewer rows */
    tensor residual;   /* to which the result is added: query_rows, or they before their norm; the layer sets it */
    batch sequences, queries;   /* of x, of `query_rows` */
    const size_t *origin;       /* the original rows of x, where rows have retired; NULL: none has */
    const size_t *query_origin; /* the same of `query_rows` */
    batch input;                /* the unchanged input: types of original rows, lengths */
    float *significance;        /* [rows of x] receives the attention that each row got; NULL: not needed */
    bool others_only;           /* without the row's attention to itself */
    const size_t *places; /* [rows of x] of a causal model: each row's place in its text. A row sees no row behind its
                             own place; all rows are there, and all are queries. NULL: not causal. With a state of the
                             run, rows go on behind those of earlier passes, and a mechanism that `continues` keeps
                             what it needs of these */
} attending_input;

/* The distance of a key or query from its sequence's first key, in original rows. origin: in->origin for keys,
 * in->query_origin for queries. */
static inline size_t attending_place(const attending_input *in, size_t sequence, const size_t *origin, size_t row) {
    size_t first = in->sequences.start[sequence];
    return (origin ? origin[row] : row) - (in->origin ? in->origin[first] : first);
}

/* The first row of a sequence, counted from its beginning, that stands at the place or behind it. rows, origin: the
 * batch of keys with in->origin, or that of queries with in->query_origin. */
static inline size_t attending_row_at(const attending_input *in, size_t sequence, const batch *rows,
                                      const size_t *origin, size_t place) {
    size_t low = 0, high = batch_length(rows, sequence);
    if (!origin) return place < high ? place : high; /* all rows are there */
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (attending_place(in, sequence, origin, rows->start[sequence] + middle) < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The work of a mechanism's own products (scores and mixing) for `sequences` of `length` rows. */
typedef struct attending_demand {
    double flops, activation_bytes;
    precision products;
    double rate; /* the attainable part of that precision's peak */
} attending_demand;

/* How a layer or a table begins that dense attention does not have. */
typedef enum added_start {
    LIKE_QUERY, /* a copy of that layer */
    LIKE_KEY,
    LIKE_VALUE,
    LIKE_MEAN,     /* a layer: the mean of `rows` inputs side by side */
    LIKE_SEGMENTS, /* a table [longest text, rows]: the means of `rows` segments of the text; no bias */
    DRAWN_ROWS,    /* a table [rows, outputs of the queries' layer], drawn with the deviation 1; rows 0: longest text */
    ZERO_ROWS,     /* the same of zeros; rows ROWS_OF_INPUTS: as many as the queries' layer has inputs */
    ZERO_HEADS,    /* a table [rows, heads] of zeros */
    ZERO_TAPS      /* the same [heads, rows] */
} added_start;

typedef struct added_tensor {
    const char *name; /* beside the queries' layer: "query_global" */
    added_start like;
    size_t rows;
} added_tensor;

enum { MOST_ADDED = 4, ROWS_OF_INPUTS = (1 << 30) };

/* A mechanism. A function that it does not have is NULL. */
typedef struct attending {
    part_kind part; /* must be first: a part_choice of attention points to it */
    /* Capabilities. A point that needs a missing one is refused. */
    bool yields_received; /* can return the attention that each row received */
    bool fewer_queries;   /* queries may be fewer than keys: merging, tokens that leave */
    bool narrows;         /* can run only its first heads */
    bool by_place;        /* has a row of weights for every place in the longest text */
    bool decodes;         /* runs causally: a row sees no later row */
    bool continues;       /* a causal pass goes on where the passes before it ended, with the state of the run */

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
    /* Layers and tables that a checkpoint of dense attention lacks, and how they begin; returns their number. NULL:
     * nothing is lacking. */
    size_t (*added_tensors)(const void *setting, added_tensor out[MOST_ADDED]);
    /* The projections of dense attention that the mechanism lacks, a sum of projected_part (projections.h). NULL: none.
     */
    unsigned (*drops)(const void *setting);
    /* Prepares the weights for running only the first heads. Fails: UNSUPPORTED where widths do not divide. */
    rubato_status (*allow_narrow)(void *self, arena *memory, rubato_error *error);
    /* Whether heads can be reordered by reordering only the visited layers; NULL: always. */
    bool (*sortable)(const void *setting);
    /* The width of what the feed-forward part reads, where that is not the hidden size. A mechanism that has this
     * function normalises its output itself. */
    size_t (*between)(const void *setting, size_t hidden);
    /* out [rows of query_rows, hidden] = residual + Attention(x); with `between`, [.., between] of its own making. */
    void (*forward)(const void *self, const run *on, const attending_input *in, tensor out);
    /* Calls `visit` for every linear layer that rows pass through, in the order of loading. */
    void (*visit)(void *self, linear_visitor *visit, void *user);
    count_operations *count;
    attending_demand (*demand)(const void *self, const kernel_table *kernels, size_t sequences, size_t length);
} attending;

/* All mechanisms; their object in config.json is "attention". */
extern const part_table attending_table;

static inline const attending *attending_of(const part_choice *choice) {
    return (const attending *)choice->kind;
}

/* Fails where the longest text cannot change, because the mechanism has weights for places: UNSUPPORTED. */
static inline rubato_status attending_check_length(const part_choice *choice, const char *model, rubato_error *error) {
    if (!attending_of(choice)->by_place) return RUBATO_OK;
    return fail(error, RUBATO_UNSUPPORTED,
                "%.200s: %s attention has weights for every place in the longest text, which cannot change; give "
                "--max-length to the convert that makes it",
                model, choice->kind->name);
}

/* Whether a model's heads can be reordered, and cut away. */
static inline bool attending_sorts(const part_choice *choice) {
    const attending *mechanism = attending_of(choice);
    return !mechanism->sortable || mechanism->sortable(choice->setting);
}

#endif
