/* Parameters by their stored names, for tests. */
#ifndef RUBATO_TESTS_BOUND_H
#define RUBATO_TESTS_BOUND_H

#include <math.h>
#include <string.h>

#include "task/model.h"

/* The parameter stored under a name, without the encoder's prefix in the body; NULL: there is none. */
static inline const binding *bound_named(const rubato_model *model, const char *name) {
    for (size_t i = 0; i < model->bound.count; i++)
        if (strcmp(model->bound.items[i].name, name) == 0) return &model->bound.items[i];
    return NULL;
}

/* The gradient of an element of a parameter, in the order in which it is stored. */
static inline float bound_gradient(const binding *b, size_t index) {
    size_t row = b->columns ? index / b->columns : 0, column = b->columns ? index % b->columns : index;
    switch (b->kind) {
    case BOUND_WEIGHT: {
        row += b->first;
        return b->linear->learn->weight[(row / PANEL * b->linear->in + column) * PANEL + row % PANEL];
    }
    case BOUND_BIAS: return b->linear->learn->bias[b->first + index];
    case BOUND_GAMMA: return b->norm->learn->gamma[index];
    case BOUND_BETA: return b->norm->learn->beta[index];
    case BOUND_TABLE: return b->table->learn->rows[index];
    case BOUND_BUFFER: break;
    }
    return NAN;
}

#endif
