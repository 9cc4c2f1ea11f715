/* Hidden states of one layer against those of one of the teacher's: the mean of squared differences (Jiao et al. 2020),
 * of one minus the cosine (Sanh et al. 2019), or MobileBERT's loss of normalised rows and their moments (Sun et al.
 * 2020). */
#include <math.h>

#include "base/checked.h"
#include "tensor/operations.h"
#include "train/trainer.h"

static double cosine_loss(const run *on, tensor own, tensor full, double scale) {
    double sum = 0;
    for (size_t row = 0; row < own.rows; row++) {
        const float *x = tensor_row(own, row), *y = tensor_row(full, row);
        double xx = (double)on->kernels->dot_f32(x, x, own.columns),
               yy = (double)on->kernels->dot_f32(y, y, own.columns);
        double both = sqrt(fmax(xx * yy, 1e-24)), cosine = (double)on->kernels->dot_f32(x, y, own.columns) / both;
        float *grad = tensor_grad(own, row);
        for (size_t j = 0; j < own.columns; j++)
            grad[j] -= (float)(scale * ((double)y[j] / both - cosine * (double)x[j] / fmax(xx, 1e-12)));
        sum += 1 - cosine;
    }
    return sum;
}

typedef struct moments {
    double mean, variance;
} moments;

static moments moments_of(const float *x, size_t count) {
    moments of = {0};
    for (size_t j = 0; j < count; j++) of.mean += (double)x[j];
    of.mean /= (double)count;
    for (size_t j = 0; j < count; j++) of.variance += ((double)x[j] - of.mean) * ((double)x[j] - of.mean);
    of.variance /= (double)count;
    return of;
}

/* With d columns, deviation s, normalised row n and g the gradient of n: n' = (g - mean g - n mean(g n)) / s. */
static double moments_loss(tensor own, tensor full, double scale) {
    static const double NORMALIZED = 100, MEAN = 5000, VARIANCE = 5, EPSILON = 1e-12;
    const size_t d = own.columns;
    double sum = 0;
    for (size_t row = 0; row < own.rows; row++) {
        const float *x = tensor_row(own, row), *y = tensor_row(full, row);
        float *grad = tensor_grad(own, row);
        const moments a = moments_of(x, d), b = moments_of(y, d);
        const double s = sqrt(a.variance + EPSILON), t = sqrt(b.variance + EPSILON);
        double squares = 0, mean_g = 0, mean_gn = 0;
        for (size_t j = 0; j < d; j++) {
            const double n = ((double)x[j] - a.mean) / s, off = n - ((double)y[j] - b.mean) / t;
            squares += off * off;
            mean_g += 2 * off;
            mean_gn += 2 * off * n;
        }
        mean_g /= (double)d;
        mean_gn /= (double)d;
        const double off_mean = a.mean - b.mean, off_variance = a.variance - b.variance;
        const double sign = off_variance > 0 ? 1 : off_variance < 0 ? -1 : 0;
        for (size_t j = 0; j < d; j++) {
            const double n = ((double)x[j] - a.mean) / s, g = 2 * (n - ((double)y[j] - b.mean) / t);
            const double slope = NORMALIZED * (g - mean_g - n * mean_gn) / s + MEAN * 2 * off_mean +
                                 VARIANCE * sign * 2 * ((double)x[j] - a.mean);
            grad[j] += (float)(scale * slope / (double)d);
        }
        sum += NORMALIZED * squares / (double)d + MEAN * off_mean * off_mean + VARIANCE * fabs(off_variance);
    }
    return sum;
}

static double layer_loss(const lesson *self, passing *now) {
    const layer_setting *setting = self->setting;
    const observation *own = observed_at(&now->seen, WATCH_STATE, setting->own);
    const observation *full = observed_at(now->taught, WATCH_STATE, setting->of_teacher);
    if (run_failed(now->on) || !own || !full) return 0;
    tensor x = own->rows;
    if (setting->projection) {
        x = run_tensor(now->on, x.rows, setting->projection->out);
        run_linear(now->on, x, own->rows, setting->projection, ACTIVATION_NONE, NULL);
    }
    if (run_failed(now->on)) return 0;
    /* the mean counts in proportion to the portion's share of the step's items */
    const double items = (double)now->part->items, rows = (double)size_max(x.rows, 1);
    const bool by_row = setting->cosine || setting->moments;
    const double each = self->weight * items / (by_row ? rows : rows * (double)x.columns);
    double loss = setting->cosine ? cosine_loss(now->on, x, full->rows, each * now->scale)
                  : setting->moments
                      ? moments_loss(x, full->rows, each * now->scale)
                      : loss_match(now->on, x, full->rows.data, full->rows.stride, NULL, each * now->scale);
    return loss * each;
}

const lesson_kind lesson_layer = {
    .name = "layer", .observes = WATCH_STATE, .compares = WATCH_STATE, .loss = layer_loss};
