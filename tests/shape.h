/* Encoder shapes for tests: layers of one kind, with softmax attention and dense feed-forward parts. */
#ifndef RUBATO_TESTS_SHAPE_H
#define RUBATO_TESTS_SHAPE_H

#include "attention/attending.h"
#include "feeding/feeding.h"

/* sizes [layers] is filled in and borrowed. */
static inline encoder_shape shape_of(layer_sizes *sizes, size_t hidden, size_t inner, size_t heads, size_t layers) {
    for (size_t i = 0; i < layers; i++)
        sizes[i] = (layer_sizes){.heads = heads,
                                 .head_size = hidden / heads,
                                 .inner = inner,
                                 .attention = ((const attending *)attending_table.kinds[0])->count,
                                 .feeding = ((const feeding *)feeding_table.kinds[0])->count};
    return (encoder_shape){.hidden = hidden, .layers = layers, .each = sizes};
}

#endif
