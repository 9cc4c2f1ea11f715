/* Exits: loading and running them. */
#include "model/exits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/softmax.h"
#include "base/checked.h"
#include "model/pooling.h"
#include "tensor/operations.h"
#include "tensor/tape.h"

static const char *const kinds[] = {"none", "linear", "pooler", "shared", "weighted", "student", "halting"};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0], NAME_BYTES = 64 };

exit_kind exit_kind_find(const char *name) {
    for (size_t i = 1; i < KIND_COUNT; i++)
        if (strcmp(kinds[i], name) == 0) return (exit_kind)i;
    return EXIT_NONE;
}

const char *exit_kind_name(exit_kind kind) {
    return kinds[kind];
}

/* ---- Loading ---- */

static rubato_status load_part(loader *load, linear *out, size_t number, const char *name, size_t rows,
                               size_t columns) {
    char full[NAME_BYTES];
    const char *one[1] = {full};
    snprintf(full, sizeof full, "%zu.%s", number, name);
    return loader_linear(load, out, one, 1, rows, columns);
}

static rubato_status load_one(exits *self, loader *load, const encoder *body, const head *final, size_t number) {
    exit_head *out = &self->heads[number];
    size_t width = config_width(&body->config);
    bool fresh = load->fresh != NULL;
    char full[NAME_BYTES];
    switch (self->kind) {
    case EXIT_POOLER: TRY(load_part(load, &out->dense, number, "dense", width, width)); break;
    case EXIT_STUDENT:
        TRY(load_part(load, &out->dense, number, "dense", STUDENT_WIDTH, width));
        TRY(load_part(load, &out->qkv, number, "qkv", 3 * STUDENT_WIDTH, STUDENT_WIDTH));
        TRY(load_part(load, &out->attention_out, number, "attention_out", STUDENT_WIDTH, STUDENT_WIDTH));
        TRY(load_part(load, &out->last, number, "last", STUDENT_WIDTH, STUDENT_WIDTH));
        width = STUDENT_WIDTH;
        break;
    case EXIT_WEIGHTED:
        snprintf(full, sizeof full, "%zu.weights", number);
        TRY(loader_norm(load, &out->weights, full, self->depth, 0));
        if (final->present) width = final->out.in;
        break;
    case EXIT_SHARED:
        if (final->present) width = final->out.in;
        break;
    case EXIT_NONE:
    case EXIT_LINEAR:
    case EXIT_HALTING: break;
    }
    size_t columns = self->kind == EXIT_HALTING ? 1 : self->classes;
    TRY(load_part(load, &out->out, number, "out", columns, width));
    /* halts late at first, so that training starts near the plain model (Graves 2016 has 1, for models that learn from
     * nothing) */
    if (fresh && self->kind == EXIT_HALTING && out->out.bias) out->out.bias[0] = -2;
    out->present = true;
    return RUBATO_OK;
}

rubato_status exits_load(exits *self, loader *load, exit_kind kind, bool reads_mean, const encoder *body,
                         const head *final, const size_t *layers, size_t count) {
    *self = (exits){.kind = kind,
                    .depth = body->depth,
                    .classes = final->out.out,
                    .by_row = final->kind == HEAD_TOKEN,
                    .reads_last = final->last,
                    .reads_mean = reads_mean};
    if (reads_mean && (self->by_row || kind == EXIT_STUDENT))
        return fail(load->error, RUBATO_UNSUPPORTED, "exits that read the mean of all rows: not %s",
                    self->by_row ? "of a tagger" : "of the kind \"student\"");
    if (body->depth > POINT_LAYERS)
        return fail(load->error, RUBATO_UNSUPPORTED, "%zu layers; at most %d can have exits", body->depth,
                    POINT_LAYERS);
    load->place = IN_EXITS;
    for (size_t i = 0; i < POINT_LAYERS; i++) self->heads[i].temperature = 1;
    for (size_t i = 0; i < count; i++) {
        bool last = layers[i] + 1 >= body->depth;
        if (layers[i] >= body->depth || (last && kind != EXIT_HALTING) || self->heads[layers[i]].present)
            return fail(load->error, RUBATO_BAD_MODEL, "an exit after layer %zu of %zu", layers[i], body->depth);
        TRY(load_one(self, load, body, final, layers[i]));
    }
    load->place = IN_HEAD;
    return RUBATO_OK;
}

static double product_flops(const linear *by, size_t rows) {
    return 2.0 * (double)by->in * (double)by->out * (double)rows;
}

double exits_flops(const exits *self, const head *final, size_t number, size_t rows) {
    const exit_head *at = &self->heads[number];
    double shared = product_flops(&final->dense, 1) + product_flops(&final->down, 1);
    /* the shared pooler runs after every layer, for the exits of later layers */
    if (!at->present) return self->kind == EXIT_WEIGHTED ? shared : 0;
    double flops = product_flops(&at->out, self->by_row ? rows : 1);
    if (self->kind == EXIT_SHARED || self->kind == EXIT_WEIGHTED) flops += shared;
    if (self->kind == EXIT_POOLER) flops += product_flops(&at->dense, 1);
    if (self->kind == EXIT_STUDENT)
        flops += product_flops(&at->dense, rows) + product_flops(&at->qkv, rows) +
                 softmax_products((double)rows, (double)rows, STUDENT_WIDTH) + product_flops(&at->attention_out, rows) +
                 product_flops(&at->last, 1);
    return flops;
}

/* ---- Operations ---- */

static tensor apply(const run *on, tensor x, const linear *by, activation act) {
    tensor out = run_tensor(on, x.rows, by->out);
    run_linear(on, out, x, by, act, NULL);
    return out;
}

exit_subjects exits_all_subjects(const exits *self, const run *on, tensor x, const batch *packed) {
    exit_subjects out = {.x = x, .packed = packed, .count = packed->sequences};
    if (!self->by_row) {
        out.rows = pooling_ends(on, packed, self->reads_last);
        return out;
    }
    size_t *rows = run_take(on, packed->rows, sizeof *rows);
    for (size_t i = 0; rows && i < packed->rows; i++) rows[i] = i;
    out.rows = rows;
    out.count = packed->rows;
    return out;
}

/* The states that exits read, [count, width]. */
static tensor states(const exits *self, const run *on, const exit_subjects *who) {
    if (!self->reads_mean) return run_gather(on, who->x, who->rows, who->count);
    tensor mean = pooling_mean(on, who->x, who->packed);
    return who->which ? run_gather(on, mean, who->which, who->count) : mean;
}

/* The model's own pooler over the states. */
static tensor pool(const exits *self, const head *final, const run *on, const exit_subjects *who) {
    return head_states(final, on, states(self, on, who));
}

void exits_remember(const exits *self, const head *final, const run *on, size_t number, const exit_subjects *who,
                    exit_memory *memory) {
    if (self->kind != EXIT_WEIGHTED && self->kind != EXIT_HALTING) return;
    size_t at = memory->count++;
    memory->layer[at] = number;
    memory->states[at] = self->kind == EXIT_WEIGHTED ? pool(self, final, on, who) : states(self, on, who);
    if (self->kind == EXIT_HALTING)
        memory->signals[at] = apply(on, memory->states[at], &self->heads[number].out, ACTIVATION_NONE);
}

typedef struct saved_weighing {
    tensor out;
    const exit_memory *memory;
    const size_t *which;
    const norm *weights;
} saved_weighing;

/* The weights of the memory's layers, scaled to length 1; returns their length before. */
static float unit_weights(const norm *weights, const exit_memory *memory, float *out) {
    float sum = 0;
    for (size_t i = 0; i < memory->count; i++) {
        out[i] = weights->gamma[memory->layer[i]];
        sum += out[i] * out[i];
    }
    float length = fmaxf(sqrtf(sum), 1e-6f);
    for (size_t i = 0; i < memory->count; i++) out[i] /= length;
    return length;
}

/* For y = sum w_i x_i with w = s / |s|: dx_i += w_i dy; with g_i = dy x_i: ds_i += (g_i - w_i sum w_j g_j) / |s|. */
static void weighing_backward(const run *on, void *saved) {
    const saved_weighing *s = saved;
    float w[POINT_LAYERS], g[POINT_LAYERS], along = 0;
    float length = unit_weights(s->weights, s->memory, w);
    for (size_t i = 0; i < s->memory->count; i++) {
        tensor x = s->memory->states[i];
        g[i] = 0;
        for (size_t row = 0; row < s->out.rows; row++) {
            size_t from = s->which ? s->which[row] : row;
            const float *dy = s->out.grad + row * s->out.stride;
            g[i] += on->kernels->dot_f32(dy, tensor_row(x, from), x.columns);
            for (size_t j = 0; j < x.columns; j++) x.grad[from * x.stride + j] += w[i] * dy[j];
        }
        along += w[i] * g[i];
    }
    if (!s->weights->learn || !s->weights->learn->gamma) return;
    for (size_t i = 0; i < s->memory->count; i++)
        s->weights->learn->gamma[s->memory->layer[i]] += (g[i] - w[i] * along) / length;
}

static tensor weigh(const run *on, const exit_memory *memory, const norm *weights, const size_t *which, size_t count) {
    float w[POINT_LAYERS];
    tensor out = run_tensor(on, count, memory->states[0].columns);
    if (run_failed(on)) return out;
    unit_weights(weights, memory, w);
    for (size_t row = 0; row < count; row++) {
        size_t from = which ? which[row] : row;
        float *y = tensor_row(out, row);
        memset(y, 0, out.columns * sizeof *y);
        for (size_t i = 0; i < memory->count; i++)
            for (size_t j = 0; j < out.columns; j++) y[j] += w[i] * tensor_row(memory->states[i], from)[j];
    }
    if (!on->tape) return out;
    saved_weighing *saved = tape_push(on, weighing_backward, sizeof *saved);
    /* copied, because the memory grows in later layers */
    exit_memory *seen = run_take(on, 1, sizeof *seen);
    if (run_failed(on)) return out;
    *seen = *memory;
    *saved = (saved_weighing){out, seen, which, weights};
    return out;
}

/* A student: dense, attention over all rows, the row that the head reads, dense. */
static tensor study(const exit_head *at, const run *on, const exit_subjects *who) {
    tensor seen = apply(on, who->x, &at->dense, ACTIVATION_TANH);
    tensor qkv = apply(on, seen, &at->qkv, ACTIVATION_NONE), mixed = run_tensor(on, seen.rows, STUDENT_WIDTH);
    size_t head_size = STUDENT_WIDTH / STUDENT_HEADS;
    attention in = {.query = tensor_columns(qkv, 0, STUDENT_WIDTH),
                    .key = tensor_columns(qkv, STUDENT_WIDTH, STUDENT_WIDTH),
                    .value = tensor_columns(qkv, 2 * STUDENT_WIDTH, STUDENT_WIDTH),
                    .heads = STUDENT_HEADS,
                    .head_size = head_size,
                    .scale = 1.0f / sqrtf((float)head_size)};
    attention_softmax(on, mixed, &in, who->packed);
    tensor read = run_gather(on, mixed, who->rows, who->count);
    return apply(on, apply(on, read, &at->attention_out, ACTIVATION_NONE), &at->last, ACTIVATION_TANH);
}

tensor exits_forward(const exits *self, const head *final, const run *on, size_t number, const exit_subjects *who,
                     const exit_memory *memory) {
    const exit_head *at = &self->heads[number];
    tensor read = {0};
    switch (self->kind) {
    case EXIT_LINEAR: read = states(self, on, who); break;
    case EXIT_POOLER: read = apply(on, states(self, on, who), &at->dense, ACTIVATION_TANH); break;
    case EXIT_SHARED: read = pool(self, final, on, who); break;
    case EXIT_WEIGHTED: read = weigh(on, memory, &at->weights, who->which, who->count); break;
    case EXIT_STUDENT: read = study(at, on, who); break;
    case EXIT_NONE:
    case EXIT_HALTING: return read;
    }
    if (on->tape) run_dropout(on, read, on->tape->hidden_rate);
    return apply(on, read, &at->out, ACTIVATION_NONE);
}
