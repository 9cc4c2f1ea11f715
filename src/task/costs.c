/* Costs as callers get them. */
#include "task/costs.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/error.h"

rubato_status costs_create(rubato_costs **out, size_t count, size_t layers, rubato_error *error) {
    rubato_costs *made = calloc(1, sizeof *made + count * (sizeof *made->items + layers * sizeof *made->rows));
    *out = made;
    if (!made) return fail_memory(error);
    made->count = count;
    made->layers = layers;
    made->items = (rubato_cost *)(void *)(made + 1);
    made->rows = (size_t *)(void *)(made->items + count);
    for (size_t i = 0; i < count; i++)
        made->items[i] = (rubato_cost){.point = "full", .flops_ratio = 1, .rows = made->rows + i * layers};
    return RUBATO_OK;
}

void costs_add(rubato_costs *all, size_t index, const rubato_cost *part) {
    rubato_cost *to = &all->items[index];
    size_t *rows = all->rows + index * all->layers;
    to->point = part->point;
    to->flops += part->flops;
    to->full_flops += part->full_flops;
    to->flops_ratio = to->full_flops > 0 ? to->flops / to->full_flops : 1;
    to->layers = size_max(to->layers, part->layers);
    to->tokens += part->tokens;
    to->cut += part->cut;
    to->windows += part->windows;
    to->ms += part->ms;
    for (size_t i = 0; i < part->layers; i++) rows[i] += part->rows[i];
}

rubato_status costs_end(rubato_costs **costs, rubato_status status) {
    if (status == RUBATO_OK || !costs) return status;
    rubato_free(*costs);
    *costs = NULL;
    return status;
}

const rubato_cost *rubato_costs_at(const rubato_costs *costs, size_t index) {
    return &costs->items[index];
}

void rubato_free(void *given) {
    free(given);
}
