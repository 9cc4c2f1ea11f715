/* Batch normalisation (Ioffe and Szegedy 2015), and its derivative. In training every column is normalised over the
 * rows of the pass; there is no row of padding among them. Otherwise the running statistics are taken, so that the
 * result of a row does not depend on other rows. */
#include <math.h>

#include "tensor/operations.h"
#include "tensor/tape.h"

typedef struct saved_batch {
    tensor out, x;
    const batch_norm *layer;
    double *mean, *variance; /* [columns] of the pass */
    float *inverse;          /* [columns]: 1 / deviation */
} saved_batch;

static void scale_rows(void *argument, size_t member, size_t first, size_t last) {
    const saved_batch *s = argument;
    const norm *scale = &s->layer->scale;
    (void)member;
    for (size_t row = first; row < last; row++) {
        const float *x = tensor_row(s->x, row);
        float *out = tensor_row(s->out, row);
        for (size_t j = 0; j < s->x.columns; j++)
            out[j] = (x[j] - (float)s->mean[j]) * s->inverse[j] * scale->gamma[j] + scale->beta[j];
    }
}

/* Divided by columns: every sum runs over the rows in order. */
static void measure_columns(void *argument, size_t member, size_t first, size_t last) {
    const saved_batch *s = argument;
    const double rows = (double)s->x.rows;
    (void)member;
    for (size_t j = first; j < last; j++) s->mean[j] = s->variance[j] = 0;
    for (size_t row = 0; row < s->x.rows; row++)
        for (size_t j = first; j < last; j++) s->mean[j] += (double)tensor_row(s->x, row)[j];
    for (size_t j = first; j < last; j++) s->mean[j] /= rows;
    for (size_t row = 0; row < s->x.rows; row++)
        for (size_t j = first; j < last; j++) {
            const double distance = (double)tensor_row(s->x, row)[j] - s->mean[j];
            s->variance[j] += distance * distance;
        }
    for (size_t j = first; j < last; j++) s->variance[j] /= rows;
}

typedef struct batch_task {
    const saved_batch *saved;
    double *along, *direct; /* [columns]: sums of dy x^ and of dy */
} batch_task;

static void gradient_columns(void *argument, size_t member, size_t first, size_t last) {
    const batch_task *task = argument;
    const saved_batch *s = task->saved;
    const norm *scale = &s->layer->scale;
    (void)member;
    for (size_t j = first; j < last; j++) task->along[j] = task->direct[j] = 0;
    for (size_t row = 0; row < s->x.rows; row++)
        for (size_t j = first; j < last; j++) {
            const double dy = (double)tensor_grad(s->out, row)[j];
            task->along[j] += dy * ((double)tensor_row(s->x, row)[j] - s->mean[j]) * (double)s->inverse[j];
            task->direct[j] += dy;
        }
    for (size_t j = first; scale->learn && scale->learn->gamma && j < last; j++) {
        scale->learn->gamma[j] += (float)task->along[j];
        scale->learn->beta[j] += (float)task->direct[j];
    }
}

static void gradient_rows(void *argument, size_t member, size_t first, size_t last) {
    const batch_task *task = argument;
    const saved_batch *s = task->saved;
    const double rows = (double)s->x.rows;
    (void)member;
    for (size_t row = first; row < last; row++) {
        const float *x = tensor_row(s->x, row), *dy = tensor_grad(s->out, row);
        float *dx = tensor_grad(s->x, row);
        for (size_t j = 0; j < s->x.columns; j++) {
            const double inverse = (double)s->inverse[j], at = ((double)x[j] - s->mean[j]) * inverse;
            dx[j] += (float)((double)s->layer->scale.gamma[j] * inverse *
                             ((double)dy[j] - (task->direct[j] + at * task->along[j]) / rows));
        }
    }
}

/* What a pass of the whole layer measured waits, weighed by its rows, in place of the gradients of the running
 * statistics. */
static void gather_statistics(const saved_batch *s) {
    const norm *running = &s->layer->running;
    const size_t width = s->x.columns, rows = s->x.rows;
    if (!running->learn || !running->learn->gamma || width < s->layer->scale.width) return;
    const double unbiased = rows > 1 ? (double)rows / (double)(rows - 1) : 1;
    for (size_t j = 0; j < width; j++) {
        running->learn->beta[j] += (float)((double)rows * s->mean[j]);
        running->learn->gamma[j] += (float)((double)rows * s->variance[j] * unbiased);
    }
    running->learn->beta[width] += (float)rows;
    running->learn->gamma[width] += (float)rows;
}

static void batch_backward(const run *on, void *saved) {
    const saved_batch *s = saved;
    batch_task task = {s, run_take(on, s->x.columns, sizeof(double)), run_take(on, s->x.columns, sizeof(double))};
    if (!task.along || !task.direct) return;
    run_parallel(on, s->x.columns, 16, gradient_columns, &task);
    run_parallel(on, s->x.rows, 16, gradient_rows, &task);
    gather_statistics(s);
}

void run_batch_norm(const run *self, tensor out, tensor x, const batch_norm *layer) {
    saved_batch work = {.out = out,
                        .x = x,
                        .layer = layer,
                        .mean = run_take(self, x.columns, sizeof(double)),
                        .variance = run_take(self, x.columns, sizeof(double)),
                        .inverse = run_take(self, x.columns, sizeof(float))};
    if (run_failed(self) || x.rows == 0) return;
    if (self->tape) {
        run_parallel(self, x.columns, 16, measure_columns, &work);
    } else {
        for (size_t j = 0; j < x.columns; j++) {
            work.mean[j] = (double)layer->running.beta[j];
            work.variance[j] = (double)layer->running.gamma[j];
        }
    }
    for (size_t j = 0; j < x.columns; j++)
        work.inverse[j] = (float)(1 / sqrt(work.variance[j] + (double)layer->scale.epsilon));
    run_parallel(self, x.rows, 16, scale_rows, &work);
    if (!self->tape) return;
    saved_batch *saved = tape_push(self, batch_backward, sizeof *saved);
    if (saved) *saved = work;
}
