/* Replaced tokens (Clark et al. 2020): of each row, whether another model put its token there. The binary cross-entropy
 * in the mean of all rows. */
#include "train/trainer.h"

static double replaced_loss(const lesson *self, passing *now) {
    const run *on = now->on;
    const size_t rows = now->out.rows.rows;
    const double weight = self->weight * now->row_scale / now->scale; /* the step's mean is one of rows, not of items */
    float *targets = run_take(on, rows, sizeof *targets);
    const float **each = run_take(on, rows, sizeof *each);
    tensor logits = head_forward(&now->by->model->heads[HEAD_REPLACED], on, now->out.rows, NULL, rows);
    if (run_failed(on)) return 0;
    for (size_t row = 0; row < rows; row++) {
        targets[row] = (float)now->part->labels[row];
        each[row] = &targets[row];
    }
    return weight * loss_labels(on, logits, each, now->scale * weight);
}

const lesson_kind lesson_replaced = {.name = "replaced", .loss = replaced_loss};
