/* What is learned from what a pass went by: exits, and hidden states of a teacher. */
#include <string.h>

#include "base/checked.h"
#include "train/trainer.h"

void pass_layer(void *user, size_t number, tensor rows, const batch *packed, const size_t *alive) {
    passed_layers *self = user;
    if (self->count > POINT_LAYERS) return;
    if (self->on) { /* the next layer is computed over this one's memory */
        rows = run_copy(self->on, rows);
        if (!rows.data) {
            self->failed = true;
            return;
        }
    }
    self->number[self->count] = number;
    self->packed[self->count] = *packed;
    self->alive[self->count] = alive;
    self->rows[self->count++] = rows;
}

/* Labels of the rows that a layer computed; *labels as it is where none has left. */
static bool take_labels(const run *on, const passed_layers *layers, const portion *self, size_t number,
                        int32_t **labels) {
    if (!layers->left_after) return true;
    int32_t *mine = arena_take_array(on->memory, self->packed.rows, sizeof *mine);
    for (size_t row = 0; mine && row < self->packed.rows; row++)
        mine[row] = layers->left_after[row] > number ? self->labels[row] : -1;
    *labels = mine;
    return mine != NULL;
}

double exits_loss(const trainer *by, const run *on, passed_layers *layers, const portion *self, const reference *follow,
                  const exit_lesson *lesson, double scale) {
    const exits *from = &by->model->exits;
    const head *final = &by->model->heads[engine_main_head(by->model)];
    exit_memory memory = {0};
    double loss = 0, ponder = 0;
    bool failed = layers->failed;
    for (size_t i = 0; i < layers->count && !failed; i++) {
        if (layers->number[i] == 0) continue;
        size_t number = layers->number[i] - 1;
        exit_asked seen = exits_ask_all(from, on, layers->rows[i], &layers->packed[i]);
        failed = !seen.rows || !exits_remember(from, final, on, number, &seen, &memory);
        if (failed || !from->heads[number].present || from->kind == EXIT_HALTING) continue;
        tensor values = exits_forward(from, final, on, number, &seen, &memory);
        int32_t *labels = self->labels;
        failed = !values.data || !take_labels(on, layers, self, number, &labels);
        double weight = lesson->weights[number];
        if (!failed && weight > 0)
            loss += weight * values_loss(by, on, values, self, labels, follow, DIVERGENCE_FROM_FULL, scale * weight);
    }
    if (!failed && from->kind == EXIT_HALTING) {
        tensor mean = halting_mean(on, &memory, from->rule.threshold, (float)lesson->ponder, scale, &ponder);
        tensor values = mean.data ? head_forward(final, on, mean, NULL, 0) : mean;
        failed = !values.data;
        if (!failed) {
            loss += values_loss(by, on, values, self, self->labels, follow, DIVERGENCE_FROM_FULL, scale);
            loss += lesson->ponder * ponder;
        }
    }
    if (failed) on->tape->failed = true;
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
