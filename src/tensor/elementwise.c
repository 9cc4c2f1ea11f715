/* Elementwise operations and their derivatives: activations, sums, dropout. */
#include <string.h>

#include "tensor/operations.h"
#include "tensor/tape.h"

typedef struct pair_work {
    const run *run;
    tensor out, x;
    activation act;
    uint64_t key;
    float rate;
} pair_work;

static void activate_rows(void *argument, size_t member, size_t first, size_t last) {
    const pair_work *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++) {
        memcpy(tensor_row(work->out, row), tensor_row(work->x, row), work->x.columns * sizeof(float));
        work->run->kernels->activate_f32(tensor_row(work->out, row), work->x.columns, work->act);
    }
}

static void add_rows(void *argument, size_t member, size_t first, size_t last) {
    const pair_work *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++)
        work->run->kernels->gradient->add(tensor_row(work->out, row), tensor_row(work->x, row), work->x.columns);
}

static void dropout_rows(void *argument, size_t member, size_t first, size_t last) {
    const pair_work *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++)
        work->run->kernels->gradient->dropout(tensor_row(work->x, row), work->x.columns, work->key,
                                              (uint32_t)(row * work->x.columns), dropout_threshold(work->rate),
                                              1.0f / (1.0f - work->rate));
}

static void drop_elements(const run *self, tensor x, uint64_t key, float rate) {
    pair_work work = {.run = self, .x = x, .key = key, .rate = rate};
    run_parallel(self, x.rows, 16, dropout_rows, &work);
}

static void add_elements(const run *self, tensor out, tensor x) {
    pair_work work = {.run = self, .out = out, .x = x};
    run_parallel(self, x.rows, 16, add_rows, &work);
}

static void activation_slopes(void *argument, size_t member, size_t first, size_t last) {
    const pair_work *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++)
        work->run->kernels->gradient->activate_backward(tensor_grad(work->x, row), tensor_grad(work->out, row),
                                                        tensor_row(work->x, row), work->x.columns, work->act);
}

static void activation_backward(const run *on, void *saved) {
    pair_work *work = saved;
    work->run = on;
    run_parallel(on, work->x.rows, 16, activation_slopes, work);
}

/* The gradient of a tensor, as a tensor. */
static tensor gradient_of(tensor x) {
    x.data = x.grad;
    return x;
}

static void add_backward(const run *on, void *saved) {
    const pair_work *s = saved;
    add_elements(on, gradient_of(s->x), gradient_of(s->out));
}

static void dropout_backward(const run *on, void *saved) {
    const pair_work *s = saved;
    drop_elements(on, gradient_of(s->x), s->key, s->rate);
}

static void push_pair(const run *self, tape_backward_function *backward, pair_work values) {
    pair_work *saved = tape_push(self, backward, sizeof *saved);
    if (saved) *saved = values;
}

void run_activation(const run *self, tensor out, tensor x, activation act) {
    if (run_failed(self)) return;
    pair_work work = {.run = self, .out = out, .x = x, .act = act};
    run_parallel(self, out.rows, 16, activate_rows, &work);
    if (self->tape) push_pair(self, activation_backward, work);
}

void run_add(const run *self, tensor x, tensor y) {
    if (run_failed(self)) return;
    add_elements(self, x, y);
    if (self->tape) push_pair(self, add_backward, (pair_work){.out = x, .x = y});
}

typedef struct product_work {
    tensor out, a, b;
} product_work;

static void multiply_rows(void *argument, size_t member, size_t first, size_t last) {
    const product_work *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++) {
        const float *a = tensor_row(work->a, row), *b = tensor_row(work->b, row);
        float *out = tensor_row(work->out, row);
        for (size_t j = 0; j < work->out.columns; j++) out[j] = a[j] * b[j];
    }
}

static void multiply_slopes(void *argument, size_t member, size_t first, size_t last) {
    const product_work *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++) {
        const float *a = tensor_row(work->a, row), *b = tensor_row(work->b, row), *d = tensor_grad(work->out, row);
        float *da = tensor_grad(work->a, row), *db = tensor_grad(work->b, row);
        for (size_t j = 0; j < work->out.columns; j++) {
            da[j] += d[j] * b[j];
            db[j] += d[j] * a[j];
        }
    }
}

static void multiply_backward(const run *on, void *saved) {
    product_work *work = saved;
    run_parallel(on, work->out.rows, 16, multiply_slopes, work);
}

void run_multiply(const run *self, tensor out, tensor a, tensor b) {
    product_work work = {out, a, b};
    if (run_failed(self)) return;
    run_parallel(self, out.rows, 16, multiply_rows, &work);
    product_work *saved = self->tape ? tape_push(self, multiply_backward, sizeof *saved) : NULL;
    if (saved) *saved = work;
}

void run_dropout(const run *self, tensor x, float rate) {
    if (!self->tape || !(rate > 0) || run_failed(self)) return;
    uint64_t key = tape_mask(self->tape);
    drop_elements(self, x, key, rate);
    push_pair(self, dropout_backward, (pair_work){.x = x, .key = key, .rate = rate});
}
