/* The sizes and parts of an encoder's layers, for counting operations, predicting times and cutting rows. */
#ifndef RUBATO_ELASTIC_SHAPE_H
#define RUBATO_ELASTIC_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "elastic/merge.h"

/* The rows of a sequence in a layer: `entering` rows are keys and values, `queries` rows are queries, and `leaving`
 * rows go on to the feed-forward part. */
typedef struct layer_rows {
    size_t entering, queries, leaving;
} layer_rows;

/* The work of a part of a layer, for one sequence. */
typedef struct part_extent {
    size_t hidden, length; /* the features of a row; the rows of the sequence before any left */
    layer_rows rows;
    size_t units, unit_size;      /* heads that run, and their features; or neurons that run, and 1 */
    float memory_heads, selected; /* parts of a memory's heads and slots that run */
} part_extent;

/* Floating-point operations; a multiply and an add are two. Those for keys are separate, because rows that are no
 * queries any more may stay as keys. */
typedef struct operations {
    double keys;    /* to compute keys and values */
    double queries; /* all other operations */
} operations;

typedef operations count_operations(const void *setting, const part_extent *of);

/* The sizes of one layer, and the functions with which its parts count their operations. */
typedef struct layer_sizes {
    size_t heads, head_size, inner;
    bool remembers; /* it has a memory */
    count_operations *attention, *feeding;
    const void *attention_setting, *feeding_setting; /* settings of the mechanisms; borrowed */
} layer_sizes;

typedef struct encoder_shape {
    size_t hidden, layers;
    const layer_sizes *each; /* [layers] */
    merging merging;         /* how rows merge, in layers where they do */
    uint64_t merges; /* bit i: layer i merges rows at every point; models with more layers than bits have none */
    size_t decoder;  /* the layer before which all rows come back (Funnel-Transformer); 0: there is none */
} encoder_shape;

#endif
