/* The parameters of a model that learns: values, gradients and the optimiser's state, in groups.
 *
 * A linear layer's value is the packed form that the product reads, and its gradient and moments have the same form. A
 * step of training therefore converts no weight, except for the transposed copy that backward reads. */
#ifndef RUBATO_TRAIN_PARAMETERS_H
#define RUBATO_TRAIN_PARAMETERS_H

#include "task/model.h"
#include "train/exchange.h"

/* The part of the highest rate that a step takes. warm_up is a part of all steps. */
typedef double rate_schedule(size_t step, size_t steps, double warm_up);

/* Rises linearly during the warm-up, then falls linearly to zero. */
rate_schedule rate_linear;

/* The highest rate in all steps. */
rate_schedule rate_constant;

/* The rule that a set of parameters has in common. All zero: the parameters learn as the run's options say. */
typedef struct parameter_group {
    const char *name;
    bool frozen;             /* the group does not learn and its gradients are dropped; a phase sets this */
    bool lazy;               /* a row of a table moves only in steps that touch it; else its moments go on moving it */
    double rate;             /* the highest rate; 0: the run's */
    double decay;            /* 0: the run's; negative: none */
    double clip;             /* the length that the group's gradient alone is cut to; 0: it is cut with the others */
    rate_schedule *schedule; /* NULL: the run's */
} parameter_group;

/* The groups that every model has. Recipes add groups of their own. */
enum { GROUP_BODY, GROUP_HEAD, GROUP_EXITS, GROUP_EMBEDDINGS, GROUP_MEMORY, OWN_GROUPS, MOST_GROUPS = 16 };

/* A set of groups: group_bit(GROUP_BODY) | group_bit(GROUP_HEAD). */
typedef uint32_t group_set;

static inline group_set group_bit(size_t group) {
    return (group_set)1 << group;
}

/* An array of floats, all of one group. */
typedef struct parameter {
    float *value, *gradient, *m, *v;
    size_t count;
    size_t group;
    bool decays;       /* by the group's weight decay */
    bool measured;     /* running statistics: the gradient holds sums of what passes measured, times their rows, and at
                          its end the rows; a step moves the values a tenth of the way to the means */
    const table *rows; /* the table whose values these are; its gradient is sparse. NULL: it is dense */
    uint32_t *moving;  /* of a table that is not lazy: the rows that a step ever touched, rising; room for all */
    size_t moving_count;
    size_t first_sum, sum_count; /* where the optimiser keeps the sums of squares */
} parameter;

typedef struct parameters {
    arena memory;
    precision products;
    parameter *items;
    size_t count, capacity;
    parameter_group groups[MOST_GROUPS];
    size_t group_count;
    linear **linears; /* all that have a transposed copy */
    size_t linear_count, linear_capacity;
    encoder *body;
    const table *tied; /* the table that the masked-LM decoder shares, or NULL */
    linear *decoder;
    double *sums; /* sums of squares, one for each chunk; see optimizer.c */
    size_t chunks;
} parameters;

/* Makes every bound parameter of the model learn. The model must have been loaded for learning.
 *   how  F32; or BF16: products of all passes in bfloat16, and values, sums and the optimiser in f32; or INT8: the
 * same, with the encoder's layers forward in int8 */
rubato_status parameters_create(parameters *self, rubato_model *model, precision products, team *crew,
                                const kernel_table *kernels, rubato_error *error);
void parameters_destroy(parameters *self);

/* These four add to a model's own parameters, before the first step and before a checkpoint is read.
 *
 * All parameters of a second model, which learn as the first one's do; but for tables and layers that learn already,
 * because both models share them. Its layers have no mechanism with derived gradients (encoder_collect). The caller
 * brings derived forms up to their values (parameters_refresh). */
rubato_status parameters_add_model(parameters *self, rubato_model *model, rubato_error *error);

/* A further group; *index receives its number. Fails: UNSUPPORTED beyond MOST_GROUPS. */
rubato_status parameters_add_group(parameters *self, const parameter_group *group, size_t *index, rubato_error *error);

/* `count` floats that learn without decay, all zero; *index receives their place among the items. Memory is self's. */
rubato_status parameters_add(parameters *self, size_t count, size_t group, size_t *index, rubato_error *error);

/* A linear layer in f32 that the model does not have, as a learned projection between two models. The layer outlives
 * self. Nothing happens to a layer that learns already. */
rubato_status parameters_add_linear(parameters *self, linear *layer_of, size_t group, rubato_error *error);

/* Prepares layers of another model, in f32, so that gradients pass through them to what is below. They do not learn.
 * Fails: UNSUPPORTED for layers that are in low precision alone. */
rubato_status parameters_pass_through(parameters *self, const encoder *layers, const kernel_table *kernels,
                                      rubato_error *error);

/* Completes the gradients of a step, before their norm and the optimiser's step. Gradients of derived forms (a tied
 * decoder, a relative bias by distance) go to the parameters that these are made from; the touched rows of tables are
 * sorted; and the gradients of all groups that learn are summed over workers, in the order of the items.
 *   with  NULL: this process works alone */
rubato_status parameters_gather(parameters *self, const gradient_exchange *with, rubato_error *error);

/* All gradients become zero. */
void parameters_clear(parameters *self);

/* All moments become zero: a new optimiser. */
void parameters_forget(parameters *self);

/* Brings derived forms up to values that were changed from outside; and the lists of moving rows up to moments. */
void parameters_refresh(parameters *self, team *crew, const kernel_table *kernels);
void parameters_find_moving(parameters *self);

#endif
