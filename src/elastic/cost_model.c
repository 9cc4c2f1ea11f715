/* Predicting times. */
#include "elastic/cost_model.h"

#include "base/checked.h"

double cost_curve_at(const cost_curve *self, double x) {
    if (self->count == 0 || x <= 0) return 0;
    if (self->count == 1 || x <= self->x[0]) return self->ms[0];
    size_t i = 1;
    while (i + 1 < self->count && self->x[i] < x) i++;
    double share = (x - self->x[i - 1]) / (self->x[i] - self->x[i - 1]);
    double ms = self->ms[i - 1] + share * (self->ms[i] - self->ms[i - 1]);
    return ms > 0 ? ms : 0;
}

static double batch_ms(const cost_parts *parts, const point *at, const layer_shape *shape, size_t length,
                       size_t count) {
    size_t rows = length;
    double ms = cost_curve_at(&parts->outside, (double)(count * length));
    for (size_t i = 0; i < shape->layers; i++) {
        layer_rows now = point_rows(at, shape, i, length, rows);
        rows = now.leaving;
        if (at && at->skip[i]) continue;
        double alive = at ? (double)at->alive[i] : 1, heads = at ? (double)at->heads[i] : 1;
        double present = at && at->exit.by_token ? (double)at->present[i] : alive;
        double asked = (double)now.asking / (double)now.entering;
        ms += (alive * asked + present) / 2 * heads * cost_curve_at(&parts->attention, (double)(count * now.entering));
        ms += alive * asked * heads * cost_curve_at(&parts->heads, (double)now.entering) * (double)count;
        ms += alive * (at ? (double)at->neurons[i] : 1) * cost_curve_at(&parts->forward, (double)(count * now.leaving));
    }
    return ms;
}

/* The batches are those of the engine: all threads together run few rows, and many rows are cut into batches of nearly
 * equal rows, whose number is a multiple of the number of threads. */
double cost_model_ms(const cost_model *self, const point *at, const layer_shape *shape, size_t length, size_t count) {
    size_t rows = length * count;
    bool narrow = self->has_narrow && at && at->narrow;
    const cost_parts *alone = narrow ? &self->narrow_alone : &self->alone;
    const cost_parts *together = narrow ? &self->narrow_together : &self->together;
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
