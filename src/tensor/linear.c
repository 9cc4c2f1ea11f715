/* Linear layers in any precision, and their derivative. */
#include <string.h>

#include "base/checked.h"
#include "tensor/operations.h"
#include "tensor/tape.h"

/* ---- Forward ---- */

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
    part.b += first * product_f32_pitch(&part); /* whole panels */
    part.c += first;
    if (part.bias) part.bias += first;
    if (part.residual) part.residual += first;
    part.columns = last - first;
    work->kernels->product_f32(&part);
}

/* ---- In low precision ---- */

enum { LOW_GRAIN = 16 }; /* rows: whole tiles */

typedef struct low_work {
    const kernel_table *kernels;
    const linear *layer;
    tensor x;
    uint32_t *words;
    float *scales;
    product_low whole;
    product_low_function *product;
    uint32_t *sparse; /* memory of each member for the sparse product; NULL: the product is dense */
    size_t sparse_words;
} low_work;

/* The product of some rows, or of some columns from `first` on. */
static void low_product(const low_work *work, size_t member, const product_low *part, size_t first) {
    if (!work->sparse) {
        work->product(part);
        return;
    }
    work->kernels->low.sparse->product(
        &(product_sparse){*part, work->layer->sparse, first, work->sparse + member * work->sparse_words});
}

/* Converts rows of x to the layer's precision. */
static void low_ready(void *argument, size_t member, size_t first, size_t last) {
    const low_work *work = argument;
    (void)member;
    if (work->x.half) return;
    for (size_t row = first; row < last; row++) {
        uint32_t *out = work->words + row * work->whole.a_stride;
        low_end_row(out, work->whole.words);
        if (work->layer->precision == PRECISION_BF16)
            work->kernels->low.round_bf16(out, tensor_row(work->x, row), work->layer->in);
        else
            work->scales[row] =
                work->kernels->low.quantize_int8(out, tensor_row(work->x, row), work->layer->smooth, work->layer->in);
    }
}

static void low_rows(void *argument, size_t member, size_t first, size_t last) {
    const low_work *work = argument;
    low_ready(argument, member, first, last);
    product_low part = work->whole;
    part.a += first * part.a_stride;
    if (part.row_scale) part.row_scale += first;
    if (part.half)
        part.half += first * part.half_stride;
    else
        part.c += first * part.c_stride;
    if (part.residual) part.residual += first * part.residual_stride;
    part.rows = last - first;
    low_product(work, member, &part, 0);
}

static void low_columns(void *argument, size_t member, size_t first, size_t last) {
    const low_work *work = argument;
    product_low part = work->whole;
    part.b += first * product_low_pitch(&part); /* whole panels */
    if (part.half)
        part.half += first / 2;
    else
        part.c += first;
    if (part.column_scale) {
        part.column_scale += first;
        part.column_offset += first;
    }
    if (part.bias) part.bias += first;
    if (part.residual) part.residual += first;
    part.columns = last - first;
    low_product(work, member, &part, first);
}

/* Whether the weight's zeros are left out. Both products give the same bits, so the number of rows may decide. */
static bool skips_zeros(const run *self, const linear *layer, tensor out, tensor x) {
    const sparse_kernels *kernels = self->kernels->low.sparse;
    return layer->sparse && kernels && !layer->learn && !x.half && !out.half && x.rows >= kernels->least_rows;
}

static void multiply_low(const run *self, tensor out, tensor x, const linear *layer, activation act,
                         const tensor *residual) {
    bool bytes = layer->precision == PRECISION_INT8;
    size_t words = bytes ? words_int8(layer->in) : words_bf16(layer->in), stride = low_stride(words);
    arena_mark mark = arena_save(self->memory);
    low_work work = {.kernels = self->kernels, .layer = layer, .x = x, .words = x.half};
    if (!x.half) work.words = run_take(self, low_room(x.rows), stride * sizeof *work.words);
    work.scales = run_take(self, x.rows, sizeof *work.scales);
    if (run_failed(self)) return;
    work.whole = (product_low){.a = work.words,
                               .b = layer->low,
                               .row_scale = bytes ? work.scales : NULL,
                               .column_scale = layer->scale,
                               .column_offset = layer->offset,
                               .bias = layer->bias,
                               .residual = residual ? residual->data : NULL,
                               .c = out.data,
                               .half = out.half,
                               .a_stride = x.half ? x.stride : stride,
                               .c_stride = out.stride,
                               .half_stride = out.stride,
                               .residual_stride = residual ? residual->stride : 0,
                               .rows = x.rows,
                               .columns = layer->out,
                               .words = words,
                               .b_words = precision_words(layer->precision, linear_depth(layer)),
                               .act = act};
    work.product = bytes ? self->kernels->low.product_int8 : self->kernels->low.product_bf16;
    const bool by_rows = x.rows >= 32 * team_size(self->crew), sparse = skips_zeros(self, layer, out, x);
    if (sparse) {
        work.sparse_words = sparse_scratch(layer->out);
        work.sparse = run_take(self, team_size(self->crew) * work.sparse_words, sizeof *work.sparse);
        if (run_failed(self)) return;
    }
    if (by_rows) {
        run_parallel(self, x.rows, sparse ? self->kernels->low.sparse->block : LOW_GRAIN, low_rows, &work);
    } else {
        low_ready(&work, 0, 0, x.rows);
        run_parallel(self, layer->out, PANEL, low_columns, &work);
    }
    arena_rewind(self->memory, mark);
}

static void multiply(const run *self, tensor out, tensor x, const linear *layer, activation act,
                     const tensor *residual) {
    if (self->observer) self->observer->see(self->observer->user, layer, x.data, x.stride, x.rows);
    if (linear_is_low(layer, self->low)) {
        multiply_low(self, out, x, layer, act, residual);
        return;
    }
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
                         .b_depth = linear_depth(layer),
                         .act = act}};
    /* With few rows, each thread reads only its part of the weights. With many, each works on its own rows. */
    if (x.rows >= 32 * team_size(self->crew))
        run_parallel(self, x.rows, 1, linear_rows, &work);
    else
        run_parallel(self, layer->out, PANEL, linear_columns, &work);
}

/* ---- The derivative ---- */

typedef struct saved_linear {
    tensor out, x;
    const linear *layer;
} saved_linear;

typedef struct linear_task {
    const run *on;
    const saved_linear *saved;
    float *transposed; /* x^T [in, stride] */
    size_t stride;
    float *panels;        /* for each member: its panel of the output's gradient */
    uint32_t *low;        /* bf16: first the rows of the output's gradient, then the columns of the input */
    uint32_t *low_panels; /* bf16: for each member */
} linear_task;

/* dx += dy W */
static void input_rows(void *argument, size_t member, size_t first, size_t last) {
    const linear_task *task = argument;
    const saved_linear *s = task->saved;
    (void)member;
    if (s->layer->learn->low_transposed) {
        size_t words = words_bf16(s->layer->out), stride = low_stride(words);
        for (size_t row = first; row < last; row++) {
            task->on->kernels->low.round_bf16(task->low + row * stride, tensor_grad(s->out, row), s->layer->out);
            low_end_row(task->low + row * stride, words);
        }
        product_low low = {.a = task->low + first * stride,
                           .a_stride = stride,
                           .b = s->layer->learn->low_transposed,
                           .c = tensor_grad(s->x, first),
                           .c_stride = s->x.stride,
                           .rows = last - first,
                           .columns = s->layer->in,
                           .words = words,
                           .b_words = words_bf16(linear_width(s->layer)),
                           .add = true};
        task->on->kernels->low.product_bf16(&low);
        return;
    }
    product_f32 product = {.a = tensor_grad(s->out, first),
                           .a_stride = s->out.stride,
                           .b = s->layer->learn->transposed,
                           .c = tensor_grad(s->x, first),
                           .c_stride = s->x.stride,
                           .rows = last - first,
                           .columns = s->layer->in,
                           .depth = s->layer->out,
                           .b_depth = linear_width(s->layer),
                           .add = true};
    task->on->kernels->product_f32(&product);
}

static void transpose_columns(void *argument, size_t member, size_t first, size_t last) {
    const linear_task *task = argument;
    tensor x = task->saved->x;
    (void)member;
    task->on->kernels->gradient->transpose(task->transposed + first * task->stride, task->stride, x.data + first,
                                           x.stride, x.rows, last - first);
    if (!task->saved->layer->learn->low_transposed) return;
    size_t words = words_bf16(x.rows), stride = low_stride(words);
    for (size_t i = first; i < last; i++) {
        task->on->kernels->low.round_bf16(task->low + i * stride, task->transposed + i * task->stride, x.rows);
        low_end_row(task->low + i * stride, words);
    }
}

/* The weight's gradient has the weight's packed form, so a panel of it is one product: dW^T += x^T dy. */
static void weight_columns(void *argument, size_t member, size_t first, size_t last) {
    const linear_task *task = argument;
    const saved_linear *s = task->saved;
    float *panel = task->panels + member * s->out.rows * PANEL;
    for (size_t at = first; at < last; at += PANEL) {
        size_t width = size_min(PANEL, last - at);
        pack_straight_f32(panel, s->out.grad + at, s->out.stride, width, s->out.rows);
        if (s->layer->learn->low_transposed) {
            uint32_t *pairs = task->low_panels + member * words_bf16(s->out.rows) * PANEL;
            task->on->kernels->low.round_panel_bf16(pairs, panel, s->out.rows);
            product_low low = {.a = task->low,
                               .a_stride = low_stride(words_bf16(s->out.rows)),
                               .b = pairs,
                               .c = s->layer->learn->weight + at * linear_depth(s->layer),
                               .c_stride = PANEL,
                               .rows = s->layer->in,
                               .columns = PANEL,
                               .words = words_bf16(s->out.rows),
                               .add = true};
            task->on->kernels->low.product_bf16(&low);
            continue;
        }
        product_f32 product = {.a = task->transposed,
                               .a_stride = task->stride,
                               .b = panel,
                               .c = s->layer->learn->weight + at * linear_depth(s->layer),
                               .c_stride = PANEL,
                               .rows = s->layer->in,
                               .columns = PANEL,
                               .depth = s->out.rows,
                               .add = true};
        task->on->kernels->product_f32(&product);
    }
    if (!s->layer->bias) return;
    for (size_t row = 0; row < s->out.rows; row++)
        task->on->kernels->gradient->add(s->layer->learn->bias + first, tensor_grad(s->out, row) + first, last - first);
}

static void linear_backward(const run *on, void *saved) {
    const saved_linear *s = saved;
    size_t rows = s->out.rows;
    if (rows == 0) return;
    linear_task task = {.on = on, .saved = s, .stride = round_up(rows, 16) + 16};
    if (s->layer->learn->low_transposed) {
        size_t first = low_room(rows) * low_stride(words_bf16(s->layer->out));
        size_t second = low_room(s->layer->in) * low_stride(words_bf16(rows));
        task.low = run_take(on, size_max(first, second), sizeof *task.low);
        task.low_panels = run_take(on, team_size(on->crew) * words_bf16(rows) * PANEL, sizeof *task.low_panels);
        if (run_failed(on)) return;
    }
    run_parallel(on, rows, LOW_GRAIN, input_rows, &task);
    if (!s->layer->learn->weight) return;
    task.transposed = run_take(on, s->layer->in * task.stride, sizeof(float));
    task.panels = run_take(on, team_size(on->crew) * rows * PANEL, sizeof(float));
    if (run_failed(on)) return;
    run_parallel(on, s->layer->in, 16, transpose_columns, &task);
    run_parallel(on, s->layer->out, PANEL, weight_columns, &task);
}

bool run_gives_half(const run *self, const linear *layer, activation act) {
    return self->kernels->low.halves && !self->tape && !self->observer && act < ACTIVATION_RARE &&
           linear_is_low(layer, self->low) && layer->out % PANEL == 0;
}

tensor run_between(const run *self, size_t rows, const linear *writer, activation act, const linear *reader) {
    bool half =
        run_gives_half(self, writer, act) && linear_is_low(reader, self->low) && reader->precision == PRECISION_BF16;
    return half ? run_tensor_half(self, rows, writer->out) : run_tensor(self, rows, writer->out);
}

void run_linear(const run *self, tensor out, tensor x, const linear *layer, activation act, const tensor *residual) {
    if (run_failed(self)) return;
    if (!self->tape && act < ACTIVATION_RARE) {
        multiply(self, out, x, layer, act, residual);
        return;
    }
    bool active = act != ACTIVATION_NONE;
    tensor sum = active ? run_tensor(self, out.rows, out.columns) : out;
    if (run_failed(self)) return;
    multiply(self, sum, x, layer, ACTIVATION_NONE, NULL);
    saved_linear *saved = self->tape ? tape_push(self, linear_backward, sizeof *saved) : NULL;
    if (saved) *saved = (saved_linear){sum, x, layer};
    if (active) run_activation(self, out, sum, act);
    if (residual) {
        if (self->tape) run_dropout(self, out, self->tape->hidden_rate);
        run_add(self, out, *residual);
    }
}
