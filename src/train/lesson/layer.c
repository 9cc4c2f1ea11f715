/* Hidden states of one layer against those of one of the teacher's: the mean of squared differences (Jiao et al. 2020),
 * or of one minus the cosine (Sanh et al. 2019). */
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
    const double each = self->weight * items / (setting->cosine ? rows : rows * (double)x.columns);
    double loss = setting->cosine ? cosine_loss(now->on, x, full->rows, each * now->scale)
                                  : loss_match(now->on, x, full->rows.data, full->rows.stride, NULL, each * now->scale);
    return loss * each;
}

const lesson_kind lesson_layer = {
    .name = "layer", .observes = WATCH_STATE, .compares = WATCH_STATE, .loss = layer_loss};
