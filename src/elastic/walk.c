/* Walking over layers. */
#include "elastic/walk.h"

layer_walk walk_layers(const point *at, const encoder_shape *shape, size_t length) {
    return (layer_walk){.point = at, .shape = shape, .length = length, .rows = {length, length, length}};
}

bool walk_next(layer_walk *self) {
    const point *at = self->point;
    while (self->next < self->shape->layers) {
        size_t i = self->next++;
        const layer_sizes *sizes = &self->shape->each[i];
        self->rows = point_rows(at, self->shape, i, self->length, self->rows.leaving);
        if (at && at->skip[i]) continue;
        self->layer = i;
        self->heads = at ? point_heads(at, i, sizes->heads) : sizes->heads;
        self->neurons = at ? point_neurons(at, i, sizes->inner) : sizes->inner;
        self->alive = at ? (double)at->alive[i] : 1;
        self->present = at && at->exit.by_token ? (double)at->present[i] : self->alive;
        return true;
    }
    return false;
}

double walk_operations(const layer_walk *self) {
    const layer_sizes *sizes = &self->shape->each[self->layer];
    part_extent of = {.hidden = self->shape->hidden,
                      .length = self->length,
                      .rows = self->rows,
                      .units = self->heads,
                      .unit_size = sizes->head_size};
    operations attention = sizes->attention(sizes->attention_setting, &of);
    of.units = self->neurons;
    of.unit_size = 1;
    of.memory_heads = self->point ? self->point->memory[self->layer] : 1;
    of.selected = self->point ? self->point->selected[self->layer] : 1;
    operations feeding = sizes->feeding(sizes->feeding_setting, &of);
    return self->present * (attention.keys + feeding.keys) + self->alive * (attention.queries + feeding.queries);
}
