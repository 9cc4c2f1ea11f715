/* MobileBERT's attention: rows pass a bottleneck to the width of the heads, and the narrow rows are its residual. */
#include <math.h>
#include <stdio.h>

#include "attention/bottleneck.h"
#include "attention/softmax.h"
#include "tensor/operations.h"
#include "tensor/watch.h"

typedef struct squeeze {
    linear dense;
    norm norm; /* dense.out 0: there is none */
} squeeze;

typedef struct bottleneck {
    squeeze input, shared;
    linear query, key, value, out;
    norm out_norm;
    const bottleneck_setting *setting;
    size_t hidden, heads, head_size;
} bottleneck;

static void describe(const void *setting, char *out, size_t bytes) {
    const bottleneck_setting *s = setting;
    snprintf(out, bytes, "%u features%s", s->narrow, s->all ? ", narrow inputs" : s->shared ? ", shared keys" : "");
}

static size_t between(const void *setting, size_t hidden) {
    return hidden + ((const bottleneck_setting *)setting)->narrow;
}

/* ---- Loading ---- */

static rubato_status load_linear(linear *out, const part_source *from, const char *pattern, size_t rows,
                                 size_t columns) {
    char name[LOADER_NAME];
    const char *one[1] = {name};
    part_name(name, from, pattern);
    return loader_linear(from->load, out, one, 1, rows, columns);
}

static rubato_status load_norm(norm *out, const part_source *from, const char *pattern, size_t width) {
    char name[LOADER_NAME];
    part_name(name, from, pattern);
    TRY(loader_norm(from->load, out, name, width, from->epsilon));
    out->plain = from->plain;
    return RUBATO_OK;
}

#define LAYER "encoder.layer.%zu."

static rubato_status load(void **out, const part_source *from) {
    bottleneck *self = arena_take(from->load->with.memory, sizeof *self);
    const bottleneck_setting *setting = from->setting;
    if (!self) return fail_memory(from->load->error);
    *self =
        (bottleneck){.setting = setting, .hidden = from->hidden, .heads = from->heads, .head_size = from->head_size};
    *out = self;
    const size_t narrow = setting->narrow, width = from->heads * from->head_size;
    const size_t of_queries = setting->all || setting->shared ? narrow : from->hidden;
    TRY(load_linear(&self->input.dense, from, LAYER "bottleneck.input.dense", narrow, from->hidden));
    TRY(load_norm(&self->input.norm, from, LAYER "bottleneck.input.LayerNorm", narrow));
    if (setting->shared) {
        TRY(load_linear(&self->shared.dense, from, LAYER "bottleneck.attention.dense", narrow, from->hidden));
        TRY(load_norm(&self->shared.norm, from, LAYER "bottleneck.attention.LayerNorm", narrow));
    }
    TRY(load_linear(&self->query, from, from->names->query, width, of_queries));
    TRY(load_linear(&self->key, from, from->names->key, width, of_queries));
    TRY(load_linear(&self->value, from, from->names->value, width, setting->all ? narrow : from->hidden));
    TRY(load_linear(&self->out, from, from->names->attention_out, narrow, width));
    return load_norm(&self->out_norm, from, LAYER "attention.output.LayerNorm", narrow);
}

static void visit(void *weights, linear_visitor *visitor, void *user) {
    static const linear_role narrowing = {
        .name = "bottleneck", .part = PART_QKV, .outputs = AXIS_HIDDEN, .inputs = AXIS_HIDDEN, .stacked = 1};
    static const linear_role one = {
        .name = "query, key, value", .part = PART_QKV, .outputs = AXIS_HEADS, .inputs = AXIS_HIDDEN, .stacked = 1};
    static const linear_role out = {.name = "attention output",
                                    .part = PART_ATTENTION_OUT,
                                    .outputs = AXIS_HIDDEN,
                                    .inputs = AXIS_HEADS,
                                    .stacked = 1,
                                    .residual = true};
    bottleneck *self = weights;
    visitor(user, &self->input.dense, &narrowing);
    if (self->setting->shared) visitor(user, &self->shared.dense, &narrowing);
    visitor(user, &self->query, &one);
    visitor(user, &self->key, &one);
    visitor(user, &self->value, &one);
    visitor(user, &self->out, &out);
}

/* ---- Running ---- */

static tensor run_squeeze(const run *on, const squeeze *by, tensor x) {
    tensor sum = run_tensor(on, x.rows, by->dense.out);
    run_linear(on, sum, x, &by->dense, ACTIVATION_NONE, NULL);
    tensor out = run_over(on, sum, sum.rows);
    run_layer_norm(on, out, sum, &by->norm);
    return out;
}

static tensor project(const run *on, const linear *by, tensor x) {
    tensor out = run_tensor(on, x.rows, by->out);
    run_linear(on, out, x, by, ACTIVATION_NONE, NULL);
    return out;
}

static void show(const run *on, const attending_input *in, watch_kind what, tensor rows) {
    const bool of_queries = what == WATCH_QUERIES || what == WATCH_ATTENTION;
    run_show(on, &(sight){.what = what,
                          .layer = in->layer + 1,
                          .rows = rows,
                          .packed = of_queries ? &in->queries : &in->sequences,
                          .alive = of_queries ? in->query_origin : in->origin,
                          .heads = in->heads});
}

/* Copies rows into the first columns of a wider tensor. */
static void carry(const run *on, tensor out, tensor x) {
    size_t *places = run_take(on, x.rows, sizeof *places);
    for (size_t i = 0; places && i < x.rows; i++) places[i] = i;
    run_scatter(on, tensor_columns(out, 0, x.columns), places, x, places, x.rows);
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const bottleneck *self = weights;
    const bottleneck_setting *setting = self->setting;
    const bool itself = in->query_rows.data == in->x.data;
    double begin = run_begin(on);
    tensor narrow = run_squeeze(on, &self->input, in->query_rows); /* of the queries: also the residual */
    tensor all = setting->all && !itself ? run_squeeze(on, &self->input, in->x) : narrow;
    tensor of_keys = in->x, of_queries = in->query_rows;
    if (setting->all) {
        of_keys = all;
        of_queries = narrow;
    } else if (setting->shared) {
        of_keys = run_squeeze(on, &self->shared, in->x);
        of_queries = itself ? of_keys : run_squeeze(on, &self->shared, in->query_rows);
    }
    attention heads = {
        .query = project(on, &self->query, of_queries),
        .key = project(on, &self->key, of_keys),
        .value = project(on, &self->value, setting->all ? all : in->x),
        .queries = &in->queries,
        .query_origin = in->query_origin,
        .heads = in->heads,
        .head_size = self->head_size,
        .scale = 1.0f / sqrtf((float)self->head_size),
        .origin = in->origin,
        .significance = in->significance,
        .others_only = in->others_only,
        .low = linear_is_low(&self->query, on->low) &&
               (!on->tape || (attention_learns_low(on->kernels) && self->query.precision == PRECISION_BF16)),
        .layer = in->layer + 1};
    run_end(on, PART_QKV, begin);
    show(on, in, WATCH_QUERIES, heads.query);
    show(on, in, WATCH_KEYS, heads.key);
    show(on, in, WATCH_VALUES, heads.value);
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * self->head_size);
    begin = run_begin(on);
    attention_softmax(on, mixed, &heads, &in->sequences);
    run_end(on, PART_HEADS, begin);
    begin = run_begin(on);
    tensor sum = run_tensor(on, mixed.rows, setting->narrow);
    run_linear(on, sum, mixed, &self->out, ACTIVATION_NONE, &narrow);
    show(on, in, WATCH_ATTENTION, sum);
    run_layer_norm(on, tensor_columns(out, self->hidden, setting->narrow), sum, &self->out_norm);
    carry(on, out, in->query_rows);
    run_end(on, PART_ATTENTION_OUT, begin);
}

/* ---- Costs ---- */

static operations count(const void *given, const part_extent *of) {
    const bottleneck_setting *s = given;
    const double d = (double)of->hidden, n = (double)s->narrow, h = (double)(of->units * of->unit_size);
    const double reads = s->all || s->shared ? n : d, keys = (double)of->rows.entering;
    const double queries = (double)of->rows.queries;
    operations sum = {.keys = 2 * keys * h * (reads + (s->all ? n : d)),
                      .queries = 2 * queries * (d * n + reads * h + h * n)};
    if (s->shared) sum.keys += 2 * keys * d * n;
    sum.queries += softmax_products(keys, queries, h);
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const bottleneck *self = weights;
    const double rows = (double)(sequences * length), width = (double)(self->heads * self->head_size);
    (void)kernels;
    return (attending_demand){.flops = softmax_products((double)length, rows, width),
                              .activation_bytes = 16 * rows * width,
                              .products = PRECISION_F32,
                              .rate = 1};
}

const attending attending_bottleneck = {.part = {.name = "bottleneck", .describe = describe},
                                        .yields_received = true,
                                        .fewer_queries = true,
                                        .between = between,
                                        .load = load,
                                        .forward = forward,
                                        .visit = visit,
                                        .count = count,
                                        .demand = demand};
