/* The norm of the gathered gradients, and AdamW (Loshchilov and Hutter 2019). What a step costs depends, for tables, on
 * the rows that it touches, not on the tables' sizes; only decay, and in groups that are not lazy moments, reach
 * others. */
#ifndef RUBATO_TRAIN_OPTIMIZER_H
#define RUBATO_TRAIN_OPTIMIZER_H

#include "train/parameters.h"

/* What the run's options say of every step; groups may differ. */
typedef struct step_rule {
    double rate, decay, warm_up;
    double clip; /* 0: gradients are not cut */
    double beta1, beta2, epsilon;
    rate_schedule *schedule;
} step_rule;

/* Lengths of the gradients of a step. */
typedef struct gradient_norms {
    double whole;            /* of all that are cut together */
    double own[MOST_GROUPS]; /* of groups with a clip of their own; else 0 */
    bool finite;
} gradient_norms;

/* Root of the sum of squares of gathered gradients, in an order that does not depend on threads. Frozen groups count as
 * zero. Fails: OUT_OF_MEMORY. */
rubato_status parameters_norms(parameters *self, gradient_norms *out, team *crew, const kernel_table *kernels,
                               rubato_error *error);

/* Step `number` of `steps`, counted from 0: AdamW on every parameter, zeroing gradients; then what is derived from
 * values is brought up to them. */
void parameters_step(parameters *self, const step_rule *rule, const gradient_norms *norms, size_t number, size_t steps,
                     team *crew, const kernel_table *kernels);

#endif
