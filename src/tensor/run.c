/* Operations of a forward pass. */
#include "tensor/run.h"

#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "tensor/tape.h"

double run_begin(const run *self) {
    return self->profile ? clock_ms() : 0;
}

void run_end(const run *self, run_part part, double begin) {
    if (self->profile) self->profile->ms[part] += clock_ms() - begin;
}

tensor run_tensor(const run *self, size_t rows, size_t columns) {
    size_t stride = columns % 1024 == 0 ? columns + 16 : columns;
    size_t elements;
    tensor made = {NULL, rows, columns, stride, NULL};
    if (!checked_multiply(rows, stride, &elements)) return made;
    made.data = arena_take_array(self->memory, elements, sizeof(float));
    if (!self->tape || !made.data) return made;
    made.grad = arena_take_array(self->memory, elements, sizeof(float));
    if (made.grad)
        memset(made.grad, 0, elements * sizeof(float));
    else
        made.data = NULL;
    return made;
}

tensor run_over(const run *self, tensor x, size_t rows) {
    if (self->tape) return run_tensor(self, rows, x.columns);
    x.rows = rows;
    return x;
}

tensor tensor_columns(tensor x, size_t first, size_t count) {
    return (tensor){x.data + first, x.rows, count, x.stride, x.grad ? x.grad + first : NULL};
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
    part.b += first * product_f32_pitch(&part); /* whole panels */
    part.c += first;
    if (part.bias) part.bias += first;
    if (part.residual) part.residual += first;
    part.columns = last - first;
    work->kernels->product_f32(&part);
}

/* ---- In low precision ---- */

typedef struct low_work {
    const kernel_table *kernels;
    const linear *layer;
    tensor x;
    uint32_t *words;
    float *scales;
    product_low whole;
    product_low_function *product;
} low_work;

/* Rows of x in the layer's precision. */
static void low_ready(void *argument, size_t member, size_t first, size_t last) {
    const low_work *work = argument;
    (void)member;
    for (size_t row = first; row < last; row++) {
        uint32_t *out = work->words + row * work->whole.words;
        if (work->layer->precision == PRECISION_BF16)
            work->kernels->low.narrow_bf16(out, tensor_row(work->x, row), work->layer->in);
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
    part.c += first * part.c_stride;
    if (part.residual) part.residual += first * part.residual_stride;
    part.rows = last - first;
    work->product(&part);
}

static void low_columns(void *argument, size_t member, size_t first, size_t last) {
    const low_work *work = argument;
    (void)member;
    product_low part = work->whole;
    part.b += first * product_low_pitch(&part); /* whole panels */
    part.c += first;
    if (part.column_scale) {
        part.column_scale += first;
        part.column_offset += first;
    }
    if (part.bias) part.bias += first;
    if (part.residual) part.residual += first;
    part.columns = last - first;
    work->product(&part);
}

static void multiply_low(const run *self, tensor out, tensor x, const linear *layer, activation act,
                         const tensor *residual) {
    bool bytes = layer->precision == PRECISION_INT8;
    size_t words = bytes ? words_int8(layer->in) : words_bf16(layer->in);
    arena_mark mark = arena_save(self->memory);
    low_work work = {.kernels = self->kernels, .layer = layer, .x = x};
    work.words = arena_take_array(self->memory, x.rows, words * sizeof *work.words);
    work.scales = arena_take_array(self->memory, x.rows, sizeof *work.scales);
    if (!work.words || !work.scales) {
        /* out of memory shows as a result that is no number, which every task checks for */
        for (size_t row = 0; row < out.rows; row++) memset(tensor_row(out, row), 0xff, out.columns * sizeof(float));
        return;
    }
    work.whole = (product_low){.a = work.words,
                               .b = layer->low,
                               .row_scale = bytes ? work.scales : NULL,
                               .column_scale = layer->scale,
                               .column_offset = layer->offset,
                               .bias = layer->bias,
                               .residual = residual ? residual->data : NULL,
                               .c = out.data,
                               .a_stride = words,
                               .c_stride = out.stride,
                               .residual_stride = residual ? residual->stride : 0,
                               .rows = x.rows,
                               .columns = layer->out,
                               .words = words,
                               .b_words = precision_words(layer->precision, linear_depth(layer)),
                               .act = act};
    work.product = bytes ? self->kernels->low.product_int8 : self->kernels->low.product_bf16;
    if (x.rows >= 32 * team_size(self->crew)) {
        run_parallel(self, x.rows, 1, low_rows, &work);
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
    /* Few rows: each thread reads only its part of the weights. Many: each works on its own rows. */
    if (x.rows >= 32 * team_size(self->crew))
        run_parallel(self, x.rows, 1, linear_rows, &work);
    else
        run_parallel(self, layer->out, PANEL, linear_columns, &work);
}

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

void drop_elements(const run *self, tensor x, uint64_t key, float rate) {
    pair_work work = {.run = self, .x = x, .key = key, .rate = rate};
    run_parallel(self, x.rows, 16, dropout_rows, &work);
}

void add_elements(const run *self, tensor out, tensor x) {
    pair_work work = {.run = self, .out = out, .x = x};
    run_parallel(self, x.rows, 16, add_rows, &work);
}

tensor run_copy(const run *self, tensor x) {
    tensor copy = run_tensor(self, x.rows, x.columns);
    for (size_t row = 0; copy.data && row < x.rows; row++)
        memcpy(tensor_row(copy, row), tensor_row(x, row), x.columns * sizeof(float));
    return copy;
}

void run_add(const run *self, tensor x, tensor y) {
    add_elements(self, x, y);
    if (self->tape) tape_add(self, x, y);
}

void run_dropout(const run *self, tensor x, float rate) {
    if (!self->tape || !(rate > 0)) return;
    uint64_t key = tape_mask(self->tape);
    drop_elements(self, x, key, rate);
    tape_dropout(self, x, key, rate);
}

void run_linear(const run *self, tensor out, tensor x, const linear *layer, activation act, const tensor *residual) {
    if (!self->tape) {
        multiply(self, out, x, layer, act, residual);
        return;
    }
    bool active = act != ACTIVATION_NONE;
    tensor sum = active ? run_tensor(self, out.rows, out.columns) : out;
    if (!sum.data) {
        self->tape->failed = true;
        return;
    }
    multiply(self, sum, x, layer, ACTIVATION_NONE, NULL);
    tape_linear(self, sum, x, layer);
    if (active) {
        pair_work work = {.run = self, .out = out, .x = sum, .act = act};
        run_parallel(self, out.rows, 16, activate_rows, &work);
        tape_activation(self, out, sum, act);
    }
    if (residual) {
        run_dropout(self, out, self->tape->hidden_rate);
        run_add(self, out, *residual);
    }
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
    if (self->tape) tape_layer_norm(self, out, x, layer);
}

void run_scatter(const run *self, tensor out, const size_t *to, tensor x, const size_t *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        memcpy(tensor_row(out, to ? to[i] : i), tensor_row(x, from[i]), x.columns * sizeof(float));
    if (self->tape) tape_gather(self, out, to, x, from, count);
}

tensor run_gather(const run *self, tensor x, const size_t *rows, size_t count) {
    tensor out = run_tensor(self, count, x.columns);
    if (out.data) run_scatter(self, out, NULL, x, rows, count);
    return out;
}
