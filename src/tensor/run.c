/* Operations of a forward pass. */
#include "tensor/run.h"

#include "base/checked.h"

tensor run_tensor(const run *self, size_t rows, size_t columns) {
    size_t stride = columns % 1024 == 0 ? columns + 16 : columns;
    size_t elements;
    tensor made = {NULL, rows, columns, stride};
    if (checked_multiply(rows, stride, &elements)) made.data = arena_take_array(self->memory, elements, sizeof(float));
    return made;
}

tensor tensor_columns(tensor x, size_t first, size_t count) {
    return (tensor){x.data + first, x.rows, count, x.stride};
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

typedef struct linear_work {
    const kernel_table *kernels;
    product_f32 whole;
} linear_work;

static void linear_rows(void *argument, size_t member, size_t first, size_t last) {
    const linear_work *work = argument;
    (void)member;
    product_f32 part = work->whole;
    part.a += first * part.a_stride;
    part.c += first * part.c_stride;
    if (part.residual) part.residual += first * part.residual_stride;
    part.rows = last - first;
    work->kernels->product_f32(&part);
}

static void linear_columns(void *argument, size_t member, size_t first, size_t last) {
    const linear_work *work = argument;
    (void)member;
    product_f32 part = work->whole;
    part.b += first * part.depth; /* whole panels */
    part.c += first;
    if (part.bias) part.bias += first;
    if (part.residual) part.residual += first;
    part.columns = last - first;
    work->kernels->product_f32(&part);
}

void run_linear(const run *self, tensor out, tensor x, const linear *layer, activation act, const tensor *residual) {
    linear_work work = {self->kernels,
                        {.a = x.data,
                         .b = layer->packed,
                         .bias = layer->bias,
                         .residual = residual ? residual->data : NULL,
                         .c = out.data,
                         .a_stride = x.stride,
                         .c_stride = out.stride,
                         .residual_stride = residual ? residual->stride : 0,
                         .rows = x.rows,
                         .columns = layer->out,
                         .depth = layer->in,
                         .act = act}};
    /* Few rows: each thread reads only its part of the weights. Many: each works on its own rows. */
    if (x.rows >= 32 * team_size(self->crew))
        run_parallel(self, x.rows, 1, linear_rows, &work);
    else
        run_parallel(self, layer->out, PANEL, linear_columns, &work);
}

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

void run_layer_norm(const run *self, tensor out, tensor x, const norm *layer) {
    norm_work work = {self->kernels, out, x, layer};
    if (x.rows < 64) /* quicker than waking anybody */
        norm_rows(&work, 0, 0, x.rows);
    else
        run_parallel(self, x.rows, 1, norm_rows, &work);
}
