/* An operating point: the part of a model that runs, and the number of rows that each layer passes on. Training samples
 * points, search finds them, and serving chooses among them; all three use this type.
 *
 * Rows are kept as a part of a sequence's own length. A text then keeps the same rows alone and in any batch, and there
 * is no padding to count (the papers count rows of a padded batch). */
#ifndef RUBATO_ELASTIC_POINT_H
#define RUBATO_ELASTIC_POINT_H

#include "elastic/exit.h"
#include "elastic/shape.h"

enum { POINT_LAYERS = 64, POINT_NAME = 32, NEURON_STEP = 32 };

typedef struct point {
    char name[POINT_NAME];
    size_t layers;                /* of the model; at most POINT_LAYERS */
    bool skip[POINT_LAYERS];      /* the layer does not run */
    float keep[POINT_LAYERS];     /* rows that layer i passes on, as a part of the sequence's length; 1: all */
    bool merge[POINT_LAYERS];     /* neighbouring rows are averaged into one query and go on as one row; `keep` does not
                                     count then */
    float heads[POINT_LAYERS];    /* the part of the layer's heads that run, always the first ones; 1: all */
    float neurons[POINT_LAYERS];  /* the same of the feed-forward part's neurons */
    float memory[POINT_LAYERS];   /* the part of the heads of the layer's memory that run, always the first ones; 0:
                                     the memory is left out; 1: all */
    float selected[POINT_LAYERS]; /* the part of the slots that each of these heads reads; 1: all */
    exit_setting exit;
    float alive[POINT_LAYERS];   /* with exits: the part of texts or tokens that still run in layer i */
    float present[POINT_LAYERS]; /* where tokens leave: the part that are still keys and values in layer i */
    bool low;                    /* products in the low precision of a model with two */
    double quality;              /* measured by search on held-out data; NaN while unknown */
    double quality_error;        /* its standard error; NaN while unknown */
    double flops_ratio;          /* operations, as a part of the full model's, over the same data */
    double flops_error;          /* its standard error, which exits cause; 0 where operations are certain */
    double ms;                   /* measured, for one text at a time; NaN while unknown */
} point;

/* Every layer and every row, in f32 for a model with two precisions. */
point point_full(size_t layers);

/* Whether every layer, row and neuron runs, no row merges by the point's wish, and no subject leaves early; in either
 * precision. */
bool point_is_full(const point *self);

/* The number of layers that run. */
size_t point_depth(const point *self);

/* Heads and neurons that run in a layer: rounded to whole heads and to multiples of NEURON_STEP neurons; at least one
 * head, one step. */
size_t point_part(float part, size_t whole, size_t step); /* of any whole, in steps; at least one step */
size_t point_heads(const point *self, size_t layer, size_t heads);
size_t point_neurons(const point *self, size_t layer, size_t inner);

/* Whether a layer that runs has less of a memory than the model's. */
bool point_forgets(const point *self);

/* Whether a layer that runs has fewer heads or neurons than the model's. */
bool point_is_narrow(const point *self);

/* Whether a layer's rows merge, by the model's shape or by the point (NULL: full). */
bool point_merges(const point *self, const encoder_shape *shape, size_t layer);

/* Lets rows merge in `count` layers, evenly spread, as in a Funnel-Transformer of equal blocks; count < layers. */
void point_merge_evenly(point *self, size_t count);

/* The rows in a layer, for a sequence of `length` rows of which the previous layers left `rows`. keep * length
 * rounded up leave, at least one and at most as many as enter. A layer that does not run passes all rows on. point
 * NULL: full. */
layer_rows point_rows(const point *self, const encoder_shape *shape, size_t layer, size_t length, size_t rows);

/* The floating-point operations (a multiply and an add are two) of all layers for one sequence, as the layers' parts
 * count them. With exits the result is the expected value, by the part of texts that is alive in each layer. Where
 * tokens leave, keys and values count for the tokens that are present, and the rest for those that are alive. norms,
 * when not NULL, receives the number of elements in layer normalisation: (queries + rows that leave) * hidden for each
 * layer. Half of the operations plus those is the number of multiply-accumulates as the Length-Adaptive Transformer's
 * authors count them. */
double point_flops(const point *self, const encoder_shape *shape, size_t length, double *norms);

#endif
