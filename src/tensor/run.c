/* A forward pass: memory, threads, times, failure. */
#include "tensor/run.h"

#include <string.h>

#include "base/checked.h"
#include "base/clock.h"

double run_begin(const run *self) {
    return self->profile ? clock_ms() : 0;
}

void run_end(const run *self, run_part part, double begin) {
    if (self->profile) self->profile->ms[part] += clock_ms() - begin;
}

void run_fail(const run *self, rubato_status status) {
    if (!run_failed(self)) *self->status = status;
}

rubato_status run_result(const run *self, rubato_error *error) {
    if (*self->status == RUBATO_OUT_OF_MEMORY) return fail_memory(error);
    return run_failed(self) ? fail(error, *self->status, "a forward pass failed") : RUBATO_OK;
}

void *run_take(const run *self, size_t count, size_t size) {
    if (run_failed(self)) return NULL;
    void *taken = arena_take_array(self->memory, count, size);
    if (!taken) run_fail(self, RUBATO_OUT_OF_MEMORY);
    return taken;
}

tensor run_tensor(const run *self, size_t rows, size_t columns) {
    size_t stride = columns % 1024 == 0 ? columns + 16 : columns;
    size_t elements;
    tensor made = {.rows = rows, .columns = columns, .stride = stride};
    if (!checked_multiply(rows, stride, &elements)) {
        run_fail(self, RUBATO_OUT_OF_MEMORY);
        return made;
    }
    made.data = run_take(self, elements, sizeof(float));
    if (!self->tape || !made.data) return made;
    made.grad = run_take(self, elements, sizeof(float));
    if (made.grad)
        memset(made.grad, 0, elements * sizeof(float));
    else
        made.data = NULL;
    return made;
}

tensor run_tensor_half(const run *self, size_t rows, size_t columns) {
    tensor made = {.rows = rows, .columns = columns, .stride = low_stride(words_bf16(columns))};
    size_t words;
    if (checked_multiply(low_room(rows), made.stride, &words))
        made.half = run_take(self, words, sizeof *made.half);
    else
        run_fail(self, RUBATO_OUT_OF_MEMORY);
    return made;
}

tensor run_over(const run *self, tensor x, size_t rows) {
    if (self->tape) return run_tensor(self, rows, x.columns);
    x.rows = rows;
    return x;
}

tensor tensor_columns(tensor x, size_t first, size_t count) {
    if (x.half)
        x.half += first / 2;
    else
        x.data += first;
    if (x.grad) x.grad += first;
    x.columns = count;
    return x;
}

typedef struct sharing {
    run_share *work;
    void *argument;
    size_t count, grain;
} sharing;

static void share(void *argument, size_t member, size_t members) {
    const sharing *s = argument;
    size_t first, last;
    team_share(s->count, s->grain, member, members, &first, &last);
    if (first < last) s->work(s->argument, member, first, last);
}

void run_parallel(const run *self, size_t count, size_t grain, run_share *work, void *argument) {
    if (team_size(self->crew) == 1) {
        if (count) work(argument, 0, 0, count);
        return;
    }
    sharing s = {work, argument, count, grain};
    team_run(self->crew, share, &s);
}
