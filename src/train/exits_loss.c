/* What is learned from what a pass went by: exits, and hidden states of a teacher. */
#include <string.h>

#include "base/checked.h"
#include "train/trainer.h"

void pass_layer(void *user, const run *on, const sight *what) {
    passed_layers *self = user;
    tensor rows = what->rows;
    (void)on;
    if (self->count > POINT_LAYERS) return;
    if (self->on) rows = run_copy(self->on, rows); /* the next layer is computed over this one's memory */
    self->number[self->count] = what->layer;
    self->packed[self->count] = *what->packed;
    self->alive[self->count] = what->alive;
    self->rows[self->count++] = rows;
}

/* Labels of the rows that a layer computed; *labels as it is where none has left. */
static void take_labels(const run *on, const passed_layers *layers, const portion *self, size_t number,
                        int32_t **labels) {
    if (!layers->left_after) return;
    int32_t *mine = run_take(on, self->packed.rows, sizeof *mine);
    for (size_t row = 0; mine && row < self->packed.rows; row++)
        mine[row] = layers->left_after[row] > number ? self->labels[row] : -1;
    *labels = mine;
}

double exits_loss(const trainer *by, const run *on, passed_layers *layers, const portion *self, const reference *follow,
                  const exit_lesson *lesson, double scale) {
    const exits *from = &by->model->exits;
    const head *final = &by->model->heads[engine_main_head(by->model)];
    exit_memory memory = {0};
    double loss = 0, ponder = 0;
    for (size_t i = 0; i < layers->count && !run_failed(on); i++) {
        if (layers->number[i] == 0) continue;
        size_t number = layers->number[i] - 1;
        exit_asked seen = exits_ask_all(from, on, layers->rows[i], &layers->packed[i]);
        exits_remember(from, final, on, number, &seen, &memory);
        if (!from->heads[number].present || from->kind == EXIT_HALTING) continue;
        tensor values = exits_forward(from, final, on, number, &seen, &memory);
        int32_t *labels = self->labels;
        take_labels(on, layers, self, number, &labels);
        double weight = lesson->weights[number];
        if (!run_failed(on) && weight > 0)
            loss += weight * values_loss(by, on, values, self, labels, follow, DIVERGENCE_FROM_FULL, scale * weight);
    }
    if (!run_failed(on) && from->kind == EXIT_HALTING) {
        tensor mean = halting_mean(on, &memory, from->rule.threshold, (float)lesson->ponder, scale, &ponder);
        tensor values = head_forward(final, on, mean, NULL, 0);
        if (!run_failed(on)) {
            loss += values_loss(by, on, values, self, self->labels, follow, DIVERGENCE_FROM_FULL, scale);
            loss += lesson->ponder * ponder;
        }
    }
    return loss;
}

double states_loss(const trainer *by, const run *on, const passed_layers *layers, const point *at, size_t rows,
                   const reference *teacher, double scale) {
    double loss = 0;
    for (size_t i = 0; i < layers->count; i++) {
        tensor x = layers->rows[i];
        bool last = i + 1 == layers->count;
        if (layers->number[i] > 0 && at->merge[layers->number[i] - 1]) break;
        size_t which = last ? by->teacher->body.depth : layers->number[i + 1] - 1;
        double each = scale / (double)size_max(x.rows * x.columns, 1);
        const float *states = teacher->states + which * rows * x.columns;
        loss += loss_match(on, x, states, layers->alive[i], each) * each;
    }
    return loss;
}
