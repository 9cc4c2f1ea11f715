/* Operating points. */
#include "elastic/point.h"

#include <math.h>
#include <stdio.h>

#include "elastic/walk.h"

point point_full(size_t layers) {
    point full = {.layers = layers, .quality = NAN, .quality_error = NAN, .flops_ratio = 1, .ms = NAN};
    snprintf(full.name, sizeof full.name, "full");
    for (size_t i = 0; i < layers && i < POINT_LAYERS; i++)
        full.keep[i] = full.heads[i] = full.neurons[i] = full.memory[i] = full.selected[i] = full.alive[i] =
            full.present[i] = 1;
    return full;
}

bool point_is_full(const point *self) {
    for (size_t i = 0; i < self->layers; i++)
        if (self->skip[i] || self->merge[i] || self->keep[i] < 1) return false;
    return !self->exit.rule && !point_is_narrow(self) && !point_forgets(self);
}

bool point_forgets(const point *self) {
    for (size_t i = 0; i < self->layers; i++)
        if (!self->skip[i] && (self->memory[i] < 1 || self->selected[i] < 1)) return true;
    return false;
}

size_t point_depth(const point *self) {
    size_t depth = 0;
    for (size_t i = 0; i < self->layers; i++) depth += !self->skip[i];
    return depth;
}

bool point_merges(const point *self, const encoder_shape *shape, size_t layer) {
    return (layer < 64 && shape->merges >> layer & 1) || (self && self->merge[layer]);
}

void point_merge_evenly(point *self, size_t count) {
    for (size_t i = 1; i <= count; i++) self->merge[self->layers * i / (count + 1)] = true;
}

layer_rows point_rows(const point *self, const encoder_shape *shape, size_t layer, size_t length, size_t rows) {
    if (shape->decoder && layer == shape->decoder) rows = length;
    layer_rows all = {rows, rows, rows};
    if (self && self->skip[layer]) return all;
    if (point_merges(self, shape, layer)) {
        all.queries = all.leaving = merged_rows(&shape->merging, rows);
        return all;
    }
    if (!self || self->keep[layer] >= 1) return all;
    /* 1e-4 is subtracted so that 0.1 * 20 does not become 3 */
    double wanted = ceil((double)self->keep[layer] * (double)length - 1e-4);
    size_t kept = wanted < 1 ? 1 : (size_t)wanted;
    all.leaving = kept < rows ? kept : rows;
    return all;
}

bool point_is_narrow(const point *self) {
    for (size_t i = 0; i < self->layers; i++)
        if (!self->skip[i] && (self->heads[i] < 1 || self->neurons[i] < 1)) return true;
    return false;
}

size_t point_part(float part, size_t whole, size_t step) {
    size_t steps = (size_t)((double)part * (double)whole / (double)step + 0.5);
    size_t count = (steps < 1 ? 1 : steps) * step;
    return part >= 1 || count > whole ? whole : count;
}

size_t point_heads(const point *self, size_t layer, size_t heads) {
    return point_part(self->heads[layer], heads, 1);
}

size_t point_neurons(const point *self, size_t layer, size_t inner) {
    return point_part(self->neurons[layer], inner, NEURON_STEP);
}

double point_flops(const point *self, const encoder_shape *shape, size_t length, double *norms) {
    double flops = 0, elements = 0;
    for (layer_walk at = walk_layers(self, shape, length); walk_next(&at);) {
        flops += walk_operations(&at);
        elements += (double)(at.rows.queries + at.rows.leaving) * (double)shape->hidden;
    }
    if (norms) *norms = elements;
    return flops;
}
