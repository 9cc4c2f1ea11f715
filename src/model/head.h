/* Heads: they compute scores from hidden states. rows -> (dense -> activation -> down, + rows -> norm) -> out. */
#ifndef RUBATO_MODEL_HEAD_H
#define RUBATO_MODEL_HEAD_H

#include "model/encoder.h"
#include "model/pooling_attention.h"

typedef struct head {
    bool present;
    head_kind kind;
    linear dense;
    activation act;
    linear down;
    norm norm;
    linear out;
    bool tied;                  /* out's weight is the word embeddings */
    bool mean, last;            /* of sequences: reads the mean of all rows, or the last row; else the first row */
    pooling_attention attended; /* of sequences: reads what it gives; seed.data NULL: it does not */
} head;

/* Loads the head of that kind. `labels` is the number of columns by config.json, 0: any number. Fails as the loader;
 * UNSUPPORTED when the family has no such head. */
rubato_status head_load(head *self, loader *load, const family *of, const encoder *body, head_kind kind, size_t labels);

/* The name of that head's last layer; NULL: the family has no such head. */
const char *head_out_name(const family *of, head_kind kind);

/* What the last layer reads, of the rows: [rows, out.in]. */
tensor head_states(const head *self, const run *on, tensor x);

/* [count, columns] for the given rows of x; rows NULL: all of x. */
tensor head_forward(const head *self, const run *on, tensor x, const size_t *rows, size_t count);

/* Whether it reads a row that is made of all rows of a sequence; and these rows, [sequences, width]. */
bool head_pools(const head *self);
tensor head_pooled(const head *self, const run *on, tensor x, const batch *packed);

/* [sequences, columns]: of the first or last row of every sequence, or of a row that is made of all. */
tensor head_of_sequences(const head *self, const run *on, tensor x, const batch *packed);

/* Operations for a sequence of that length, of which the head reads `rows` rows. */
double head_flops(const head *self, size_t rows, size_t length);

#endif
