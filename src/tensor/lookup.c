/* Rows of a table, and the derivative. */
#include "tensor/operations.h"
#include "tensor/tape.h"

typedef struct saved_lookup {
    tensor out;
    const table *by;
    const size_t *rows;
} saved_lookup;

typedef struct lookup_task {
    const run *on;
    const saved_lookup *saved;
} lookup_task;

static void look_up_rows(void *argument, size_t member, size_t first, size_t last) {
    const saved_lookup *s = argument;
    (void)member;
    for (size_t i = first; i < last; i++) table_copy(s->by, s->rows[i], tensor_row(s->out, i));
}

/* In order and divided by columns, because a row of the table may be looked up several times. */
static void add_columns(void *argument, size_t member, size_t first, size_t last) {
    const lookup_task *task = argument;
    const saved_lookup *s = task->saved;
    (void)member;
    for (size_t i = 0; i < s->out.rows; i++)
        task->on->kernels->gradient->add(s->by->learn->rows + s->rows[i] * s->by->width + first,
                                         tensor_grad(s->out, i) + first, last - first);
}

static void lookup_backward(const run *on, void *saved) {
    lookup_task task = {on, saved};
    const saved_lookup *s = saved;
    if (!s->by->learn || !s->by->learn->rows) return;
    for (size_t i = 0; i < s->out.rows; i++) table_touch(s->by->learn, s->rows[i]);
    run_parallel(on, s->by->width, 16, add_columns, &task);
}

tensor run_lookup(const run *self, const table *by, const size_t *rows, size_t count) {
    saved_lookup work = {run_tensor(self, count, by->width), by, rows};
    if (run_failed(self)) return work.out;
    run_parallel(self, count, 16, look_up_rows, &work);
    if (!self->tape) return work.out;
    saved_lookup *saved = tape_push(self, lookup_backward, sizeof *saved);
    if (saved) *saved = work;
    return work.out;
}
