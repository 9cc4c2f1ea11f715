/* The parameters of a model that learns: values, gradients and the optimiser's state, in groups.
 *
 * A linear layer's value is the packed form that the product reads, and its gradient and moments have the same form: no
 * step of training converts a weight, except for the transposed copy that backward reads. */
#ifndef RUBATO_TRAIN_PARAMETERS_H
#define RUBATO_TRAIN_PARAMETERS_H

#include "task/model.h"
#include "train/exchange.h"

/* Part of the highest rate that a step takes; warm_up is a part of all steps. */
typedef double rate_schedule(size_t step, size_t steps, double warm_up);

/* Linearly up, then linearly to zero. */
rate_schedule rate_linear;

/* What a set of parameters has in common. All zero: it learns as the run's options say. */
typedef struct parameter_group {
    const char *name;
    bool frozen;             /* does not learn: its gradients are dropped */
    bool lazy;               /* a table's row moves only in steps that touch it; else its moments go on moving it */
    double rate;             /* the highest; 0: the run's */
    double decay;            /* 0: the run's; negative: none */
    double clip;             /* the length that its own gradient is cut to; 0: it is cut together with all others */
    rate_schedule *schedule; /* NULL: the run's */
} parameter_group;

/* The groups of every model, by their index; recipes add others. */
enum { GROUP_BODY, GROUP_HEAD, GROUP_EXITS, MOST_GROUPS = 16 };

/* Several groups: group_bit(GROUP_BODY) | group_bit(GROUP_HEAD). */
typedef uint32_t group_set;

static inline group_set group_bit(size_t group) {
    return (group_set)1 << group;
}

/* A run of floats of one group. */
typedef struct parameter {
    float *value, *gradient, *m, *v;
    size_t count;
    size_t group;
    bool decays;
    const table *rows; /* the table that it is, whose gradient is sparse; NULL: its gradient is dense */
    uint32_t *moving;  /* of a table that is not lazy: the rows that were ever touched, rising; room for all rows */
    size_t moving_count;
    size_t first_sum, sum_count; /* optimizer.c's, among the sums */
} parameter;

typedef struct parameters {
    arena memory;
    precision how;
    parameter *items;
    size_t count, capacity;
    parameter_group groups[MOST_GROUPS];
    size_t group_count;
    linear **linears; /* with a transposed copy */
    size_t linear_count, linear_capacity;
    encoder *body;
    const table *tied; /* the table that the masked-LM decoder is, or NULL */
    linear *decoder;
    double *sums; /* of squares, one a chunk; see optimizer.c */
    size_t chunks;
} parameters;

/* Makes every bound parameter of the model learn. The model must have been loaded for learning. `how` is F32, or BF16:
 * products of all passes in bfloat16, everything else, values, sums and the optimiser, in f32. */
rubato_status parameters_create(parameters *self, rubato_model *model, precision how, team *crew,
                                const kernel_table *kernels, rubato_error *error);
void parameters_destroy(parameters *self);

/* A further group; *group receives its index. Before the first step, as what follows. Fails: UNSUPPORTED beyond
 * MOST_GROUPS. */
rubato_status parameters_add_group(parameters *self, const parameter_group *group, size_t *index, rubato_error *error);

/* `count` further floats that learn without decay; memory from self's arena, values are zero and the caller's to set.
 * *index receives their place among the items. */
rubato_status parameters_add(parameters *self, size_t count, size_t group, size_t *index, rubato_error *error);

/* A linear layer that was not bound to the model, f32; what it has learned is written by its owner. Its memory outlives
 * self. */
rubato_status parameters_add_linear(parameters *self, linear *layer_of, size_t group, rubato_error *error);

/* Brings the gradients of a step together: those of derived forms (a tied decoder, a relative bias by distance) go to
 * what they are made from, tables' touched rows are sorted, and all learning groups' gradients are summed over workers
 * in the order of the items. with NULL: this process works alone. Before the norm and the step. */
rubato_status parameters_gather(parameters *self, const gradient_exchange *with, rubato_error *error);

/* Gradients become zero, whatever they were. */
void parameters_clear(parameters *self);

/* Forgets the moments: a new optimiser. */
void parameters_forget(parameters *self);

/* After values, or moments, were changed from outside: what is derived from them is brought up to them. */
void parameters_refresh(parameters *self, team *crew, const kernel_table *kernels);
void parameters_find_moving(parameters *self);

#endif
