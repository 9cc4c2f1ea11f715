/* The norm of the gathered gradients, and AdamW (Loshchilov and Hutter 2019).
 *
 * The cost of a table does not depend on its size. The norm reads the rows that the step touched. The step of a lazy
 * group changes the same rows; in other groups the moments of rows touched before go on moving them, and decay, where
 * there is some, reaches all rows. */
#ifndef RUBATO_TRAIN_OPTIMIZER_H
#define RUBATO_TRAIN_OPTIMIZER_H

#include "train/parameters.h"

/* The run's rule for all steps. Groups may have their own rate, decay, clip and schedule. */
typedef struct step_rule {
    double rate, decay, warm_up;
    double clip; /* 0: gradients are not clipped */
    double beta1, beta2, epsilon;
    rate_schedule *schedule;
} step_rule;

/* Lengths of a step's gradients. */
typedef struct gradient_norms {
    double whole;            /* of all gradients that are cut together */
    double own[MOST_GROUPS]; /* of groups with their own clip; else 0 */
    bool finite;
} gradient_norms;

/* Roots of the sums of squares of gathered gradients, without frozen groups. The order of the sums does not depend on
 * threads. Fails: OUT_OF_MEMORY. */
rubato_status parameters_norms(parameters *self, gradient_norms *out, team *crew, const kernel_table *kernels,
                               rubato_error *error);

/* AdamW on every parameter, which makes gradients zero; then derived forms are brought up to the new values. number
 * counts the steps from 0. */
void parameters_step(parameters *self, const step_rule *rule, const gradient_norms *norms, size_t number, size_t steps,
                     team *crew, const kernel_table *kernels);

#endif
