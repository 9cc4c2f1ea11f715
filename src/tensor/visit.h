/* Visiting the linear layers that a text's rows pass through: how smoothing, sorting, rooflines, quantisation and
 * pruning find them without knowing what a layer is made of. */
#ifndef RUBATO_TENSOR_VISIT_H
#define RUBATO_TENSOR_VISIT_H

#include "tensor/run.h"

/* What the outputs or inputs of a linear layer are. Elements of one kind are in the same order in all linear layers of
 * a part, so that whoever reorders or removes some does so in each of them. */
typedef enum linear_axis {
    AXIS_HIDDEN,  /* features of the rows between layers */
    AXIS_HEADS,   /* features of the heads, head by head */
    AXIS_NEURONS, /* of the feed-forward part */
} linear_axis;

typedef struct linear_role {
    const char *name; /* for people: "query, key, value" */
    run_part part;    /* of a profile */
    linear_axis outputs, inputs;
    size_t stacked; /* layers on top of each other in its outputs */
    bool residual;  /* a residual is added to its sum */
} linear_role;

typedef void linear_visitor(void *user, linear *of, const linear_role *role);

#endif
