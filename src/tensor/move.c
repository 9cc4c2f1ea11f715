/* Copying rows to other places, and the derivative. */
#include <string.h>

#include "tensor/operations.h"
#include "tensor/tape.h"

typedef struct saved_move {
    tensor out, x;
    const size_t *to, *from;
    size_t count;
} saved_move;

typedef struct move_task {
    const run *on;
    const saved_move *saved;
} move_task;

/* In order and divided by columns, because a row may be the source of several. */
static void move_columns(void *argument, size_t member, size_t first, size_t last) {
    const move_task *task = argument;
    const saved_move *s = task->saved;
    (void)member;
    for (size_t i = 0; i < s->count; i++)
        task->on->kernels->gradient->add(tensor_grad(s->x, s->from ? s->from[i] : i) + first,
                                         tensor_grad(s->out, s->to ? s->to[i] : i) + first, last - first);
}

static void move_backward(const run *on, void *saved) {
    move_task task = {on, saved};
    run_parallel(on, task.saved->x.columns, 16, move_columns, &task);
}

tensor run_copy(const run *self, tensor x) {
    tensor copy = run_tensor(self, x.rows, x.columns);
    for (size_t row = 0; copy.data && row < x.rows; row++)
        memcpy(tensor_row(copy, row), tensor_row(x, row), x.columns * sizeof(float));
    return copy;
}

void run_scatter(const run *self, tensor out, const size_t *to, tensor x, const size_t *from, size_t count) {
    if (run_failed(self)) return;
    for (size_t i = 0; i < count; i++)
        memcpy(tensor_row(out, to ? to[i] : i), tensor_row(x, from ? from[i] : i), x.columns * sizeof(float));
    if (!self->tape) return;
    saved_move *saved = tape_push(self, move_backward, sizeof *saved);
    if (saved) *saved = (saved_move){out, x, to, from, count};
}

tensor run_gather(const run *self, tensor x, const size_t *rows, size_t count) {
    tensor out = run_tensor(self, count, x.columns);
    run_scatter(self, out, NULL, x, rows, count);
    return out;
}
