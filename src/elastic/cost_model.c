/* Predicting times. */
#include "elastic/cost_model.h"

#include "base/checked.h"
#include "elastic/walk.h"

double cost_curve_at(const cost_curve *self, double x) {
    if (self->count == 0 || x <= 0) return 0;
    if (self->count == 1 || x <= self->x[0]) return self->ms[0];
    size_t i = 1;
    while (i + 1 < self->count && self->x[i] < x) i++;
    double share = (x - self->x[i - 1]) / (self->x[i] - self->x[i - 1]);
    double ms = self->ms[i - 1] + share * (self->ms[i] - self->ms[i - 1]);
    return ms > 0 ? ms : 0;
}

/* Times were measured over all layers, so they are those of the mean layer. */
static layer_sizes sum_sizes(const encoder_shape *shape) {
    layer_sizes sum = {0};
    for (size_t i = 0; i < shape->layers; i++) {
        sum.heads += shape->each[i].heads;
        sum.inner += shape->each[i].inner;
    }
    return sum;
}

static double batch_ms(const cost_parts *parts, const point *at, const encoder_shape *shape, size_t length,
                       size_t count) {
    double ms = cost_curve_at(&parts->outside, (double)(count * length));
    const layer_sizes sum = sum_sizes(shape);
    for (layer_walk now = walk_layers(at, shape, length); walk_next(&now);) {
        double heads = (double)(shape->each[now.layer].heads * shape->layers) / (double)sum.heads;
        double neurons = (double)(shape->each[now.layer].inner * shape->layers) / (double)sum.inner;
        if (at) {
            heads *= (double)at->heads[now.layer];
            neurons *= (double)at->neurons[now.layer];
        }
        double queries = now.alive * ((double)now.rows.queries / (double)now.rows.entering);
        ms +=
            (queries + now.present) / 2 * heads * cost_curve_at(&parts->attention, (double)(count * now.rows.entering));
        ms += queries * heads * cost_curve_at(&parts->heads, (double)now.rows.entering) * (double)count;
        ms += now.alive * neurons * cost_curve_at(&parts->forward, (double)(count * now.rows.leaving));
        const double remembered = !shape->each[now.layer].remembers ? 0
                                  : at ? (double)(at->memory[now.layer] * at->selected[now.layer])
                                       : 1;
        if (remembered > 0)
            ms += now.alive * remembered * cost_curve_at(&parts->memory, (double)(count * now.rows.leaving));
    }
    return ms;
}

/* The batches are those of the engine: all threads together run few rows, and many rows are cut into batches of nearly
 * equal rows, whose number is a multiple of the number of threads. */
double cost_model_ms(const cost_model *self, const point *at, const encoder_shape *shape, size_t length, size_t count) {
    size_t rows = length * count;
    bool low = self->has_low && at && at->low;
    const cost_parts *alone = low ? &self->low_alone : &self->alone;
    const cost_parts *together = low ? &self->low_together : &self->together;
    if (rows == 0) return 0;
    if (self->threads == 1 || count < self->threads || rows < self->least_rows * self->threads) {
        size_t batches = divide_up(rows, self->batch_rows), each = divide_up(count, batches);
        return batch_ms(self->threads == 1 ? alone : together, at, shape, length, each) * (double)count / (double)each;
    }
    size_t batches = round_up(divide_up(rows, self->batch_rows), self->threads);
    size_t each = size_max(divide_up(count, batches), 1);
    double rounds = (double)divide_up(divide_up(count, each), self->threads);
    return rounds * batch_ms(alone, at, shape, length, each);
}
