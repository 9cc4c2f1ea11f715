/* Parameters: weights in the form the operations want them. Immutable once loaded.
 * A linear layer's weight is packed for the product and its source pages are given back; a table of embeddings stays
 * in the mapped file, in the type it has there, since a text touches only a few of its rows. */
#ifndef RUBATO_TENSOR_PARAMETER_H
#define RUBATO_TENSOR_PARAMETER_H

#include "base/arena.h"
#include "base/error.h"
#include "base/threads.h"
#include "kernels/table.h"
#include "tensor/dtype.h"

/* A matrix or vector on disk: [rows, columns], row-major; borrowed. */
typedef struct source {
    const char *name; /* for messages */
    dtype type;
    const unsigned char *data;
    size_t rows, columns;
} source;

/* y = x W^T + b, W [out, in]. */
typedef struct linear {
    float *packed; /* NULL: there is no such layer */
    float *bias;   /* [out] or NULL */
    size_t in, out;
} linear;

typedef struct norm {
    float *gamma, *beta; /* [width]; gamma NULL: there is no such layer */
    size_t width;
    float epsilon;
} norm;

/* Rows to look up. */
typedef struct table {
    dtype type;
    const unsigned char *data; /* NULL: there is no such table */
    size_t rows, width;
} table;

/* What loading needs: packed weights and vectors live in `memory`, which outlives the layers; `crew` packs. */
typedef struct packer {
    arena *memory;
    team *crew;
    const kernel_table *kernels;
} packer;

/* Packs weights stacked on top of each other (query, key and value are one product) with their biases, NULL where a
 * layer has none. All weights have the same number of columns. Fails: BAD_MODEL for NaN or infinity. */
rubato_status linear_load(linear *self, const source *weights, const source *biases, size_t count, const packer *with,
                          rubato_error *error);

/* beta may be NULL. */
rubato_status norm_load(norm *self, const source *gamma, const source *beta, float epsilon, const packer *with,
                        rubato_error *error);

void table_load(table *self, const source *from);

/* out [width] = row, or += row. */
void table_copy(const table *self, size_t row, float *out);
void table_add(const table *self, size_t row, float *out);

#endif
