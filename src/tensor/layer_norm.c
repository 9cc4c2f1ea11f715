/* Layer normalisation (Ba et al. 2016), and its derivative. */
#include "tensor/operations.h"
#include "tensor/tape.h"

typedef struct norm_work {
    const kernel_table *kernels;
    tensor out, x;
    const norm *layer;
} norm_work;

static void norm_rows(void *argument, size_t member, size_t first, size_t last) {
    const norm_work *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++)
        work->kernels->layer_norm_f32(work->out.data + row * work->out.stride, work->x.data + row * work->x.stride,
                                      work->layer->gamma, work->layer->beta, work->layer->epsilon, work->x.columns);
}

static void scale_rows(void *argument, size_t member, size_t first, size_t last) {
    const norm_work *work = argument;
    const float *gamma = work->layer->gamma, *beta = work->layer->beta;
    (void)member;
    for (size_t row = first; row < last; row++) {
        float *out = tensor_row(work->out, row);
        const float *x = tensor_row(work->x, row);
        for (size_t j = 0; j < work->x.columns; j++) out[j] = gamma[j] * x[j] + (beta ? beta[j] : 0);
    }
}

typedef struct saved_norm {
    tensor out, x;
    const norm *layer;
} saved_norm;

static void scale_backward(const run *on, void *saved) {
    const saved_norm *s = saved;
    const norm_learning *learn = s->layer->learn;
    (void)on;
    for (size_t row = 0; row < s->x.rows; row++) {
        const float *grad = tensor_grad(s->out, row), *x = tensor_row(s->x, row);
        float *to = tensor_grad(s->x, row);
        for (size_t j = 0; j < s->x.columns; j++) to[j] += s->layer->gamma[j] * grad[j];
        for (size_t j = 0; learn->gamma && j < s->x.columns; j++) learn->gamma[j] += grad[j] * x[j];
        for (size_t j = 0; learn->beta && j < s->x.columns; j++) learn->beta[j] += grad[j];
    }
}

typedef struct norm_task {
    const run *on;
    const saved_norm *saved;
    float (*statistics)[2];
} norm_task;

static void norm_input_rows(void *argument, size_t member, size_t first, size_t last) {
    const norm_task *task = argument;
    const saved_norm *s = task->saved;
    (void)member;
    for (size_t row = first; row < last; row++)
        task->on->kernels->gradient->layer_norm_backward(tensor_grad(s->x, row), tensor_grad(s->out, row),
                                                         tensor_row(s->x, row), s->layer->gamma, s->layer->epsilon,
                                                         s->x.columns, task->statistics[row]);
}

static void norm_parameter_columns(void *argument, size_t member, size_t first, size_t last) {
    const norm_task *task = argument;
    const saved_norm *s = task->saved;
    (void)member;
    float *beta = s->layer->beta ? s->layer->learn->beta + first : NULL;
    for (size_t row = 0; row < s->x.rows; row++)
        task->on->kernels->gradient->norm_parameters_backward(
            s->layer->learn->gamma + first, beta, tensor_grad(s->out, row) + first, tensor_row(s->x, row) + first,
            task->statistics[row], last - first);
}

static void norm_backward(const run *on, void *saved) {
    const saved_norm *s = saved;
    norm_task task = {on, s, run_take(on, s->x.rows, sizeof *task.statistics)};
    if (!task.statistics) return;
    run_parallel(on, s->x.rows, 16, norm_input_rows, &task);
    if (s->layer->learn->gamma) run_parallel(on, s->x.columns, 16, norm_parameter_columns, &task);
}

void run_layer_norm(const run *self, tensor out, tensor x, const norm *layer) {
    if (run_failed(self)) return;
    norm_work work = {self->kernels, out, x, layer};
    run_share *const rows = layer->plain ? scale_rows : norm_rows;
    if (x.rows < 64) /* faster than waking the other threads */
        rows(&work, 0, 0, x.rows);
    else
        run_parallel(self, x.rows, 1, rows, &work);
    if (!self->tape) return;
    saved_norm *saved = tape_push(self, layer->plain ? scale_backward : norm_backward, sizeof *saved);
    if (saved) *saved = (saved_norm){out, x, layer};
}

tensor run_normalised(const run *self, tensor x, const norm *layer) {
    tensor out = run_tensor(self, x.rows, x.columns);
    run_layer_norm(self, out, x, layer);
    return out;
}
