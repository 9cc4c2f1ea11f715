/* The times of operations on this machine, as `calibrate` measured them: the milliseconds of a layer's parts as
 * functions of the number of rows and of the length. From these follows the time of any operating point, length and
 * batch. */
#ifndef RUBATO_ELASTIC_COST_MODEL_H
#define RUBATO_ELASTIC_COST_MODEL_H

#include "elastic/point.h"

enum { COST_SAMPLES = 32 };

/* A piecewise linear function through measured samples. Beyond the last sample it continues the line through the last
 * two. */
typedef struct cost_curve {
    size_t count;
    double x[COST_SAMPLES], ms[COST_SAMPLES];
} cost_curve;

double cost_curve_at(const cost_curve *self, double x);

/* One way of running: one thread alone, or all threads together. */
typedef struct cost_parts {
    cost_curve attention; /* projections and normalisation, by rows entering a layer */
    cost_curve forward;   /* feed-forward part, by rows leaving its attention */
    cost_curve memory;  /* the memory of a layer that has one, by rows leaving its attention: queries, keys and the rows
                           that are read from the table */
    cost_curve heads;   /* attention itself for one sequence, by its length */
    cost_curve outside; /* embeddings and task head, by rows */
} cost_parts;

typedef struct cost_model {
    size_t threads, batch_rows, least_rows; /* how the engine cuts batches */
    cost_parts alone, together;
    bool has_low; /* the model has two precisions; the parts below are for the low one */
    cost_parts low_alone, low_together;
} cost_model;

/* Milliseconds for `count` sequences of `length` tokens at a point (NULL: full). */
double cost_model_ms(const cost_model *self, const point *at, const encoder_shape *shape, size_t length, size_t count);

#endif
