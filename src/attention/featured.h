/* Attention by features of queries and keys (Katharopoulos et al. 2020): with f(q) and f(k) of m features that are not
 * negative, a query's weight of a key is f(q) f(k), divided by the sum over the keys. So keys and values are summed
 * once, into [m, head_size], and time grows with the length and not with its square. */
#ifndef RUBATO_ATTENTION_FEATURED_H
#define RUBATO_ATTENTION_FEATURED_H

#include "attention/projections.h"

/* Features of rows of one head. Its functions are called from several threads. */
typedef struct feature_map {
    size_t count;   /* features of a row */
    size_t room;    /* floats of scratch that a row needs in backward */
    const void *of; /* the mechanism's */
    /* out [rows, count] = features of x. keys: x has the keys of a whole sequence, else some queries. Returns for keys
     * the number c by whose exponential they are divided, all by one; 0: by none. */
    float (*map)(const void *of, const run *on, bool keys, float *out, const float *x, size_t x_stride, size_t rows,
                 size_t size);
    /* dx += the derivative, by d [rows, count], which may be changed; features [rows, count] as map made them. */
    void (*backward)(const void *of, const run *on, float *dx, size_t dx_stride, float *d, const float *features,
                     const float *x, size_t x_stride, size_t rows, size_t size, float *room);
} feature_map;

typedef struct featured {
    tensor query, key, value;         /* [rows, heads * head_size]; of the query rows, and of all */
    const batch *sequences, *queries; /* of the keys and of the queries */
    size_t heads, head_size;
    const feature_map *map; /* must outlive the tape when recording */
    bool causal;            /* a query sees no later key; every row is a query then, and significance is not told */
    size_t layer;           /* whose sums a run's state keeps, of a causal pass */
    float *significance;    /* as in softmax.h; NULL for none. others_only: every row is a query then. */
    bool others_only;
} featured;

/* out [query rows, heads * head_size] = concatenated heads. Nothing is dropped out. When recording, `inputs` and the
 * batches are copied, but not their arrays. */
void attention_featured(const run *self, tensor out, const featured *inputs);

/* Of a layer's pass: projects, runs the heads, and projects back. weights begin with the projections. */
void featured_forward(const void *weights, const run *on, const attending_input *in, tensor out,
                      const feature_map *map);

/* Multiplications and additions of the heads of `keys` and `queries` rows, besides the map's own. */
double featured_products(double features, double keys, double queries, double width);

#endif
