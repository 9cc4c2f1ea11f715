/* What an encoder's layers are made of: what counting operations, predicting times and cutting rows need to know. */
#ifndef RUBATO_ELASTIC_SHAPE_H
#define RUBATO_ELASTIC_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "elastic/merge.h"

/* Rows of a sequence in a layer: keys and values are made of those that enter, queries of those that ask, and those
 * that leave the attention go on to the feed-forward part. */
typedef struct layer_rows {
    size_t entering, asking, leaving;
} layer_rows;

/* What a part of a layer works on, for one sequence. */
typedef struct part_extent {
    size_t hidden, length; /* the features of a row; rows that the whole sequence had in the beginning */
    layer_rows rows;
    size_t units, unit_size; /* heads that run and their features; neurons that run, 1 */
} part_extent;

/* Floating-point operations; a multiply and an add are two. Apart, since rows that have left a layer's queries may stay
 * as keys. */
typedef struct operations {
    double keys;    /* to make keys and values */
    double queries; /* all others */
} operations;

typedef operations count_operations(const void *setting, const part_extent *of);

/* One layer's sizes, and how its parts count their operations. */
typedef struct layer_sizes {
    size_t heads, head_size, inner;
    count_operations *attention, *feeding;
    const void *attention_setting, *feeding_setting; /* of the mechanisms; borrowed */
} layer_sizes;

typedef struct encoder_shape {
    size_t hidden, layers;
    const layer_sizes *each; /* [layers] */
    merging how;             /* rows merge, where they do */
    uint64_t merges; /* bit i: layer i merges rows whatever the point; models with more layers than bits have none */
    size_t decoder;  /* the layer before which all rows come back (Funnel-Transformer); 0: there is none */
} encoder_shape;

#endif
