/* What the inputs of one call cost. */
#ifndef RUBATO_TASK_COSTS_H
#define RUBATO_TASK_COSTS_H

#include "rubato.h"

struct rubato_costs {
    size_t count, layers; /* of the model */
    rubato_cost *items;   /* [count] */
    size_t *rows;         /* [count][layers] behind the items' */
};

/* All zero, of the full point; one block for rubato_free. */
rubato_status costs_create(rubato_costs **out, size_t count, size_t layers, rubato_error *error);

/* Adds what a part of an input cost. */
void costs_add(rubato_costs *all, size_t index, const rubato_cost *part);

/* The end of a function that gives costs: a failure gives none. Returns the status. */
rubato_status costs_end(rubato_costs **costs, rubato_status status);

#endif
