/* Recording operations, and their derivatives. */
#include "tensor/tape.h"

#include <string.h>

#include "base/checked.h"

struct tape_node {
    tape_node *before;
    tape_backward_function *backward;
    _Alignas(16) unsigned char saved[];
};

void *tape_push(const run *self, tape_backward_function *backward, size_t size) {
    tape *t = self->tape;
    tape_node *node = arena_take(self->memory, sizeof *node + size);
    if (!node) {
        t->failed = true;
        return NULL;
    }
    node->before = t->last;
    node->backward = backward;
    t->last = node;
    return node->saved;
}

uint64_t tape_mask(tape *self) {
    return self->key + ++self->masks * 0x9e3779b97f4a7c15u;
}

uint32_t dropout_threshold(float rate) {
    double threshold = (double)rate * 4294967296.0;
    return threshold >= 4294967295.0 ? UINT32_MAX : (uint32_t)threshold;
}

void tape_backward(const run *on) {
    for (tape_node *node = on->tape->last; node && !on->tape->failed; node = node->before) {
        arena_mark mark = arena_save(on->memory);
        node->backward(on, node->saved);
        arena_rewind(on->memory, mark);
    }
}

static float *grad_row(tensor x, size_t row) {
    return x.grad + row * x.stride;
}

/* ---- Linear ---- */

typedef struct saved_linear {
    tensor out, x;
    const linear *layer;
} saved_linear;

typedef struct linear_task {
    const run *on;
    const saved_linear *saved;
    float *transposed; /* x^T [in, stride] */
    size_t stride;
    float *panels;        /* of each member: its panel of the output's gradient */
    uint32_t *low;        /* bf16: first the output's gradient by rows, then the input's columns */
    uint32_t *low_panels; /* bf16: of each member */
} linear_task;

/* dx += dy W */
static void input_rows(void *argument, size_t member, size_t first, size_t last) {
    const linear_task *task = argument;
    const saved_linear *s = task->saved;
    (void)member;
    if (s->layer->learn->low_transposed) {
        size_t words = words_bf16(s->layer->out);
        for (size_t row = first; row < last; row++)
            task->on->kernels->low.narrow_bf16(task->low + row * words, grad_row(s->out, row), s->layer->out);
        product_low narrow = {.a = task->low + first * words,
                              .a_stride = words,
                              .b = s->layer->learn->low_transposed,
                              .c = grad_row(s->x, first),
                              .c_stride = s->x.stride,
                              .rows = last - first,
                              .columns = s->layer->in,
                              .words = words,
                              .b_words = words_bf16(linear_width(s->layer)),
                              .add = true};
        task->on->kernels->low.product_bf16(&narrow);
        return;
    }
    product_f32 product = {.a = grad_row(s->out, first),
                           .a_stride = s->out.stride,
                           .b = s->layer->learn->transposed,
                           .c = grad_row(s->x, first),
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
    size_t words = words_bf16(x.rows);
    for (size_t i = first; i < last; i++)
        task->on->kernels->low.narrow_bf16(task->low + i * words, task->transposed + i * task->stride, x.rows);
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
            task->on->kernels->low.narrow_panel_bf16(pairs, panel, s->out.rows);
            product_low narrow = {.a = task->low,
                                  .a_stride = words_bf16(s->out.rows),
                                  .b = pairs,
                                  .c = s->layer->learn->weight + at * linear_depth(s->layer),
                                  .c_stride = PANEL,
                                  .rows = s->layer->in,
                                  .columns = PANEL,
                                  .words = words_bf16(s->out.rows),
                                  .add = true};
            task->on->kernels->low.product_bf16(&narrow);
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
        task->on->kernels->gradient->add(s->layer->learn->bias + first, grad_row(s->out, row) + first, last - first);
}

static void linear_backward(const run *on, void *saved) {
    const saved_linear *s = saved;
    size_t rows = s->out.rows;
    if (rows == 0) return;
    linear_task task = {.on = on, .saved = s, .stride = round_up(rows, 16) + 16};
    if (s->layer->learn->low_transposed) {
        size_t first = rows * words_bf16(s->layer->out), second = s->layer->in * words_bf16(rows);
        task.low = arena_take_array(on->memory, size_max(first, second), sizeof *task.low);
        task.low_panels =
            arena_take_array(on->memory, team_size(on->crew) * words_bf16(rows) * PANEL, sizeof *task.low_panels);
        if (!task.low || !task.low_panels) {
            on->tape->failed = true;
            return;
        }
    }
    run_parallel(on, rows, 1, input_rows, &task);
    if (!s->layer->learn->weight) return;
    task.transposed = arena_take_array(on->memory, s->layer->in * task.stride, sizeof(float));
    task.panels = arena_take_array(on->memory, team_size(on->crew) * rows * PANEL, sizeof(float));
    if (!task.transposed || !task.panels) {
        on->tape->failed = true;
        return;
    }
    run_parallel(on, s->layer->in, 16, transpose_columns, &task);
    run_parallel(on, s->layer->out, PANEL, weight_columns, &task);
}

void tape_linear(const run *self, tensor out, tensor x, const linear *layer) {
    saved_linear *saved = tape_push(self, linear_backward, sizeof *saved);
    if (saved) *saved = (saved_linear){out, x, layer};
}

/* ---- Elementwise ---- */

typedef struct saved_pair {
    tensor out, x;
    activation act;
    uint64_t key;
    float rate;
} saved_pair;

typedef struct pair_task {
    const run *on;
    const saved_pair *saved;
} pair_task;

static void activation_rows(void *argument, size_t member, size_t first, size_t last) {
    const pair_task *task = argument;
    const saved_pair *s = task->saved;
    (void)member;
    for (size_t row = first; row < last; row++)
        task->on->kernels->gradient->activate_backward(grad_row(s->x, row), grad_row(s->out, row),
                                                       tensor_row(s->x, row), s->x.columns, s->act);
}

static void activation_backward(const run *on, void *saved) {
    pair_task task = {on, saved};
    run_parallel(on, task.saved->x.rows, 16, activation_rows, &task);
}

/* A tensor's gradient as a tensor. */
static tensor gradient_of(tensor x) {
    x.data = x.grad;
    return x;
}

static void add_backward(const run *on, void *saved) {
    const saved_pair *s = saved;
    add_elements(on, gradient_of(s->x), gradient_of(s->out));
}

static void dropout_backward(const run *on, void *saved) {
    const saved_pair *s = saved;
    drop_elements(on, gradient_of(s->x), s->key, s->rate);
}

static void push_pair(const run *self, tape_backward_function *backward, saved_pair values) {
    saved_pair *saved = tape_push(self, backward, sizeof *saved);
    if (saved) *saved = values;
}

void tape_activation(const run *self, tensor out, tensor x, activation act) {
    push_pair(self, activation_backward, (saved_pair){.out = out, .x = x, .act = act});
}

void tape_add(const run *self, tensor out, tensor x) {
    push_pair(self, add_backward, (saved_pair){.out = out, .x = x});
}

void tape_dropout(const run *self, tensor x, uint64_t key, float rate) {
    push_pair(self, dropout_backward, (saved_pair){.x = x, .key = key, .rate = rate});
}

/* ---- Layer normalisation ---- */

typedef struct saved_norm {
    tensor out, x;
    const norm *layer;
} saved_norm;

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
        task->on->kernels->gradient->layer_norm_backward(grad_row(s->x, row), grad_row(s->out, row),
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
            s->layer->learn->gamma + first, beta, grad_row(s->out, row) + first, tensor_row(s->x, row) + first,
            task->statistics[row], last - first);
}

static void norm_backward(const run *on, void *saved) {
    const saved_norm *s = saved;
    norm_task task = {on, s, arena_take_array(on->memory, s->x.rows, sizeof *task.statistics)};
    if (!task.statistics) {
        on->tape->failed = true;
        return;
    }
    run_parallel(on, s->x.rows, 16, norm_input_rows, &task);
    if (s->layer->learn->gamma) run_parallel(on, s->x.columns, 16, norm_parameter_columns, &task);
}

void tape_layer_norm(const run *self, tensor out, tensor x, const norm *layer) {
    saved_norm *saved = tape_push(self, norm_backward, sizeof *saved);
    if (saved) *saved = (saved_norm){out, x, layer};
}

/* ---- Moving rows ---- */

typedef struct saved_move {
    tensor out, x;
    const size_t *to, *from;
    size_t count;
} saved_move;

typedef struct move_task {
    const run *on;
    const saved_move *saved;
} move_task;

/* In order and by columns: a row may be the source of several. */
static void move_columns(void *argument, size_t member, size_t first, size_t last) {
    const move_task *task = argument;
    const saved_move *s = task->saved;
    (void)member;
    for (size_t i = 0; i < s->count; i++)
        task->on->kernels->gradient->add(grad_row(s->x, s->from[i]) + first,
                                         grad_row(s->out, s->to ? s->to[i] : i) + first, last - first);
}

static void move_backward(const run *on, void *saved) {
    move_task task = {on, saved};
    run_parallel(on, task.saved->x.columns, 16, move_columns, &task);
}

void tape_gather(const run *self, tensor out, const size_t *to, tensor x, const size_t *from, size_t count) {
    saved_move *saved = tape_push(self, move_backward, sizeof *saved);
    if (saved) *saved = (saved_move){out, x, to, from, count};
}
