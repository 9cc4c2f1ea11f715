/* Operating points. */
#include "elastic/point.h"

#include <math.h>
#include <stdio.h>

point point_full(size_t layers) {
    point full = {.layers = layers, .quality = NAN, .flops_ratio = 1, .ms = NAN};
    snprintf(full.name, sizeof full.name, "full");
    for (size_t i = 0; i < layers && i < POINT_LAYERS; i++)
        full.keep[i] = full.heads[i] = full.neurons[i] = full.alive[i] = full.present[i] = 1;
    return full;
}

bool point_is_full(const point *self) {
    for (size_t i = 0; i < self->layers; i++)
        if (self->skip[i] || self->keep[i] < 1) return false;
    return !self->exit.rule && !point_is_slim(self);
}

size_t point_depth(const point *self) {
    size_t depth = 0;
    for (size_t i = 0; i < self->layers; i++) depth += !self->skip[i];
    return depth;
}

size_t point_rows(const point *self, size_t layer, size_t length, size_t entering) {
    if (self->skip[layer] || self->keep[layer] >= 1) return entering;
    /* the tenth of a thousandth keeps 0.1 * 20 from becoming 3 */
    double wanted = ceil((double)self->keep[layer] * (double)length - 1e-4);
    size_t rows = wanted < 1 ? 1 : (size_t)wanted;
    return rows < entering ? rows : entering;
}

bool point_is_slim(const point *self) {
    for (size_t i = 0; i < self->layers; i++)
        if (!self->skip[i] && (self->heads[i] < 1 || self->neurons[i] < 1)) return true;
    return false;
}

static size_t part_of(float part, size_t whole, size_t step) {
    size_t steps = (size_t)((double)part * (double)whole / (double)step + 0.5);
    size_t count = (steps < 1 ? 1 : steps) * step;
    return part >= 1 || count > whole ? whole : count;
}

size_t point_heads(const point *self, size_t layer, size_t heads) {
    return part_of(self->heads[layer], heads, 1);
}

size_t point_neurons(const point *self, size_t layer, size_t inner) {
    return part_of(self->neurons[layer], inner, NEURON_STEP);
}

double point_flops(const point *self, layer_shape shape, size_t length, double *norms) {
    double d = (double)shape.hidden, flops = 0, elements = 0;
    size_t entering = length;
    for (size_t i = 0; i < self->layers; i++) {
        if (self->skip[i]) continue;
        size_t leaving = point_rows(self, i, length, entering);
        double a = (double)entering, b = (double)leaving, f = (double)point_neurons(self, i, shape.inner);
        double h = d * (double)point_heads(self, i, shape.heads) / (double)shape.heads;
        double alive = (double)self->alive[i], present = self->exit.by_token ? (double)self->present[i] : alive;
        flops += present * 4 * a * d * h + alive * (4 * a * d * h + 4 * a * a * h + 4 * b * d * f);
        elements += (a + b) * d;
        entering = leaving;
    }
    if (norms) *norms = elements;
    return flops;
}
