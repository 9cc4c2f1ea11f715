/* One walk over an encoder's layers for one sequence: which layers run at a point, on how many rows, with how many
 * heads and neurons. Counting operations, predicting times, exits' costs and reports all walk this way.
 *
 *     for (layer_walk at = walk_layers(point, shape, length); walk_next(&at);) sum += f(&at); */
#ifndef RUBATO_ELASTIC_WALK_H
#define RUBATO_ELASTIC_WALK_H

#include "elastic/point.h"

typedef struct layer_walk {
    const point *point; /* NULL: full */
    const encoder_shape *shape;
    size_t length;
    /* Of the layer where the walk stands: */
    size_t layer;
    layer_rows rows;
    size_t heads, neurons; /* that run */
    double alive;          /* the expected part of the sequence's queries that is still there; 1 without exits */
    double present;        /* the same of its keys */
    size_t next;           /* the layer to look at next */
} layer_walk;

layer_walk walk_layers(const point *at, const encoder_shape *shape, size_t length);

/* Goes to the next layer that runs; false after the last. */
bool walk_next(layer_walk *self);

/* The layer's operations, expected where rows leave early. */
double walk_operations(const layer_walk *self);

#endif
