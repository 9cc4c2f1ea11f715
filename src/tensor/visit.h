/* Visiting the linear layers that a text's rows pass through. Smoothing, sorting, rooflines, quantisation and pruning
 * find the linear layers in this way, without knowledge of a layer's parts. */
#ifndef RUBATO_TENSOR_VISIT_H
#define RUBATO_TENSOR_VISIT_H

#include "tensor/run.h"

/* The meaning of the outputs or inputs of a linear layer. Elements of one kind are in the same order in all linear
 * layers of a part, so that reordering or removing some of them must be done in each of these layers. */
typedef enum linear_axis {
    AXIS_HIDDEN,  /* features of the rows between layers */
    AXIS_HEADS,   /* features of the heads, head by head */
    AXIS_NEURONS, /* neurons of the feed-forward part */
} linear_axis;

typedef struct linear_role {
    const char *name; /* for users: "query, key, value" */
    run_part part;    /* the part in a profile */
    linear_axis outputs, inputs;
    size_t stacked; /* the number of layers stacked in its outputs */
    bool residual;  /* a residual is added to the product */
} linear_role;

typedef void linear_visitor(void *user, linear *of, const linear_role *role);

#endif
