/* Multi-head softmax attention (Vaswani et al. 2017) as a part of a layer, with MPNet's and the Funnel-Transformer's
 * terms where the setting asks for them. */
#include "attention/softmax_attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention/distance_bias.h"
#include "attention/gathered.h"
#include "attention/kept_keys.h"
#include "attention/operand.h"
#include "attention/planned.h"
#include "base/checked.h"
#include "tensor/operations.h"
#include "tensor/watch.h"

typedef struct softmax_shared {
    distance_bias bias; /* values NULL: none */
    tensor sinusoids;   /* for relative terms */
} softmax_shared;

typedef struct softmax_weights {
    projections with; /* first, as projections.h has it */
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
    if (terms->reach)
        snprintf(out, bytes, "windows of %zu", 2 * terms->reach + 1);
    else
        snprintf(out, bytes, "%s",
                 terms->buckets || terms->alibi ? "bias by distance"
                 : terms->relative              ? "relative terms"
                                                : "");
}

/* ---- Loading ---- */

static rubato_status make_shared(void **out, const part_source *from) {
    const softmax_setting *setting = from->setting;
    softmax_shared *shared = arena_take(from->load->with.memory, sizeof *shared);
    if (!shared) return fail_memory(from->load->error);
    *shared = (softmax_shared){0};
    *out = shared;
    if (setting->alibi) return distance_bias_fall(from->load, &shared->bias, from->heads, from->longest);
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
    if (self->bias.buckets.data) distance_bias_collect(&self->bias);
}

static void refresh(void *shared) {
    softmax_shared *self = shared;
    if (self->bias.buckets.data) distance_bias_spread(&self->bias);
}

static rubato_status load(void **out, const part_source *from) {
    softmax_weights *self = arena_take(from->load->with.memory, sizeof *self);
    if (!self) return fail_memory(from->load->error);
    *self = (softmax_weights){.setting = from->setting, .shared = from->shared};
    *out = self;
    return projections_load(&self->with, from);
}

static rubato_status load_terms(void *weights, const part_source *from) {
    softmax_weights *self = weights;
    char lead[LOADER_NAME];
    if (!self->setting->relative) return RUBATO_OK;
    part_name(lead, from, from->names->relative_terms);
    return relative_load(from->load, &self->relative, &self->with.stacked, from->heads, lead,
                         from->names->relative_kernel, self->shared->sinusoids);
}

/* Terms of the scores have values for each head, which sorting would have to move too. */
static bool sortable(const void *setting) {
    const softmax_setting *terms = setting;
    return !terms->buckets && !terms->relative && !terms->alibi;
}

/* ---- Windows ---- */

enum { WINDOW_QUERIES = PANEL }; /* of a block */

static stretch window_of(const planned_pass *p, size_t sequence, size_t low, size_t high) {
    const size_t reach = ((const softmax_setting *)p->setting)->reach;
    return planned_keys(p, sequence, low > reach ? low - reach : 0, high + reach + 1);
}

static bool window_block(const void *of, size_t sequence, size_t head, size_t number, query_block *out) {
    const planned_pass *p = of;
    const size_t count = batch_length(&p->in.queries, sequence), first = number * WINDOW_QUERIES;
    (void)head;
    if (first >= count) return false;
    const size_t last = size_min(first + WINDOW_QUERIES, count) - 1;
    planned_ask(out, (stretch){first, last + 1});
    planned_see(out, window_of(p, sequence, planned_place(p, sequence, first), planned_place(p, sequence, last)), 0);
    return true;
}

static stretch window_seen(const void *of, size_t sequence, size_t head, size_t query, stretch keys) {
    const size_t place = planned_place(of, sequence, query);
    (void)head, (void)keys;
    return window_of(of, sequence, place, place);
}

static void run_windows(const softmax_weights *self, const run *on, const attending_input *in, const projected *rows,
                        tensor mixed) {
    planned_pass *p = run_take(on, 1, sizeof *p);
    if (run_failed(on)) return;
    *p = (planned_pass){.in = *in, .setting = self->setting};
    gathered heads = gathered_heads(&self->with, in, rows);
    heads.plan = (gather_plan){.of = p, .block = window_block, .seen = window_seen};
    attention_gathered(on, mixed, &heads);
}

/* ---- Causal ---- */

static void run_causal(const softmax_weights *self, const run *on, const attending_input *in, projected *rows,
                       tensor mixed) {
    kept_keys all = {in->sequences, NULL};
    if (on->state && !kept_keys_join(on, in, NULL, NULL, rows, &all)) return;
    gathered heads = gathered_heads(&self->with, in, rows);
    if (on->state) heads.key_place = all.places;
    if (gathered_whole(on, &heads, all.packed, in->queries)) attention_gathered(on, mixed, &heads);
}

/* ---- Running ---- */

static void forward(const void *weights, const run *on, const attending_input *in, tensor out) {
    const softmax_weights *self = weights;
    const size_t head_size = self->with.head_size;
    tensor mixed = run_tensor(on, in->query_rows.rows, in->heads * head_size);
    const bool low =
        linear_is_low(&self->with.stacked, on->low) &&
        (!on->tape || (attention_learns_low(on->kernels) && self->with.stacked.precision == PRECISION_BF16));
    /* queries, or scaled scores */
    const bool biased = self->setting->buckets || self->setting->alibi;
    const bool terms_read = biased || self->setting->relative || self->setting->reach;
    projected made = projections_read(&self->with, on, in,
                                      low && attention_reads_half(on->kernels, head_size) && !terms_read &&
                                          !in->places && !run_watches(on, WATCH_SCORES));
    attention heads = {.query = made.query,
                       .key = made.key,
                       .value = made.value,
                       .queries = &in->queries,
                       .query_origin = in->query_origin,
                       .heads = in->heads,
                       .head_size = head_size,
                       .scale = 1.0f / sqrtf((float)head_size),
                       .origin = in->origin,
                       .significance = in->significance,
                       .others_only = in->others_only,
                       .low = low,
                       .layer = in->layer + 1};
    size_t terms = 0;
    if (biased) heads.terms[terms++] = (score_term){&score_term_distance, &self->shared->bias};
    if (self->setting->relative && !run_failed(on))
        heads.terms[terms++] = (score_term){
            &score_term_relative, relative_ready(on, &self->relative, &self->with.stacked, self->shared->sinusoids,
                                                 batch_longest(&in->input), in->input.types, self->setting->form)};
    double begin = run_begin(on);
    if (self->setting->reach)
        run_windows(self, on, in, &made, mixed);
    else if (!in->places)
        attention_softmax(on, mixed, &heads, &in->sequences);
    else
        run_causal(self, on, in, &made, mixed);
    run_end(on, PART_HEADS, begin);
    projections_write(&self->with, on, in, mixed, out);
}

/* ---- Costs ---- */

/* Of a query, at most. */
static double keys_seen(const softmax_setting *setting, double keys) {
    return setting && setting->reach ? fmin(keys, 2 * (double)setting->reach + 1) : keys;
}

/* Besides the projections: scores and mixing, and where scores depend on distances, scores of every distance. */
static operations count(const void *setting, const part_extent *of) {
    const softmax_setting *terms = setting;
    operations sum = projections_count(of);
    double far = terms && terms->relative ? (double)of->length : 0;
    sum.queries += softmax_products(keys_seen(terms, (double)of->rows.entering) + far, (double)of->rows.queries,
                                    (double)(of->units * of->unit_size));
    return sum;
}

static attending_demand demand(const void *weights, const kernel_table *kernels, size_t sequences, size_t length) {
    const softmax_weights *self = weights;
    double rows = (double)(sequences * length), width = (double)(self->with.heads * self->with.head_size);
    const double keys = keys_seen(self->setting, (double)length);
    attending_demand made = projections_demand(&self->with, softmax_products(keys, rows, width), sequences, length);
    if (self->setting->reach) return made; /* in f32 */
    const half_kernels *half = operand_half(kernels, self->with.stacked.precision != PRECISION_F32, length);
    if (half) made.products = half->integers ? PRECISION_INT8 : PRECISION_BF16;
    if (half && half->integers) made.rate = 0.5; /* a word holds half as many of them as 8-bit ones */
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
                                     .decodes = true,
                                     .continues = true,
                                     .load = load,
                                     .load_terms = load_terms,
                                     .allow_narrow = projections_allow_narrow,
                                     .sortable = sortable,
                                     .forward = forward,
                                     .visit = projections_visit,
                                     .count = count,
                                     .demand = demand};
