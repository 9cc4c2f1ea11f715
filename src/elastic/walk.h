/* One walk over an encoder's layers for one sequence: the layers that run at a point, with their numbers of rows, heads
 * and neurons. Counting operations, predicting times, the costs of exits and reports all use it.
 *
 *     for (layer_walk at = walk_layers(point, shape, length); walk_next(&at);) sum += f(&at); */
#ifndef RUBATO_ELASTIC_WALK_H
#define RUBATO_ELASTIC_WALK_H

#include "elastic/point.h"

typedef struct layer_walk {
    const point *point; /* NULL: full */
    const encoder_shape *shape;
    size_t length;
    /* About the present layer: */
    size_t layer;
    layer_rows rows;
    size_t heads, neurons; /* that run */
    double alive;          /* the expected part of the sequence's queries that are still there; 1 without exits */
    double present;        /* the same of its keys */
    size_t next;           /* the layer that walk_next looks at next */
} layer_walk;

layer_walk walk_layers(const point *at, const encoder_shape *shape, size_t length);

/* Moves to the next layer that runs; false after the last. */
bool walk_next(layer_walk *self);

/* The layer's operations; the expected value where rows leave early. */
double walk_operations(const layer_walk *self);

#endif
