/* Multi-head softmax attention (Vaswani et al. 2017) as a part of a layer: stacked projections of queries, keys and
 * values, the heads, the output with its residual; with MPNet's and the Funnel-Transformer's terms where the setting
 * asks for them. */
#include "attention/softmax_attention.h"

#include <math.h>
#include <stdio.h>

#include "attention/distance_bias.h"
#include "attention/operand.h"
#include "attention/relative.h"
#include "base/checked.h"
#include "tensor/operations.h"
#include "tensor/watch.h"

typedef struct softmax_shared {
    distance_bias bias; /* values NULL: there is none */
    tensor sinusoids;   /* of relative terms */
} softmax_shared;

typedef struct softmax_weights {
    linear qkv; /* query, key and value, stacked */
    linear out;
    size_t heads, head_size;
    const softmax_setting *setting;
    softmax_shared *shared;
    relative_weights relative;
} softmax_weights;

void softmax_choose(part_choice *out, softmax_setting setting) {
    _Static_assert(sizeof setting <= SETTING_BYTES, "a setting fits");
    part_choose(out, &attending_softmax.part, &setting, sizeof setting);
}

static void describe(const void *setting, char *out, size_t bytes) {
    const softmax_setting *terms = setting;
    snprintf(out, bytes, "%s", terms->buckets ? "bias by distance" : terms->relative ? "relative terms" : "");
}

/* ---- Loading ---- */

static rubato_status make_shared(void **out, const part_source *from) {
    const softmax_setting *setting = from->setting;
    softmax_shared *shared = arena_take(from->load->with.memory, sizeof *shared);
    if (!shared) return fail_memory(from->load->error);
    *shared = (softmax_shared){0};
    *out = shared;
    return setting->relative ? relative_sinusoids(from->load, &shared->sinusoids, from->longest, from->hidden)
                             : RUBATO_OK;
}

static rubato_status load_shared(void *made, const part_source *from) {
    const softmax_setting *setting = from->setting;
    softmax_shared *shared = made;
    char name[LOADER_NAME + 16];
    if (!setting->buckets) return RUBATO_OK;
    snprintf(name, sizeof name, "%s%s.weight", from->load->prefix, from->names->relative_bias);
    return distance_bias_load(from->load, &shared->bias, name, setting->buckets, from->heads, from->longest);
}

static void collect(void *shared) {
    softmax_shared *self = shared;
    if (self->bias.values) distance_bias_collect(&self->bias);
}

static void refresh(void *shared) {
    softmax_shared *self = shared;
    if (self->bias.values) distance_bias_spread(&self->bias);
}

static rubato_status load(void **out, const part_source *from) {
    softmax_weights *self = arena_take(from->load->with.memory, sizeof *self);
    char names[3][LOADER_NAME];
    const char *three[3] = {names[0], names[1], names[2]};
    size_t width = from->heads * from->head_size;
    if (!self) return fail_memory(from->load->error);
    *self = (softmax_weights){
        .heads = from->heads, .head_size = from->head_size, .setting = from->setting, .shared = from->shared};
    *out = self;
    part_name(names[0], from, from->names->query);
    part_name(names[1], from, from->names->key);
    part_name(names[2], from, from->names->value);
    TRY(loader_linear(from->load, &self->qkv, three, 3, width, from->hidden));
    part_name(names[0], from, from->names->attention_out);
    return loader_linear(from->load, &self->out, three, 1, from->hidden, width);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    softmax_weights *self = weights;
    char name[LOADER_NAME];
    if (!self->setting->relative) return RUBATO_OK;
    part_name(name, from, from->names->relative_terms);
    return relative_load(from->load, &self->relative, &self->qkv, from->heads, name, self->shared->sinusoids);
}

static rubato_status allow_narrow(void *weights, arena *memory, rubato_error *error) {
    softmax_weights *self = weights;
    if (self->qkv.in % PANEL || self->head_size % 4)
        return fail(error, RUBATO_UNSUPPORTED,
                    "narrower layers need a hidden size that is a multiple of %d, and heads of multiples of 4; these "
                    "are %zu and %zu",
                    PANEL, self->qkv.in, self->head_size);
    if (self->out.precision == PRECISION_INT8 && self->head_size % PREFIX_STEP)
        return fail(error, RUBATO_UNSUPPORTED, "narrower layers in int8 need heads of multiples of %d, not %zu",
                    PREFIX_STEP, self->head_size);
    return linear_make_prefixes(&self->out, memory, error);
}

/* Terms of the scores have heads of their own. */
static bool sortable(const void *setting) {
    const softmax_setting *terms = setting;
    return !terms->buckets && !terms->relative;
}

static void visit(void *weights, linear_visitor *visitor, void *user) {
    static const linear_role qkv = {
        .name = "query, key, value", .part = PART_QKV, .outputs = AXIS_HEADS, .inputs = AXIS_HIDDEN, .stacked = 3};
    static const linear_role out = {.name = "attention output",
                                    .part = PART_ATTENTION_OUT,
                                    .outputs = AXIS_HIDDEN,
                                    .inputs = AXIS_HEADS,
                                    .stacked = 1,
                                    .residual = true};
    softmax_weights *self = weights;
    visitor(user, &self->qkv, &qkv);
    visitor(user, &self->out, &out);
}

/* ---- Running ---- */

typedef struct projections {
    tensor query, key, value;
} projections;

/* Queries of the asking rows, keys and values of all, for the first heads. */
static projections project(const softmax_weights *self, const run *on, const attending_input *in) {
    size_t whole = self->heads * self->head_size, width = in->heads * self->head_size;
    bool itself = in->queries == NULL, parts_fit = whole % PANEL == 0; /* a view begins at a whole panel */
    if (in->heads == self->heads && (itself || !parts_fit)) {
        tensor all = run_tensor(on, in->x.rows, 3 * width), of_asking = all;
        if (!itself) of_asking = run_tensor(on, in->asking.rows, 3 * width);
        run_linear(on, all, in->x, &self->qkv, ACTIVATION_NONE, NULL);
        if (!itself) run_linear(on, of_asking, in->asking, &self->qkv, ACTIVATION_NONE, NULL);
        return (projections){tensor_columns(of_asking, 0, width), tensor_columns(all, width, width),
                             tensor_columns(all, 2 * width, width)};
    }
    tensor made[3];
    for (size_t i = 0; i < 3; i++) { /* the first heads of each of the three that are stacked */
        tensor from = i == 0 ? in->asking : in->x;
        const linear *part = linear_part(&self->qkv, i * whole, width, self->qkv.in, on->memory);
        made[i] = run_tensor(on, from.rows, width);
        if (!part) run_fail(on, RUBATO_OUT_OF_MEMORY);
        run_linear(on, made[i], from, part, ACTIVATION_NONE, NULL);
    }
    return (projections){made[0], made[1], made[2]};
}

static void show(const run *on, const attending_input *in, watch_kind what, tensor rows) {
    bool of_queries = in->queries && (what == WATCH_QUERIES || what == WATCH_ATTENTION);
    run_show(on, &(sight){.what = what,
                          .layer = in->layer + 1,
                          .rows = rows,
                          .packed = of_queries ? in->queries : in->sequences,
                          .alive = of_queries ? in->query_origin : in->origin,
                          .heads = in->heads});
}

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const softmax_weights *self = weights;
    size_t width = in->heads * self->head_size;
    tensor mixed = run_tensor(on, in->asking.rows, width);
    double begin = run_begin(on);
    projections made = project(self, on, in);
    run_end(on, PART_QKV, begin);
    attention heads = {.query = made.query,
                       .key = made.key,
                       .value = made.value,
                       .queries = in->queries,
                       .query_origin = in->query_origin,
                       .heads = in->heads,
                       .head_size = self->head_size,
                       .scale = 1.0f / sqrtf((float)self->head_size),
                       .origin = in->origin,
                       .significance = in->significance,
                       .others_only = in->others_only,
                       .low = linear_is_low(&self->qkv, on->low) && !on->tape,
                       .layer = in->layer + 1};
    size_t terms = 0;
    if (self->setting->buckets) heads.terms[terms++] = (score_term){&score_term_distance, &self->shared->bias};
    if (self->setting->relative && !run_failed(on))
        heads.terms[terms++] =
            (score_term){&score_term_relative,
                         relative_ready(on, &self->relative, &self->qkv, self->shared->sinusoids,
                                        batch_longest(in->input), in->input->types, !self->setting->with_first)};
    show(on, in, WATCH_QUERIES, made.query);
    show(on, in, WATCH_KEYS, made.key);
    show(on, in, WATCH_VALUES, made.value);
    begin = run_begin(on);
    attention_softmax(on, mixed, &heads, in->sequences);
    run_end(on, PART_HEADS, begin);
    const linear *mix = linear_part(&self->out, 0, self->out.out, width, on->memory);
    if (!mix) run_fail(on, RUBATO_OUT_OF_MEMORY);
    begin = run_begin(on);
    run_linear(on, out, mixed, mix, ACTIVATION_NONE, &in->asking);
    run_end(on, PART_ATTENTION_OUT, begin);
    show(on, in, WATCH_ATTENTION, out);
}

/* ---- Costs ---- */

double softmax_products(double entering, double asking, double heads_width) {
    return 4 * entering * asking * heads_width;
}

/* With a rows entering, q asking, h of d features in the heads that run: keys and values 2 a 2 d h, queries and output
 * 2 q 2 d h, scores and mixing 2 2 a q h, and where scores depend on distances 2 q 2 length h. */
static operations count(const void *setting, const part_extent *of) {
    const softmax_setting *terms = setting;
    double d = (double)of->hidden, h = (double)(of->units * of->unit_size);
    double a = (double)of->rows.entering, q = (double)of->rows.asking;
    double far = terms && terms->relative ? (double)of->length : 0;
    return (operations){.keys = 4 * a * d * h, .queries = 4 * q * d * h + softmax_products(a + far, q, h)};
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const softmax_weights *self = weights;
    double rows = (double)(sequences * length), width = (double)(self->heads * self->head_size);
    attending_demand made = {.flops = softmax_products((double)length, rows, width),
                             .activation_bytes = 16 * rows * width,
                             .products = PRECISION_F32,
                             .rate = 1};
    switch (operand_form_of(kernels, self->qkv.precision != PRECISION_F32, length)) {
    case OPERAND_F32: break;
    case OPERAND_BF16: made.products = PRECISION_BF16; break;
    case OPERAND_INT16: /* half as many numbers in a word as 8-bit ones */
        made.products = PRECISION_INT8;
        made.rate = 0.5;
        break;
    }
    return made;
}

const attending attending_softmax = {.part = {.name = "softmax", .describe = describe},
                                     .yields_received = true,
                                     .fewer_queries = true,
                                     .narrows = true,
                                     .make_shared = make_shared,
                                     .load_shared = load_shared,
                                     .collect = collect,
                                     .refresh = refresh,
                                     .load = load,
                                     .load_terms = load_terms,
                                     .allow_narrow = allow_narrow,
                                     .sortable = sortable,
                                     .forward = forward,
                                     .visit = visit,
                                     .count = count,
                                     .demand = demand};
