/* The parameters of a model that learns: values, gradients and the optimiser's state.
 *
 * A linear layer's value is the packed form that the product reads, and its gradient and moments have the same form: no
 * step of training converts a weight, except for the transposed copy that backward reads. */
#ifndef RUBATO_TRAIN_PARAMETERS_H
#define RUBATO_TRAIN_PARAMETERS_H

#include "task/model.h"

/* A run of floats with one rule. */
typedef struct parameter {
    float *value, *gradient, *m, *v;
    size_t count;
    bool decays;
    bool exit;         /* belongs to an exit */
    const table *rows; /* NULL, or the table whose untouched rows need no step */
} parameter;

typedef struct parameters {
    arena memory;
    precision how;
    parameter *items;
    size_t count, capacity;
    linear **linears; /* with a transposed copy */
    size_t linear_count, linear_capacity;
    encoder *body;
    const table *tied; /* the table that the masked-LM decoder is, or NULL */
    linear *decoder;
    bool exits;   /* what is added now belongs to exits */
    bool frozen;  /* only exits learn */
    double *sums; /* of squares, one a chunk */
    size_t chunks;
} parameters;

/* Makes every bound parameter of the model learn. `extra` further floats with values of their own may be added by
 * parameters_add before the first step. The model must have been loaded for learning. `how` is F32, or BF16: products
 * of all passes in bfloat16, everything else, values, sums and the optimiser, in f32. */
rubato_status parameters_create(parameters *self, rubato_model *model, precision how, team *crew,
                                const kernel_table *kernels, rubato_error *error);
void parameters_destroy(parameters *self);

/* A further run of `count` floats that learns without decay; memory from self's arena, values are the caller's to set.
 * Returns the index of the parameter, or SIZE_MAX. */
size_t parameters_add(parameters *self, size_t count);

/* Root of the sum of squares of all gradients. */
double parameters_gradient_norm(parameters *self, team *crew, const kernel_table *kernels);

/* What one step does; see adam_step. number counts steps from 1. */
typedef struct step_rule {
    double rate, decay, beta1, beta2, epsilon, gradient_scale;
    size_t number;
} step_rule;

/* AdamW on every parameter, zeroing gradients; then what is derived from values is brought up to them. */
void parameters_step(parameters *self, const step_rule *rule, team *crew, const kernel_table *kernels);

/* Forgets the moments: a new optimiser. */
void parameters_forget(parameters *self);

/* Derived forms after values were changed from outside (a checkpoint was read). */
void parameters_refresh(parameters *self, team *crew, const kernel_table *kernels);

#endif
